"""The keys that log in to servers: the operator's identity of config.toml, and what the SSH agent holds."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable
from contextlib import AsyncExitStack
from importlib.util import find_spec
from pathlib import Path

from batchwright import durable_files
from batchwright.app import unwritable_store_copy
from batchwright.app.settings import AGENT, Settings
from batchwright.errors.ssh_key import IdentityUnusable, LoginKeyMissing
from batchwright.login_key_file import ADD_TO_AGENT, KeyFileUnusable, LoginKeyFile, read_key_file
from batchwright.model.public_key import fingerprint
from batchwright.providers.generated_ssh_keys import run_key_file

OTHERS_MAY_READ = 0o077


class OperatorSshKeys:
    """Finds the file with which a public key logs in. The keys are read when they are first needed."""

    def __init__(self, settings: Settings) -> None:
        self._named = settings.ssh.identity
        self._state_dir = settings.state_dir
        self._held: list[tuple[str, str]] | None = None  # by the agent: public key, comment

    async def identity(self) -> str:
        """The public key of the identity; "" if none is configured. Raises IdentityUnusable."""
        if self._named == AGENT:
            return await self._only_key_of_agent()
        if not self._named:
            return ""
        file = self._identity_file()
        if file.in_agent and file.public not in await self._agent():
            hint = f"{ADD_TO_AGENT.format(self._named.removesuffix('.pub'))}, or name a key file without a passphrase."
            message = f"[ssh] identity: your SSH agent does not have the key {fingerprint(file.public)} of {file.path}"
            raise IdentityUnusable(message, hint=hint)
        return file.public

    def file(self, public: str) -> str:
        """The key file that logs in with this public key: the identity's, or one that names the key to the agent."""
        if self._named not in ("", AGENT):
            # if it cannot be used, the key may still be in the agent; if not, the login says which key it needs
            with contextlib.suppress(IdentityUnusable):
                if self._identity_file().public == public:
                    return self._named
        return str(self._public_key_file(public))

    async def refuse_missing(self, publics: Iterable[str]) -> None:
        """Raise LoginKeyMissing unless there is a private half for each of these keys."""
        if missing := await self.missing(publics):
            told = ", ".join(map(fingerprint, missing))
            raise LoginKeyMissing(f"servers of this run let in a key that is not here: {told}")

    def refuse_missing_own(self, run: str) -> None:
        """Raise LoginKeyMissing if servers let in a run's own key, and it was made in another state folder."""
        place = run_key_file(self._state_dir, run)
        if not place.exists():
            raise LoginKeyMissing(
                f"servers of this run let in its own key, which is not here: {place}",
                hint="It is in the state folder in which the run began: resume it there, or copy that file. With [ssh] "
                "identity in config.toml, runs use a key that you can share.",
            )

    async def missing(self, publics: Iterable[str]) -> list[str]:
        """Those of these public keys that are neither the identity nor in the SSH agent."""
        own = ""
        if self._named not in ("", AGENT):
            with contextlib.suppress(IdentityUnusable):
                file = self._identity_file()
                own = "" if file.in_agent else file.public
        wanted = sorted({public for public in publics if public and public != own})
        return [public for public in wanted if public not in await self._agent()] if wanted else []

    def _identity_file(self) -> LoginKeyFile:
        """Raises IdentityUnusable."""
        try:
            file = read_key_file(self._named)
            mode = Path(self._named).stat().st_mode
        except FileNotFoundError:
            raise IdentityUnusable(
                f"[ssh] identity: there is no file {self._named}", hint="Correct config.toml."
            ) from None
        except KeyFileUnusable as error:
            raise IdentityUnusable(f"[ssh] identity: {error}", hint=error.hint or "Correct config.toml.") from error
        if mode & OTHERS_MAY_READ and not file.in_agent:  # OpenSSH refuses it too
            hint = f"chmod 600 {self._named}"
            raise IdentityUnusable(f"[ssh] identity: other users may read the private key {self._named}", hint=hint)
        return file

    async def _only_key_of_agent(self) -> str:
        held = await self._agent()
        if len(held) == 1:
            return next(iter(held))
        if not held:
            raise IdentityUnusable(
                "[ssh] identity: no SSH agent answers, or it holds no key",
                hint="Start one (eval $(ssh-agent)), and add a key: ssh-add FILE",
            )
        told = ", ".join(f"{fingerprint(public)} ({comment})" for public, comment in held.items())
        hint = 'Name one by its public key file, as in identity = "~/.ssh/id_ed25519.pub".'
        raise IdentityUnusable(f"[ssh] identity: the SSH agent holds {len(held)} keys: {told}", hint=hint)

    async def _agent(self) -> dict[str, str]:
        """The keys in the agent with their comments; none if no agent answers."""
        if self._held is None:
            self._held = await _keys_of_agent()
        return dict(self._held)

    def _public_key_file(self, public: str) -> Path:
        folder = self._state_dir / "login_keys"
        place = folder / f"{hashlib.sha256(public.encode()).hexdigest()[:16]}.pub"
        if not place.exists() and not unwritable_store_copy.is_read_only(self._state_dir):
            durable_files.make_private(folder)
            with durable_files.alone(folder):
                durable_files.write(place, f"{public}\n".encode())
        return place


async def _keys_of_agent() -> list[tuple[str, str]]:
    if find_spec("asyncssh") is None:
        return []
    from batchwright.ssh_client import agent_keys, public_line

    async with AsyncExitStack() as stack:
        try:
            return [(public_line(pair), pair.get_comment() or "") for pair in await agent_keys(stack)]
        except KeyFileUnusable:
            return []
