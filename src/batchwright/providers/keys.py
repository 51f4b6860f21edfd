"""SSH key pairs: one per run for those who log in, one per server that shows who it is. Made once, then kept."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
)
from msgspec import Struct

from batchwright.durable import alone, make_private, write

NAME = "id_ed25519"


class KeyPair(Struct, frozen=True):
    """A private key's file, and the public key as one line of text: "ssh-ed25519 AAAA..."."""

    path: Path
    public: str


def run_key(state_dir: Path, run: str) -> KeyPair:
    """The key of a run, made before it is first used. Raises OSError."""
    return key_in(state_dir / "keys" / run)


def host_folder(state_dir: Path, run: str, token: str) -> Path:
    """Where the key is kept that the server of this token shows who it is with."""
    return state_dir / "keys" / run / "hosts" / token


def key_in(folder: Path) -> KeyPair:
    """The key pair that is kept in a folder; whoever comes first makes it, durably. Raises OSError."""
    path = folder / NAME
    if not path.exists():
        make_private(folder)
        with alone(folder):
            if not path.exists():
                fresh = Ed25519PrivateKey.generate()
                write(path, fresh.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    return KeyPair(path, public_of(path.read_bytes()))


def public_of(private: bytes) -> str:
    """The public half of a private key in OpenSSH's format."""
    public = load_ssh_private_key(private, password=None).public_key()
    return public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
