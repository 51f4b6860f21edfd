"""The ports of a worker at a place: real adapters, with the credentials of this machine, behind its allow-list."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from batchwright import __version__
from batchwright.app.adapters import Adapters
from batchwright.app.allowed_settings import ANY
from batchwright.app.program_and_secret_allowlist import ProgramAndSecretAllowlist
from batchwright.app.settings import Settings
from batchwright.commands.base import CommandServer, Launch, Launcher
from batchwright.engine.limits import Limits
from batchwright.errors import PlaceRefused, ProviderUnavailable
from batchwright.journal.lease_holder import own_holder
from batchwright.model.clock import Clock
from batchwright.model.environment import NAME_PATTERN
from batchwright.model.secret_reference import SecretReference
from batchwright.model.secret_traversal import mapped
from batchwright.model.ssh_access import SshAccess
from batchwright.places import codec
from batchwright.places.call_answerer import CallAnswerer
from batchwright.places.carrier import PlaceCall
from batchwright.printable import shortened
from batchwright.providers.base import Provider
from batchwright.redaction import Redactor, secrets_in_environment
from batchwright.taskservs.base import Runner, Target, TaskservCall
from batchwright.taskservs.catalogue import load_catalogue

_WORD = re.compile(NAME_PATTERN)


@asynccontextmanager
async def answering(settings: Settings, place: str, clock: Clock) -> AsyncIterator[CallAnswerer]:
    """What answers the calls to a place, with the adapters of these settings. Raises CatalogueInvalid."""
    settings = replace(settings, here=place)
    async with Adapters(settings, clock, Limits()) as around:
        yield CallAnswerer(WorkerPorts(settings, around), Redactor(secrets_in_environment(os.environ)))


class WorkerPorts:
    """The ports that `answering` calls. Each provider is opened at its first call, and again after a failure."""

    def __init__(self, settings: Settings, around: Adapters) -> None:
        self._settings, self._around, self._may = settings, around, settings.place
        programs = ANY in self._may.commands
        self._secrets = ProgramAndSecretAllowlist(commands=programs, secrets=self._may.secrets)
        self._opening = asyncio.Lock()

    async def report(self) -> codec.PlaceReport:
        """What this worker is and may do. Raises CatalogueInvalid, IdentityUnusable."""
        entries = load_catalogue(self._settings.catalogues) if self._may.taskservs else {}
        listed = {name: entry.digest for name, entry in entries.items() if _in(name, self._may.taskservs)}
        return codec.PlaceReport(
            __version__,
            codec.contract(),
            own_holder(),
            {name: codec.KINDS if ANY in calls else calls for name, calls in self._may.providers.items()},
            self._may.commands,
            listed,
            await self._around.logins.identity(),
        )

    def allowed(self, call: PlaceCall, given: dict[str, Any]) -> dict[str, Any]:
        """The arguments with secrets and keys of this machine. Raises PlaceRefused."""
        for value in given.values():
            if isinstance(value, Launch):
                _check_words(value.mark)
            elif isinstance(value, TaskservCall) and value.token:
                _check_words(value.token)
        if call.port == codec.PROVIDER:
            kinds = self._may.providers.get(call.target, ())
            kind = codec.PROVIDER_CALLS[call.method]
            if not _in(kind, kinds):
                raise PlaceRefused(f"the worker may not call {call.target} to {kind}")
        elif call.port == codec.RUNNER:
            request = given.get("request")
            if request is not None:
                _check_words(request.name)
                if request.sources and call.method in ("install", "preview"):  # it would read files of this machine
                    raise PlaceRefused("files and folders of a workflow do not travel to a place")
            if request is not None and not _in(request.entry_name, self._may.taskservs):
                raise PlaceRefused(f"the worker may not install {request.entry_name}")
            if request is None and not self._may.taskservs:
                raise PlaceRefused("the worker may not look at what is installed")
        else:
            self._check_program(given)
        return {name: self._bound(self._with_keys(value)) for name, value in given.items()}

    def _check_program(self, given: dict[str, Any]) -> None:
        program = given.get("request", given.get("command"))
        if program is None:
            if not self._may.commands:
                raise PlaceRefused("the worker may not look at programs")
            return
        for words in (program.run, program.undo, program.unless):
            if words and not _in(words[0], self._may.commands):
                raise PlaceRefused(f"the worker may not run {words[0]}")
        for name in program.env:
            if not _in(name, self._may.variables):
                raise PlaceRefused(f"callers may not set the variable {name} at the worker")

    def _bound(self, value: Any) -> Any:
        """With this machine's own reference for each secret that is named. Raises PlaceRefused."""

        def change(_: object, secret: SecretReference) -> SecretReference:
            used = self._secrets.instead(secret)
            if used is None:
                raise PlaceRefused(f"the worker may not use {secret}")
            return used

        return mapped(value, change)

    def _with_keys(self, value: Any) -> Any:
        """With the file of each key that logs in. Raises PlaceRefused for a file that is none of this worker's."""
        if isinstance(value, Target):
            return replace(value, access=self._access(value.access))
        if isinstance(value, TaskservCall):
            return replace(value, leader=self._with_keys(value.leader))
        if isinstance(value, CommandServer):
            return replace(value, access=self._access(value.access))
        if isinstance(value, Launch):
            return replace(value, on=self._with_keys(value.on), servers=tuple(map(self._listed, value.servers)))
        return value

    def _listed(self, server: CommandServer) -> CommandServer:
        """A server that a program is told of. How it is reached from elsewhere is of no use here."""
        try:
            return replace(server, access=self._access(server.access))
        except PlaceRefused:
            return replace(server, access=None)

    def _access(self, access: SshAccess | None) -> SshAccess | None:
        if access is None:
            return None
        key = access.key
        if key and not key.startswith(("/", "~")):  # a public key: whose private half is here
            key = self._around.key_file(key)
        elif key and not Path(key).resolve().is_relative_to(self._settings.state_dir.resolve()):
            used = self._secrets.instead(SecretReference(file=key))
            if used is None and key != self._settings.ssh.identity:
                raise PlaceRefused(f"the worker may not log in with the key {key}")
            key = key if used is None else used.file
        return replace(access, key=key, jump=self._access(access.jump))

    async def provider(self, name: str) -> Provider:
        """A provider, open. Raises ProviderUnavailable."""
        async with self._opening:
            if name not in self._around.providers:
                self._around.troubles.pop(name, None)
                await self._around.open([name])
        if (trouble := self._around.troubles.get(name)) is not None:
            raise ProviderUnavailable(trouble.message, hint=trouble.hint, passing=trouble.passing)
        return self._around.providers[name]

    def runner(self, provider: str) -> Runner:
        """What installs on servers of a provider. Raises TaskservPackageMissing, CatalogueInvalid."""
        return self._around.runner(provider)

    def launcher(self, provider: str) -> Launcher:
        """What runs programs on servers of a provider, or with "" on this machine."""
        if "" not in self._around.launchers:
            self._around.open_programs()
        return self._around.launcher_on(provider)


def _check_words(*words: str) -> None:
    """Refuse words that would lead out of the paths and scripts that ports make of them. Raises PlaceRefused."""
    for word in words:
        if not _WORD.fullmatch(word):
            raise PlaceRefused(f"the worker takes no mark, token or name such as {shortened(repr(word), 80)}")


def _in(name: str, listed: tuple[str, ...]) -> bool:
    return ANY in listed or name in listed
