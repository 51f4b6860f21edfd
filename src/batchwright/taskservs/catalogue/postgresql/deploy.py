"""PostgreSQL: Debian's cluster `main`, and where asked for a database, its owner and the owner's password."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import stringprep
import unicodedata
from typing import Any

from pyinfra import host
from pyinfra.facts.server import Command
from pyinfra.operations import server

from batchwright.taskservs.config_escapes import hba_word, postgresql_value, shell_word, sql_identifier, sql_literal
from batchwright.taskservs.debian import (
    DeployImpossible,
    ServiceFile,
    install_packages,
    purge_packages,
    remove_paths,
    run_service,
    stop_service,
    write_files,
)

MAJORS = {"12": "15", "13": "17"}  # by the release of Debian
UNFINISHED = "/var/lib/batchwright/postgresql-unfinished"  # while the cluster is being made
LEAVE_IT = "/etc/postgresql-common/createcluster.d/batchwright.conf"

SETTINGS = """\
# Written by Batchwright.
port = {port}
listen_addresses = {bind}
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

# Prints how far the cluster is made, and whether it holds anything: what users make has numbers from 16384 on.
LOOK = f"""
if [ ! -e DATA ] && [ ! -e FOLDER ]; then echo missing
elif [ -e {UNFINISHED} ] || [ ! -e DATA/global/pg_control ] || [ ! -e FOLDER/postgresql.conf ]; then echo half
else echo whole; fi
[ -z "$(ls DATA/pg_tblspc 2>/dev/null)" ] || echo holds
find DATA/base -mindepth 1 -maxdepth 2 2>/dev/null |
    awk -F/ '{{ n = $NF; sub(/[^0-9].*/, "", n); if (n + 0 >= 16384) {{ print "holds"; exit }} }}'
"""

MAKE = f"""
set -e
umask 022
mkdir -p {UNFINISHED.rpartition("/")[0]}
touch {UNFINISHED}
systemctl stop UNIT 2>/dev/null || true
rm -rf DATA FOLDER
pg_createcluster --locale C.UTF-8 --encoding UTF8 --port PORT MAJOR main
rm -f {UNFINISHED}
"""

ITERATIONS = 4096  # PostgreSQL's own


class _Main:
    """The cluster `main` of the major version that this server's release of Debian has."""

    def __init__(self) -> None:
        release = host.get_fact(Command, ". /etc/os-release; echo $VERSION_ID")
        if release not in MAJORS:
            raise DeployImpossible(f"postgresql is installed on Debian {' or '.join(MAJORS)}, and this is {release}")
        self.major = MAJORS[release]
        self.folder = f"/etc/postgresql/{self.major}/main"
        self.unit = f"postgresql@{self.major}-main"
        self.data = f"/var/lib/postgresql/{self.major}/main"
        self.log = f"/var/log/postgresql/postgresql-{self.major}-main.log"
        own = (f"postgresql-{self.major}", f"postgresql-client-{self.major}")
        self.packages = (*own, "postgresql-common", "postgresql-client-common")
        self.help = f"Save what you need (pg_dumpall), then remove it with: pg_dropcluster --stop {self.major} main"

    def script(self, text: str) -> str:
        """A script about it."""
        for name, value in (("DATA", self.data), ("FOLDER", self.folder), ("UNIT", self.unit), ("MAJOR", self.major)):
            text = text.replace(name, value)
        return text


def install(v: Any) -> None:
    """Packages, the cluster in UTF-8 whatever the server's locale, configuration, the service, then what is in it."""
    settings, access, main = _settings(v), _access(v), _Main()
    own = "# Written by Batchwright: it makes the cluster itself.\ncreate_main_cluster = false\n"
    write_files(ServiceFile(LEAVE_IT, own))
    install_packages(*main.packages)
    state, *holds = (host.get_fact(Command, main.script(LOOK)) or "missing").split()
    if state == "half" and holds:
        raise DeployImpossible(f"the cluster in {main.data} is not whole, but holds data. {main.help}")
    if state != "whole":
        _make(main, v.port)
    _start(main, settings, access)
    encoding = _ask(v.port, "SHOW server_encoding")
    if encoding not in ("", "UTF8"):
        if holds or _ask(v.port, "SELECT count(*) FROM pg_roles WHERE oid >= 16384") != "0":
            raise DeployImpossible(
                f"the cluster in {main.data} has the encoding {encoding} instead of UTF8, and holds data. {main.help}"
            )
        _make(main, v.port)
        _start(main, settings, access)
    if v.database:
        _ensure(v.port, v.database, v.owner or v.database, getattr(v, "password", None))


def _make(main: _Main, port: int) -> None:
    server.shell(name="Make the cluster", commands=[main.script(MAKE).replace("PORT", str(port))])


def _start(main: _Main, settings: str, access: str) -> None:
    run_service(
        main.unit,
        ServiceFile(f"{main.folder}/conf.d/batchwright.conf", settings, user="postgres", group="postgres"),
        ServiceFile(f"{main.folder}/pg_hba.conf", access, "640", "postgres", "postgres", reload=True),
        logs=(main.log,),
    )


def _settings(v: Any) -> str:
    return SETTINGS.format(port=v.port, bind=postgresql_value(v.bind), max_connections=v.max_connections)


def _access(v: Any) -> str:
    allow = getattr(v, "allow", None)
    return ACCESS + (f"host all all {hba_word(allow)} scram-sha-256\n" if allow else "")


def remove(_v: Any) -> None:
    """Stop it, then purge it with its data."""
    main = _Main()
    stop_service(main.unit, main.packages[0])
    purge_packages(*main.packages)
    remove_paths("/etc/postgresql", "/var/lib/postgresql", "/var/log/postgresql", "/etc/postgresql-common", UNFINISHED)


def _ensure(port: int, database: str, owner: str, password: str | None) -> None:
    """The role, its password and the database, each only where it is not so already."""
    role, name = sql_literal(owner), sql_literal(database)
    stored = _ask(port, f"SELECT coalesce(rolpassword, '-') FROM pg_authid WHERE rolname = {role}")  # noqa: S608 - quoted
    if not stored:
        _tell(port, f"Create the role {owner}", f"CREATE ROLE {sql_identifier(owner)} LOGIN;")
    if password is not None and not is_password(password, stored):
        verifier = scram_verifier(password, secrets.token_bytes(16))  # the password itself never leaves this process
        statement = f"ALTER ROLE {sql_identifier(owner)} PASSWORD {sql_literal(verifier)};"
        _tell(port, f"Set the password of {owner}", statement)
    if not _ask(port, f"SELECT 1 FROM pg_database WHERE datname = {name}"):  # noqa: S608 - quoted
        statement = f"CREATE DATABASE {sql_identifier(database)} OWNER {sql_identifier(owner)};"
        _tell(port, f"Create the database {database}", statement)


def _psql(port: int) -> str:
    return f"cd / && runuser -u postgres -- psql -XAtq -v ON_ERROR_STOP=1 -p {port}"


def _ask(port: int, query: str) -> str:
    """The answer, empty where there is none, or no server yet."""
    return (host.get_fact(Command, f"{_psql(port)} -c {shell_word(query)} 2>/dev/null; true") or "").strip()


def _tell(port: int, what: str, statement: str) -> None:
    server.shell(name=what, commands=[_psql(port)], _stdin=statement)


def saslprep(password: str) -> str:
    """A password as PostgreSQL and its clients compare it: RFC 4013, and as it is where that forbids it."""
    if password.isascii():
        return password
    kept = "".join(" " if stringprep.in_table_c12(one) else one for one in password if not stringprep.in_table_b1(one))
    prepared = unicodedata.normalize("NFKC", kept)
    right = [stringprep.in_table_d1(one) for one in prepared]
    mixed = any(right) and (any(map(stringprep.in_table_d2, prepared)) or not (right[0] and right[-1]))
    return password if not prepared or mixed or any(map(_is_forbidden, prepared)) else prepared


def _is_forbidden(one: str) -> bool:
    tables = (stringprep.in_table_c12, stringprep.in_table_c21_c22, stringprep.in_table_c3, stringprep.in_table_c4)
    more = (stringprep.in_table_c5, stringprep.in_table_c6, stringprep.in_table_c7, stringprep.in_table_c8)
    return any(table(one) for table in (*tables, *more, stringprep.in_table_c9, stringprep.in_table_a1))


def scram_verifier(password: str, salt: bytes, iterations: int = ITERATIONS) -> str:
    """What PostgreSQL keeps of a password: RFC 5803."""
    salted = hashlib.pbkdf2_hmac("sha256", saslprep(password).encode(), salt, iterations)
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
