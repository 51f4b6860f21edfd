"""A summary of the service's permissions: logged when it starts, and shown by `health`."""

from __future__ import annotations

import os
import pwd

from msgspec import Struct

from batchwright.app.access_tokens import Tokens
from batchwright.app.program_and_secret_allowlist import ProgramAndSecretAllowlist
from batchwright.errors import EvaluatorUnavailable, TokensUnreadable
from batchwright.loader import confinement
from batchwright.views.text_format import counted

REFUSED = "refused"


class SecuritySummary(Struct, frozen=True):
    """`tokens` are valid now, -1 if the file cannot be read; `without_token`: the callers that need none."""

    tokens: int = 0
    without_token: str = "nobody"  # noqa: S105 - who that is
    commands: str = REFUSED
    secrets: str = REFUSED
    confined: str = ""  # whether clients' workflows are evaluated in confinement; if not, why, and none is taken

    def line(self) -> str:
        """The summary as one line, for the service's log."""
        tokens = "cannot be read" if self.tokens < 0 else str(self.tokens or "none")
        return (
            f"tokens: {tokens}; without a token: {self.without_token}; commands: {self.commands}; "
            f"secrets from clients: {self.secrets}; untrusted evaluation confined: {self.confined or 'not known'}"
        )


def confined() -> str:
    """Whether clients' workflows are evaluated in a sandbox on this machine; it is tried, which takes a moment."""
    try:
        found = confinement()
    except EvaluatorUnavailable as error:
        return f"no: {error.message}"
    return "yes" if found.is_whole else f"no: {'; '.join(found.missing) or 'Landlock is missing'}"


def rights(
    allowed: ProgramAndSecretAllowlist, tokens: Tokens, now: float, *, closed: bool, confined: str = ""
) -> SecuritySummary:
    """What callers may do now, with and without a token."""
    try:
        valid = tokens.valid(now)
    except TokensUnreadable:
        valid = -1
    owner = "root" if os.geteuid() == 0 else f"{_name()} and root"
    without = "only over its own socket" if closed else f"{owner} on this machine"
    commands = REFUSED
    if allowed.commands:
        commands = "over its own socket, or with a token" if valid > 0 else "over its own socket"
    env, files = len(allowed.secrets.env), len(allowed.secrets.files)
    listed = [*([counted(env, "variable")] if env else ()), *([counted(files, "file")] if files else ())]
    listed += ["any program"] if allowed.commands else []
    return SecuritySummary(valid, without, commands, " and ".join(listed) or REFUSED, confined)


def _name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"user {os.geteuid()}"
