"""Real PostgreSQL servers of the distribution, run by a user who is not root, on a Unix socket in a folder of /tmp.

`shared()` gives one to all tests of a session, also those in other workers. It ends when the last process that uses it
has: each holds a lock on a file, and the server's keeper waits for that lock.

    python -m tests.support.postgres_server FOLDER      keeps the shared server
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg

from batchwright.journal.postgres import PostgresAddress
from tests.support import session_server
from tests.support.needs import missing

USER, PASSWORD = "batchwright", "correct horse"
SETTINGS = {
    "listen_addresses": "",
    "max_connections": "80",
    "shared_buffers": "16MB",
    "min_wal_size": "32MB",
    "max_wal_size": "64MB",
    "autovacuum": "off",
    "jit": "off",
    "max_wal_senders": "4",
    "restart_after_crash": "on",
    "log_min_messages": "fatal",
}
NAME = "postgres_server"
START_SECONDS = 60.0
MEMORY_MOST = 2**29  # bytes that must be free in memory for a server to have its data there: an fsync costs nothing


def binary(name: str) -> str:
    """The path of one of the server's programs, of the newest version."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4].split(".")[0]))
    return (
        str(found[-1]) if found else shutil.which(name) or missing(f"{name} is missing; scripts/tools.sh installs it")
    )


def _person() -> dict[str, Any]:
    """PostgreSQL refuses to run as root."""
    if os.getuid():
        return {}
    person = pwd.getpwnam("postgres")
    return {"user": person.pw_uid, "group": person.pw_gid, "extra_groups": []}


def chowned(path: Path, content: bytes) -> None:
    """Write a file that the server alone may read."""
    path.write_bytes(content)
    path.chmod(0o600)
    if not os.getuid():
        os.chown(path, _person()["user"], _person()["group"])


def new_folder(*, in_memory: bool = True) -> Path:
    """A folder for a server, short enough for the path of its socket."""
    memory = Path("/dev/shm")
    near = in_memory and memory.is_dir() and shutil.disk_usage(memory).free > MEMORY_MOST
    folder = Path(tempfile.mkdtemp(prefix="bwpg-", dir=memory if near else "/tmp"))
    if not os.getuid():
        os.chown(folder, _person()["user"], _person()["group"])
    return folder


class PostgresServer:
    """`with PostgresServer() as server:` runs one until the end; `kill` and `start` as often as wanted."""

    def __init__(self, folder: Path | None = None, **settings: str) -> None:
        self.folder = folder or new_folder()
        self.data = self.folder / "data"
        self._settings = SETTINGS | settings
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> PostgresServer:
        self.make()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.remove()

    @property
    def pid(self) -> int:
        """Of its first process while it runs."""
        assert self._process is not None
        return self._process.pid

    @property
    def port(self) -> str:
        """Of its socket and of TCP."""
        return self._settings.get("port", "5432")

    def remove(self) -> None:
        """Remove its folder."""
        shutil.rmtree(self.folder)

    def reload(self) -> None:
        """Make it read its settings again, and wait until new connections have them."""
        with self.connect() as connection:
            [[before]] = connection.execute("SELECT pg_conf_load_time()").fetchall()
            connection.execute("SELECT pg_reload_conf()")
        while True:
            with self.connect() as connection:
                if connection.execute("SELECT pg_conf_load_time()").fetchall() != [(before,)]:
                    return

    def replicate(self, primary: PostgresServer) -> None:
        """A standby of another server, as it is now; it follows from then on."""
        words = ["-d", primary.url("postgres"), "-D", str(self.data), "-R", "-X", "stream", "-c", "fast"]
        subprocess.run([binary("pg_basebackup"), *words], check=True, capture_output=True, cwd="/", **_person())

    def promote(self) -> None:
        """Make a standby the primary."""
        command = [binary("pg_ctl"), "promote", "-w", "-D", str(self.data)]
        subprocess.run(command, check=True, capture_output=True, cwd="/", **_person())

    def make(self) -> None:
        """A new cluster; its superuser is USER, whom the socket trusts, and over TCP by password."""
        password = self.folder / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        words = ["-D", str(self.data), "-U", USER, "--no-sync", "-E", "UTF8", "--locale=C", f"--pwfile={password}"]
        words += ["--auth-local=trust", "--auth-host=scram-sha-256"]
        subprocess.run([binary("initdb"), *words], check=True, capture_output=True, cwd="/", **_person())

    def start(self) -> None:
        """Start it, and wait until it answers."""
        settings = self._settings | {"unix_socket_directories": str(self.folder)}
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        log = (self.folder / "log").open("ab")
        command = [binary("postgres"), "-D", str(self.data), *words]
        self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/", **_person())
        log.close()
        until = time.monotonic() + START_SECONDS
        while True:
            try:
                self.connect().close()
                return
            except psycopg.OperationalError:
                assert self._process.poll() is None, (self.folder / "log").read_text()
                assert time.monotonic() < until, (self.folder / "log").read_text()
                time.sleep(0.02)

    def kill(self) -> None:
        """SIGKILL to the server and to every process of it, as when the machine loses its power."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)  # so that it starts no other
        for child in Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split():
            with suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)
        self._process.kill()
        self._process.wait()
        self._process = None

    def stop(self) -> None:
        """End it at once; what is committed stays."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(START_SECONDS)
            self._process = None

    def connect(self, database: str = "postgres") -> psycopg.Connection[Any]:
        """A connection of the superuser."""
        return psycopg.connect(self.url(database), autocommit=True)

    def url(self, database: str) -> str:
        """The URL of a database, over the socket."""
        return f"postgresql://{USER}@/{database}?host={self.folder}&port={self.port}"

    def new_database(self) -> PostgresAddress:
        """A new, empty database."""
        name = f"t{secrets.token_hex(6)}"
        with self.connect() as connection:
            connection.execute(f'CREATE DATABASE "{name}"'.encode())
        return PostgresAddress(self.url(name))


def shared(session: Path) -> PostgresServer:
    """The server of all tests of a session, whose folder this is."""
    return PostgresServer(Path(session_server.shared(session, NAME)))


def _keep(session: Path) -> None:
    with PostgresServer() as server:
        session_server.keep(session, NAME, str(server.folder))


if __name__ == "__main__":
    _keep(Path(sys.argv[1]))
