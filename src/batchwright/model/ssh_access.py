"""How a server is reached over SSH: the provider gives it, whatever logs in uses it."""

from __future__ import annotations

from msgspec import Struct


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
