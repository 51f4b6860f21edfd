"""A static server that is OpenSSH's own sshd: what it says and how it refuses is not what asyncssh's server does."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import asyncssh
import pytest
from tests.served import PATIENCE

from batchwright.model.access import Access
from batchwright.model.outcome import Fault
from batchwright.providers.static.reach import Facts, look

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")

pytestmark = pytest.mark.skipif(
    SSHD is None or os.geteuid() != 0, reason="needs OpenSSH's server, and root to let root in"
)


def keys(path: Path, kind: str = "ssh-ed25519") -> str:
    """Make a key pair; gives the public one."""
    key = asyncssh.generate_private_key(kind)
    key.write_private_key(str(path))
    path.chmod(0o600)
    return " ".join(key.export_public_key().decode().split()[:2])


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Access]:
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    host_key = keys(tmp_path / "host")
    (tmp_path / "allowed").write_text(keys(tmp_path / "client") + "\n")
    (tmp_path / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {tmp_path}/host\nAuthorizedKeysFile {tmp_path}/allowed\n"
        f"PidFile {tmp_path}/pid\nStrictModes no\nUsePAM no\nPermitRootLogin prohibit-password\n"
    )
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where it locks itself in before a login
    process = subprocess.Popen(
        [str(SSHD), "-D", "-e", "-f", str(tmp_path / "sshd_config")], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            with closing(socket.socket()) as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
        yield Access("127.0.0.1", "root", port, str(tmp_path / "client"), (host_key,))
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE)


def test_it_is_logged_in_to_and_looked_at(server: Access) -> None:
    found = asyncio.run(look(server))
    assert isinstance(found, Facts), found
    assert found.memory_mb > 0


@pytest.mark.parametrize("kind", ["ssh-ed25519", "ecdsa-sha2-nistp256"])
def test_another_host_key_is_refused(server: Access, tmp_path: Path, kind: str) -> None:
    found = asyncio.run(look(Access(server.host, server.user, server.port, server.key, (keys(tmp_path / "x", kind),))))
    assert isinstance(found, Fault)
    assert found.code == "host-key-mismatch"


def test_another_key_is_not_let_in(server: Access, tmp_path: Path) -> None:
    keys(tmp_path / "stranger")
    stranger = Access(server.host, server.user, server.port, str(tmp_path / "stranger"), server.host_keys)
    found = asyncio.run(look(stranger))
    assert isinstance(found, Fault)
    assert found.code == "login-refused"


def test_it_is_a_jump_host_to_itself(server: Access) -> None:
    through = Access(server.host, server.user, server.port, server.key, server.host_keys, server)
    assert isinstance(asyncio.run(look(through)), Facts)
