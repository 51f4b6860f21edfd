"""How a server is reached over SSH; made by its provider, used by whoever installs, checks or shows something there."""

from __future__ import annotations

from msgspec import Struct


class Access(Struct, frozen=True, omit_defaults=True):
    """`key` is the path of a private key file. `host_keys` ("ssh-ed25519 AAAA...") are the only ones that are trusted.

    `jump` is the server to go through first.
    """

    host: str
    user: str = "root"
    port: int = 22
    key: str = ""
    host_keys: tuple[str, ...] = ()
    jump: Access | None = None
