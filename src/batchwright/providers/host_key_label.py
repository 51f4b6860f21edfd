"""A server's host key as the value of a label: the server tells it to every machine that may list the account. Pure.

The value has 52 of the letters a-z and 2-7, which every cloud accepts.
"""

from __future__ import annotations

import base64
import binascii

LABEL = "batchwright-host-key"
KIND = "ssh-ed25519"
_HEAD = b"\0\0\0\x0b" + KIND.encode() + b"\0\0\0\x20"  # of the key as SSH writes it; RFC 8709
_SIZE = 32


def to_label(public: str) -> str:
    """The value for a public key "ssh-ed25519 AAAA..." of the kind that Batchwright makes."""
    raw = base64.b64decode(public.split()[1]).removeprefix(_HEAD)
    return base64.b32encode(raw).decode().rstrip("=").lower()


def from_label(value: str) -> tuple[str, ...]:
    """The host keys that a label tells; none if it holds something else.

    >>> key = "ssh-ed25519 " + base64.b64encode(_HEAD + bytes(32)).decode()
    >>> from_label(to_label(key)) == (key,)
    True
    >>> from_label("SHA256:abc"), from_label("")
    ((), ())
    """
    try:
        raw = base64.b32decode(value.upper() + "=" * (-len(value) % 8))
    except (binascii.Error, ValueError):
        return ()
    return (f"{KIND} {base64.b64encode(_HEAD + raw).decode()}",) if len(raw) == _SIZE else ()
