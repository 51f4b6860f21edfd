"""PostgreSQL: Debian's cluster `main`, and where asked for a database, its owner and the owner's password."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from typing import Any

from pyinfra import host
from pyinfra.facts.server import Command
from pyinfra.operations import server

from batchwright.taskservs.debian import (
    Written,
    install_packages,
    purge_packages,
    remove_paths,
    run_service,
    stop_service,
)

MAJOR = "15"
FOLDER = f"/etc/postgresql/{MAJOR}/main"
UNIT = f"postgresql@{MAJOR}-main"
PACKAGES = (f"postgresql-{MAJOR}", f"postgresql-client-{MAJOR}", "postgresql-common", "postgresql-client-common")

SETTINGS = """\
# Written by Batchwright.
port = {port}
listen_addresses = '{bind}'
max_connections = {max_connections}
password_encryption = 'scram-sha-256'
"""

ACCESS = """\
# Written by Batchwright.
local all all peer
host all all 127.0.0.1/32 scram-sha-256
host all all ::1/128 scram-sha-256
host all all samehost scram-sha-256
"""

ITERATIONS = 4096  # PostgreSQL's own


def install(v: Any) -> None:
    """Packages and configuration, the service, then what is to be in it."""
    install_packages(*PACKAGES)
    settings = SETTINGS.format(port=v.port, bind=v.bind, max_connections=v.max_connections)
    allow = getattr(v, "allow", None)
    access = ACCESS + (f"host all all {allow} scram-sha-256\n" if allow else "")
    run_service(
        UNIT,
        Written(f"{FOLDER}/conf.d/batchwright.conf", settings, user="postgres", group="postgres"),
        Written(f"{FOLDER}/pg_hba.conf", access, "640", user="postgres", group="postgres"),
    )
    if v.database:
        _ensure(v.port, v.database, v.owner or v.database, getattr(v, "password", None))


def remove(_v: Any) -> None:
    """Stop it, then purge it with its data."""
    stop_service(UNIT, f"postgresql-{MAJOR}")
    purge_packages(*PACKAGES)
    remove_paths("/etc/postgresql", "/var/lib/postgresql", "/var/log/postgresql", "/etc/postgresql-common")


def _ensure(port: int, database: str, owner: str, password: str | None) -> None:
    """The role, its password and the database, each only where it is not so already."""
    role, name = _literal(owner), _literal(database)
    stored = _ask(port, f"SELECT coalesce(rolpassword, '-') FROM pg_authid WHERE rolname = {role}")  # noqa: S608 - quoted
    if not stored:
        _tell(port, f"Create the role {owner}", f"CREATE ROLE {_identifier(owner)} LOGIN;")
    if password is not None and not is_password(password, stored):
        verifier = scram_verifier(password, secrets.token_bytes(16))  # the password itself never leaves this process
        _tell(port, f"Set the password of {owner}", f"ALTER ROLE {_identifier(owner)} PASSWORD {_literal(verifier)};")
    if not _ask(port, f"SELECT 1 FROM pg_database WHERE datname = {name}"):  # noqa: S608 - quoted
        statement = f"CREATE DATABASE {_identifier(database)} OWNER {_identifier(owner)};"
        _tell(port, f"Create the database {database}", statement)


def _psql(port: int) -> str:
    return f"cd / && runuser -u postgres -- psql -XAtq -v ON_ERROR_STOP=1 -p {port}"


def _ask(port: int, query: str) -> str:
    """The answer, empty where there is none, or no server yet."""
    return (host.get_fact(Command, f"{_psql(port)} -c {_quoted(query)} 2>/dev/null; true") or "").strip()


def _tell(port: int, what: str, statement: str) -> None:
    server.shell(name=what, commands=[_psql(port)], _stdin=statement)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _identifier(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def scram_verifier(password: str, salt: bytes, iterations: int = ITERATIONS) -> str:
    """What PostgreSQL keeps of a password: RFC 5803. Raises ValueError for what SASLprep would have to change first."""
    if not (password.isascii() and password.isprintable()):
        raise ValueError("the password must be of printable ASCII characters")
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    return f"SCRAM-SHA-256${iterations}:{_b64(salt)}${_b64(stored)}:{_b64(server_key)}"


def is_password(password: str, verifier: str) -> bool:
    """Whether this is the password of a verifier."""
    kind, _, rest = verifier.partition("$")
    iterations, _, salt = rest.partition("$")[0].partition(":")
    if kind != "SCRAM-SHA-256":
        return False
    return hmac.compare_digest(scram_verifier(password, base64.b64decode(salt), int(iterations)), verifier)


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()
