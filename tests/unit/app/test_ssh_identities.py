"""Which key logs in: what `[ssh] identity` may be, and what is said when it cannot be used."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import asyncssh
import pytest

from batchwright.app.settings import Settings, SshConfig, settings_from
from batchwright.app.ssh_identities import OperatorSshKeys
from batchwright.errors import ConfigInvalid
from batchwright.errors.ssh_key import IdentityUnusable, LoginKeyMissing
from batchwright.model.public_key import fingerprint
from tests.support.ssh_agent import add_key, ssh_agent


def key(path: Path, **more: str) -> str:
    """Make a key pair; gives the public key."""
    made = asyncssh.generate_private_key("ssh-ed25519")
    made.write_private_key(str(path), **more)
    path.chmod(0o600)
    made.write_public_key(f"{path}.pub")
    return " ".join(made.export_public_key().decode().split()[:2])


def logins(folder: Path, identity: str | Path = "") -> OperatorSshKeys:
    return OperatorSshKeys(Settings(folder / "state", ssh=SshConfig(str(identity))))


def refused(one: OperatorSshKeys) -> IdentityUnusable:
    with pytest.raises(IdentityUnusable) as error:
        asyncio.run(one.identity())
    return error.value


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with ssh_agent(tmp_path) as socket:
        monkeypatch.setenv("SSH_AUTH_SOCK", socket)
        yield socket


@pytest.fixture
def no_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


@pytest.mark.usefixtures("no_agent")
def test_a_private_key_file_is_the_identity_and_logs_in(tmp_path: Path) -> None:
    public, other = key(tmp_path / "mine"), key(tmp_path / "other")
    one = logins(tmp_path, tmp_path / "mine")
    assert asyncio.run(one.identity()) == public
    assert one.file(public) == str(tmp_path / "mine")
    asyncio.run(one.refuse_missing({"", public}))
    with pytest.raises(LoginKeyMissing, match=fingerprint(other).replace("+", r"\+")) as missing:
        asyncio.run(one.refuse_missing({public, other}))
    assert "[ssh] identity" in missing.value.hint
    named = Path(one.file(other))
    assert named.read_text() == f"{other}\n", "the agent may have it, and is told which key is meant"
    assert named.stat().st_mode & 0o077 == 0
    assert named.parent == tmp_path / "state" / "login_keys"


@pytest.mark.usefixtures("no_agent")
def test_without_an_identity_runs_have_keys_of_their_own(tmp_path: Path) -> None:
    assert asyncio.run(logins(tmp_path).identity()) == ""
    asyncio.run(logins(tmp_path).refuse_missing({""}))


def test_the_agents_only_key_is_the_identity(tmp_path: Path, agent: str) -> None:
    assert "holds no key" in refused(logins(tmp_path, "agent")).message
    public, other = key(tmp_path / "mine"), key(tmp_path / "other")
    add_key(agent, tmp_path / "mine")
    assert asyncio.run(logins(tmp_path, "agent").identity()) == public
    asyncio.run(logins(tmp_path).refuse_missing({public}))
    add_key(agent, tmp_path / "other")
    two = refused(logins(tmp_path, "agent"))
    assert "holds 2 keys" in two.message
    assert fingerprint(public) in two.message
    assert fingerprint(other) in two.message
    assert ".pub" in two.hint


def test_the_agent_signs_for_a_public_key_file_and_for_a_passphrase(tmp_path: Path, agent: str) -> None:
    public = key(tmp_path / "mine")
    locked = asyncssh.read_private_key(str(tmp_path / "mine"))
    locked.write_private_key(str(tmp_path / "locked"), passphrase="secret", rounds=1, ignore_few_rounds=True)
    (tmp_path / "locked").chmod(0o644)  # as OpenSSH, which reads only the public half of it
    for named in ("mine.pub", "locked"):
        without = refused(logins(tmp_path, tmp_path / named))
        assert f"does not have the key {fingerprint(public)}" in without.message
        assert f"ssh-add {tmp_path / named.removesuffix('.pub')}," in without.hint
    add_key(agent, tmp_path / "mine")
    for named in ("mine.pub", "locked"):
        one = logins(tmp_path, tmp_path / named)
        assert asyncio.run(one.identity()) == public
        assert one.file(public) == str(tmp_path / named)
        asyncio.run(one.refuse_missing({public}))


@pytest.mark.usefixtures("no_agent")
def test_what_cannot_be_the_identity_is_refused_with_what_to_do(tmp_path: Path) -> None:
    key(tmp_path / "open")
    (tmp_path / "open").chmod(0o640)
    too_open = refused(logins(tmp_path, tmp_path / "open"))
    assert "other users may read the private key" in too_open.message
    assert too_open.hint == f"chmod 600 {tmp_path / 'open'}"
    assert "there is no file" in refused(logins(tmp_path, tmp_path / "none")).message
    (tmp_path / "text").write_text("hello")
    assert "is not a key" in refused(logins(tmp_path, tmp_path / "text")).message
    assert "no SSH agent answers" in refused(logins(tmp_path, "agent")).message
    # a broken identity does not hide the key that a server needs
    assert logins(tmp_path, tmp_path / "none").file("ssh-ed25519 AAAA").endswith(".pub")


def test_the_setting_is_checked_and_expanded(tmp_path: Path) -> None:
    place = tmp_path / ".config" / "batchwright" / "config.toml"
    place.parent.mkdir(parents=True)
    environ = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    for written, expected in (("~/.ssh/id", f"{tmp_path}/.ssh/id"), ("/keys/id", "/keys/id"), ("agent", "agent")):
        place.write_text(f'[ssh]\nidentity = "{written}"\n')
        assert settings_from(environ).ssh.identity == expected
    for wrong in ('identity = "id_ed25519"', "identity = 3", 'key = "/x"'):
        place.write_text(f"[ssh]\n{wrong}\n")
        with pytest.raises(ConfigInvalid):
            settings_from(environ)
