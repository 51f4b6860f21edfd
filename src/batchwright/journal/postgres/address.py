"""Where a PostgreSQL server is and how to connect to it. What is shown of it has no secret."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from msgspec import Struct

from batchwright.errors import StoreUnavailable

SCHEMA_VERSION = 3  # the number of the newest file in `schema`
SCHEMES = ("postgresql", "postgres")
EXAMPLE = (
    "Write it as, for example, postgresql://batchwright@db.example.org/batchwright; in a password, / is %2F, @ is %40, "
    "? is %3F, # is %23, % is %25."
)
MOST_SCHEMA = 40  # characters; PostgreSQL has 63 for a name, and channels are named after the schema

_HOST = re.compile(r"(\[[^]]*\]|[^:]*)(:[0-9]*)?")
_SCHEMA = re.compile(r"[a-z_][a-z0-9_]*")


class PostgresAddress(Struct, frozen=True):
    """A server's URL and what completes it. The password is read when it is used and not kept.

    The settings of TLS have libpq's names and meaning; empty ones are as the URL says. A server on another machine must
    prove who it is unless `sslmode` says otherwise.
    """

    url: str
    password: Callable[[], str] | None = None
    schema: str = "batchwright"
    sslmode: str = ""
    sslrootcert: str = ""
    sslcert: str = ""
    sslkey: str = ""

    def __str__(self) -> str:
        if not self._is_plain():
            return f"the PostgreSQL server (schema {self.schema})"
        told = self._query()
        hosts = self._parts.netloc.rpartition("@")[2] or told.get("host", "") or "the local socket"
        return f"{unquote(hosts)}/{self.database} (schema {self.schema})"

    @property
    def database(self) -> str:
        """The name of the database; the URL names it."""
        return unquote(self._parts.path.strip("/")) or self._query().get("dbname", "")

    def check(self) -> None:
        """Raise StoreUnavailable if this is no address, without showing it: it may hold a password."""
        if self._parts.scheme not in SCHEMES or not self._is_plain() or not self.database:
            raise StoreUnavailable("this is not the URL of a PostgreSQL database", hint=EXAMPLE)
        if not _SCHEMA.fullmatch(self.schema) or len(self.schema) > MOST_SCHEMA:
            raise StoreUnavailable(
                f"{self.schema!r} cannot be the schema of a store",
                hint=f"A schema has at most {MOST_SCHEMA} lower-case letters, digits and _, and begins with no digit.",
            )

    def parameters(self) -> dict[str, Any]:
        """What libpq is given beside the URL. Raises SecretMissing."""
        told = self._query()
        given: dict[str, Any] = {
            "sslmode": self.sslmode or told.get("sslmode") or ("prefer" if self._is_here() else "verify-full"),
            "sslrootcert": self.sslrootcert,
            "sslcert": self.sslcert,
            "sslkey": self.sslkey,
            "target_session_attrs": told.get("target_session_attrs", "read-write"),
        }
        if given["sslmode"].startswith("verify-") and not (self.sslrootcert or told.get("sslrootcert")):
            given["sslrootcert"] = "system"  # the certificates that this machine trusts
        if self.password is not None:
            given["password"] = self.password()
        return {name: value for name, value in given.items() if value}

    @property
    def _parts(self) -> SplitResult:
        try:
            return urlsplit(self.url)
        except ValueError:
            return urlsplit("")

    def _is_plain(self) -> bool:
        """Whether what would be shown of it is no part of a password in which a character was not escaped."""
        hosts = unquote(self._parts.netloc.rpartition("@")[2])
        rest = self._parts.path + self._parts.query + self._parts.fragment
        return "@" not in rest + hosts and all(map(_HOST.fullmatch, hosts.split(",")))

    def _is_here(self) -> bool:
        """Whether every host is this machine."""
        hosts = [host.rpartition(":")[0] or host for host in self._parts.netloc.rpartition("@")[2].split(",")]
        hosts += self._query().get("host", "").split(",")
        hosts += self._query().get("hostaddr", "").split(",")
        near = ("", "localhost", "127.0.0.1", "::1", "[::1]")
        return all(host in near or Path(unquote(host)).is_absolute() for host in hosts)

    def _query(self) -> dict[str, str]:
        return dict(parse_qsl(self._parts.query))
