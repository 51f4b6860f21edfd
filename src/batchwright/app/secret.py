"""A secret by reference: where it is found at the moment of use. The secret itself is never kept, logged or printed."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from batchwright.errors import SecretMissing

COMMAND_SECONDS = 20.0
MAX_BYTES = 64 * 1024


class Secret(Struct, frozen=True, forbid_unknown_fields=True):
    """One of: a variable of the environment, a file, or a command that prints it. A newline at the end is not part."""

    env: str = ""
    file: str = ""
    command: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if sum(map(bool, (self.env, self.file, self.command))) != 1:
            raise ValueError('a secret is named by exactly one of env = "NAME", file = "PATH", command = ["WORD", ...]')

    def reveal(self, environ: Mapping[str, str]) -> str:
        """The secret. Raises SecretMissing."""
        found = self._from_command() if self.command else self._from_file() if self.file else environ.get(self.env, "")
        if not found:
            raise SecretMissing(f"the secret in {self} is empty or missing")
        return found

    def __str__(self) -> str:
        if self.command:
            return f"the output of {self.command[0]}"
        return f"the file {self.file}" if self.file else f"the variable {self.env}"

    def _from_file(self) -> str:
        try:
            return Path(self.file).expanduser().read_text(encoding="utf-8")[:MAX_BYTES].removesuffix("\n")
        except (OSError, ValueError) as error:
            raise SecretMissing(f"{self} cannot be read: {_reason(error)}") from None

    def _from_command(self) -> str:
        try:
            done = subprocess.run(  # noqa: S603 - the user's own command, without a shell
                self.command, stdout=subprocess.PIPE, timeout=COMMAND_SECONDS, check=True, text=True
            )
        except subprocess.CalledProcessError as error:
            raise SecretMissing(f"{self.command[0]}, which prints a secret, ended with {error.returncode}") from None
        except subprocess.TimeoutExpired:
            raise SecretMissing(f"{self.command[0]}, which prints a secret, took over {COMMAND_SECONDS:g} s") from None
        except (OSError, ValueError) as error:
            raise SecretMissing(f"{self} cannot be had: {_reason(error)}") from None
        return done.stdout[:MAX_BYTES].removesuffix("\n")


def _reason(error: Exception) -> str:
    """Why, without what was read: the text of a decoding error would show it."""
    return error.strerror or "error" if isinstance(error, OSError) else "it is not text"
