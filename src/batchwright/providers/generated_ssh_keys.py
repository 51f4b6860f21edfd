"""SSH key pairs, created once and kept: one per run to log in with, and one per server as its host key.

A run that logs in with the operator's identity has no key of its own.
"""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from batchwright.durable_files import alone, make_private, write
from batchwright.errors import ProviderUnavailable
from batchwright.model.call_outcome import Observed
from batchwright.operations.server_batch import ServerRequest

NAME = "id_ed25519"


class KeyPair(Struct, frozen=True):
    """A private key's file, and the public key as one line of text: "ssh-ed25519 AAAA..."."""

    path: Path
    public: str


def run_key(state_dir: Path, run: str) -> KeyPair:
    """The key of a run, made before it is first used. Raises OSError, ProviderUnavailable."""
    return key_in(run_key_file(state_dir, run).parent)


def run_key_file(state_dir: Path, run: str) -> Path:
    """The private key of a run, which exists only in the state folder in which the run created a server."""
    return state_dir / "keys" / run / NAME


def login_key(state_dir: Path, run: str, request: ServerRequest) -> str:
    """The public key that the server lets in: the operator's identity, or the run's own key.

    Raises OSError, ProviderUnavailable.
    """
    return request.login.key if request.login is not None and request.login.key else run_key(state_dir, run).public


def host_keys(state_dir: Path, server: Observed) -> tuple[str, ...]:
    """The host keys that the server tells, or that this state folder gave it; none if neither is known.

    Raises OSError, ProviderUnavailable.
    """
    if server.host_keys or not server.token:
        return server.host_keys
    folder = host_folder(state_dir, server.run, server.token)
    return (key_in(folder).public,) if folder.exists() else ()


def host_folder(state_dir: Path, run: str, token: str) -> Path:
    """The folder of the host key of this token's server."""
    return state_dir / "keys" / run / "hosts" / token


def key_in(folder: Path) -> KeyPair:
    """The key pair in a folder; the first caller creates it, durably. Raises OSError."""
    path = folder / NAME
    if not path.exists():
        make_private(folder)
        with alone(folder):
            if not path.exists():
                write(path, _fresh())
    return KeyPair(path, public_of(path.read_bytes()))


def public_of(private: bytes) -> str:
    """The public half of a private key in OpenSSH's format. Raises ProviderUnavailable."""
    try:
        from cryptography.hazmat.primitives import serialization as form
    except ImportError as error:
        raise _missing(error) from error
    public = form.load_ssh_private_key(private, password=None).public_key()
    return public.public_bytes(form.Encoding.OpenSSH, form.PublicFormat.OpenSSH).decode()


def _fresh() -> bytes:
    try:
        from cryptography.hazmat.primitives import serialization as form
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    except ImportError as error:
        raise _missing(error) from error
    key = Ed25519PrivateKey.generate()
    return key.private_bytes(form.Encoding.PEM, form.PrivateFormat.OpenSSH, form.NoEncryption())


def _missing(error: ImportError) -> ProviderUnavailable:
    return ProviderUnavailable(
        f"SSH keys need a package that is not installed: {error.name}", hint="Install it with: pip install cryptography"
    )
