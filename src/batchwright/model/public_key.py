"""Whether a text is one public key as OpenSSH writes it: `TYPE BASE64 [COMMENT]`."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re

RSA_BITS_MIN = 1024  # what OpenSSH itself takes
CURVES = {"nistp256": 65, "nistp384": 97, "nistp521": 133}  # bytes of a point
KINDS = (
    "ssh-ed25519",
    "ssh-rsa",
    *(f"ecdsa-sha2-{curve}" for curve in CURVES),
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)

CHANGED = "what follows {} is no key: it is cut off or changed"

# The last one is how the base64 of an OpenSSH private key begins.
_PRIVATE = re.compile(r"PRIVATE KEY|PuTTY-User-Key-File|b3BlbnNzaC1rZXktdjE", re.IGNORECASE)


def is_private(text: str) -> bool:
    """Whether it holds a private key, which is never shown."""
    return _PRIVATE.search(text) is not None


def fingerprint(public: str) -> str:
    """The fingerprint of a public key "ssh-ed25519 AAAA...", as OpenSSH shows it.

    >>> fingerprint("ssh-ed25519 AAAA")
    'SHA256:cJ6AyISHokEeHuTfufIqhhSS0gxHZRUMDHlKvXD4FHw'
    """
    digest = hashlib.sha256(base64.b64decode(public.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def flaw(text: str) -> str | None:
    """What is wrong with the key; None if it is valid. The words reveal nothing of it but the name of a key type.

    Blanks and newlines around it are accepted.
    """
    if is_private(text):
        return "this is a private key"
    bare = text.strip()
    if "\n" in bare or "\r" in bare:
        return "this is more than one line"
    if any(ord(character) < 32 or 127 <= ord(character) < 160 for character in bare):
        return "this contains a control character"
    kind, _, rest = bare.partition(" ")
    if kind not in KINDS:
        return _unknown(bare, kind)
    try:
        blob = base64.b64decode(rest.strip().partition(" ")[0], validate=True)
        return _flaw_of_blob(kind, blob)
    except (binascii.Error, ValueError, IndexError):
        return CHANGED.format(kind)


def _unknown(bare: str, kind: str) -> str:
    if "-cert-v01@" in kind:
        return "this is a certificate"
    if kind == "ssh-dss":
        return "keys of type ssh-dss are no longer used"
    if any(f" {one} " in f" {bare} " for one in KINDS):
        return "there is text before the key"
    if bare.startswith(("---- BEGIN SSH2", "-----BEGIN")):
        return "this key is in another format"
    return "this is not a public key"


def _flaw_of_blob(kind: str, blob: bytes) -> str | None:
    """Raises IndexError, ValueError where it ends too early."""
    fields: list[bytes] = []
    while blob:
        length = int.from_bytes(_head(blob, 4))
        fields.append(_head(blob[4:], length))
        blob = blob[4 + length :]
    name, *parts = fields
    if name != kind.encode():
        return f"it says {kind}, but contains a key of another type"
    sizes = [len(part) for part in parts]
    if kind == "ssh-rsa":
        if len(parts) != 2 or any(part[0] >= 0x80 for part in parts):  # a negative number
            return CHANGED.format(kind)
        short = int.from_bytes(parts[1]).bit_length() < RSA_BITS_MIN
        return f"it is an RSA key with fewer than {RSA_BITS_MIN} bits" if short else None
    if kind.startswith("sk-"):
        *parts, application = parts
        sizes = [len(part) for part in parts] if application else []
    if kind.endswith("ed25519") or kind.startswith("sk-ssh-ed25519"):
        right = sizes == [32]
    else:
        curve = kind.removesuffix("@openssh.com").rpartition("-")[2]
        right = len(parts) == 2 and parts[0] == curve.encode() and sizes[1] == CURVES[curve] and parts[1][0] == 4
    return None if right else CHANGED.format(kind)


def _head(blob: bytes, length: int) -> bytes:
    if len(blob) < length:
        raise ValueError("it ends too early")
    return blob[:length]
