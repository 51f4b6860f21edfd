"""A secret by reference: where it is found at the moment of use. The secret itself is never kept, logged or printed."""

from __future__ import annotations

from msgspec import Struct


class SecretReference(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One of: an environment variable, a file, a command that prints the secret. A final newline is dropped."""

    env: str = ""
    file: str = ""
    command: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if sum(map(bool, (self.env, self.file, self.command))) != 1:
            raise ValueError('a secret is named by exactly one of env = "NAME", file = "PATH", command = ["WORD", ...]')

    def __str__(self) -> str:
        if self.command:
            return f"the output of {self.command[0]}"
        return f"the file {self.file}" if self.file else f"the variable {self.env}"
