"""What a key file holds, in each format, and who signs with it."""

from __future__ import annotations

from pathlib import Path

import asyncssh
import pytest

from batchwright.login_key_file import KeyFileUnusable, read_key_file
from batchwright.model.public_key import fingerprint

KINDS = ("ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256")
FORMATS = ("openssh", "pkcs8-pem")


def _public(key: asyncssh.SSHKey) -> str:
    return " ".join(key.export_public_key().decode().split()[:2])


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_private_key_signs_itself(tmp_path: Path, kind: str, form: str) -> None:
    key, path = asyncssh.generate_private_key(kind), tmp_path / "key"
    key.write_private_key(str(path), form)
    found = read_key_file(str(path))
    assert (found.public, found.in_agent) == (_public(key), False)
    assert found.blob == key.public_data


@pytest.mark.parametrize("kind", KINDS)
def test_the_agent_signs_for_an_encrypted_key_and_for_a_public_one(tmp_path: Path, kind: str) -> None:
    key, locked, public = asyncssh.generate_private_key(kind), tmp_path / "locked", tmp_path / "key.pub"
    key.write_private_key(str(locked), passphrase="secret", rounds=1, ignore_few_rounds=True)
    public.write_text(f"{_public(key)} ada@example.org\n")
    for path in (locked, public):
        found = read_key_file(str(path))
        assert (found.public, found.in_agent) == (_public(key), True)


def test_an_encrypted_key_that_hides_its_public_half_needs_it_beside(tmp_path: Path) -> None:
    key, path = asyncssh.generate_private_key("ssh-ed25519"), tmp_path / "key"
    key.write_private_key(str(path), "pkcs8-pem", passphrase="secret")
    with pytest.raises(KeyFileUnusable, match=r"has a passphrase, and there is no usable .*key\.pub") as refused:
        read_key_file(str(path))
    assert "ssh-keygen -y" in refused.value.hint
    key.write_public_key(f"{path}.pub")
    assert read_key_file(str(path)).public == _public(key)


def test_what_is_no_key_is_refused_and_not_quoted(tmp_path: Path) -> None:
    key, path = asyncssh.generate_private_key("ssh-ed25519"), tmp_path / "key"
    key.write_private_key(str(path))
    whole = path.read_bytes()
    wrong = [b"", b"hello secret", b"\xff\xfe", whole[:90], b"-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n"]
    for content in (*wrong, whole.replace(b"b3BlbnNzaC1rZXktdjE", b"b3BlbnNzaC1rZXktdjI")):
        path.write_bytes(content)
        with pytest.raises(KeyFileUnusable) as refused:
            read_key_file(str(path))
        assert str(path) in str(refused.value)
        assert "secret" not in str(refused.value)
    with pytest.raises(FileNotFoundError):
        read_key_file(str(tmp_path / "none"))
    with pytest.raises(KeyFileUnusable, match="cannot be read: Is a directory"):
        read_key_file(str(tmp_path))


def test_a_fingerprint_is_the_one_that_openssh_shows() -> None:
    key = asyncssh.generate_private_key("ssh-ed25519")
    assert fingerprint(_public(key)) == key.get_fingerprint()
