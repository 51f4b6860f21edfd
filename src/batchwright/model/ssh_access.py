"""How a server is reached over SSH: the provider gives it, whatever logs in uses it."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace


class SshAccess(Struct, frozen=True, omit_defaults=True):
    """How to log in to a server over SSH.

    `key` is the path of a key file; if it holds a public key or an encrypted one, the SSH agent signs. Empty: the
    user's own keys. Only `host_keys` ("ssh-ed25519 AAAA...") are
    trusted. `jump` is the server to go through first.

    >>> access = SshAccess("10.0.0.5", user="admin", port=2222, jump=SshAccess("gate.example.org"))
    >>> [str(hop) for hop in access.hops()]
    ['10.0.0.5 port 2222', 'gate.example.org']
    """

    host: str
    user: str = "root"
    port: int = 22
    key: str = ""
    host_keys: tuple[str, ...] = ()
    jump: SshAccess | None = None

    def __str__(self) -> str:
        return self.host if self.port == 22 else f"{self.host} port {self.port}"

    def hops(self) -> list[SshAccess]:
        """The server itself, then its jump host, and so on."""
        return [self, *(self.jump.hops() if self.jump is not None else ())]


class ServerLogin(Struct, frozen=True, omit_defaults=True):
    """What a run recorded about logging in to a server: the public key that it lets in, and its own host keys.

    `key` is "" for a server that lets in the own key of the run that created it.
    """

    key: str = ""
    host_keys: tuple[str, ...] = ()

    def applied_to(self, access: SshAccess, key_file: Callable[[str], str]) -> SshAccess:
        """The access that a provider tells, with what is recorded. `key_file` gives the file of a public key.

        >>> told = SshAccess("10.0.0.5", key="/state/keys/run/id_ed25519", host_keys=("ssh-ed25519 TOLD",))
        >>> ServerLogin("ssh-ed25519 AAAA", ("ssh-ed25519 KNOWN",)).applied_to(told, lambda key: "/keys/ada").key
        '/keys/ada'
        """
        key = key_file(self.key) if self.key else access.key
        return replace(access, key=key, host_keys=self.host_keys or access.host_keys)
