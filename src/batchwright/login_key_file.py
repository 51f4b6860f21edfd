"""The file that a login names: a private key, or a key whose private half is in the SSH agent."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path

from msgspec import Struct

from batchwright.model.public_key import flaw, is_private
from batchwright.regular_files import contents

KEY_BYTES = 64 * 1024
_BEGIN, _END = "-----BEGIN OPENSSH PRIVATE KEY-----", "-----END OPENSSH PRIVATE KEY-----"
_MAGIC = b"openssh-key-v1\0"  # how the base64 text between the two begins; see PROTOCOL.key of OpenSSH
ADD_TO_AGENT = "Add it to your SSH agent: ssh-add {}"


class KeyFileUnusable(Exception):
    """The file holds no key that can log in. `hint` says what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class LoginKeyFile(Struct, frozen=True):
    """A key file and the public key in it, "ssh-ed25519 AAAA...".

    `in_agent`: the file holds only the public key, or an encrypted private one, so the agent must sign, as with
    OpenSSH.
    """

    path: str
    public: str
    in_agent: bool

    @property
    def blob(self) -> bytes:
        """The public key as agents and servers exchange it."""
        return base64.b64decode(self.public.split()[1])


def read_key_file(path: str) -> LoginKeyFile:
    """Find out what a key file holds. Raises FileNotFoundError, KeyFileUnusable; neither quotes the file."""
    try:
        text = contents(Path(path), KEY_BYTES).decode()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise KeyFileUnusable(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise KeyFileUnusable(f"{path} is not a key") from None
    if not is_private(text):
        if wrong := flaw(text):
            raise KeyFileUnusable(f"{path} is not a key: {wrong}")
        return LoginKeyFile(path, " ".join(text.split()[:2]), in_agent=True)
    if _BEGIN in text:
        return _openssh(path, text)
    if "ENCRYPTED" in text:
        return LoginKeyFile(path, _public_beside(path), in_agent=True)
    return LoginKeyFile(path, _public_of_pem(path, text), in_agent=False)


def _openssh(path: str, text: str) -> LoginKeyFile:
    try:
        body = base64.b64decode("".join(text.partition(_BEGIN)[2].partition(_END)[0].split()), validate=True)
        if not body.startswith(_MAGIC):
            raise ValueError
        cipher, rest = _field(body[len(_MAGIC) :])
        _, rest = _field(rest)  # how the passphrase becomes a key
        _, rest = _field(rest)
        public, _ = _field(rest[4:])  # after the number of keys
        kind, _ = _field(public)
    except (binascii.Error, ValueError):
        raise KeyFileUnusable(f"{path} is a damaged private key") from None
    return LoginKeyFile(path, f"{kind.decode()} {base64.b64encode(public).decode()}", in_agent=cipher != b"none")


def _field(data: bytes) -> tuple[bytes, bytes]:
    size = int.from_bytes(data[:4])
    if len(data) < 4 + size:
        raise ValueError
    return data[4 : 4 + size], data[4 + size :]


def _public_beside(path: str) -> str:
    """The public half of an encrypted key in a format that hides it."""
    try:
        return read_key_file(f"{path}.pub").public
    except (OSError, KeyFileUnusable):
        hint = f"Write its public key beside it (ssh-keygen -y -f {path} > {path}.pub), then: ssh-add {path}"
        raise KeyFileUnusable(f"{path} has a passphrase, and there is no usable {path}.pub", hint) from None


def _public_of_pem(path: str, text: str) -> str:
    from cryptography.hazmat.primitives import serialization as form

    try:
        public = form.load_pem_private_key(text.encode(), None).public_key()
        return public.public_bytes(form.Encoding.OpenSSH, form.PublicFormat.OpenSSH).decode()
    except (ValueError, TypeError, AttributeError):
        raise KeyFileUnusable(f"{path} is not a key that SSH uses") from None
