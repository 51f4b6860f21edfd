"""The servers that may be configured, each by a table of the configuration file."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from batchwright.model.secret_reference import SecretReference

CERTIFICATES = ("tls_ca", "tls_cert", "tls_key")


class SurrealConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """The SurrealDB server that holds the runs of `storage_backend = "surrealdb"`."""

    url: str
    user: str = ""
    password: SecretReference | None = None
    namespace: str = "batchwright"
    database: str = "journal"
    auth_level: Literal["root", "namespace", "database"] = "root"


class PostgresConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """The PostgreSQL database of `storage_backend = "postgres"`. The settings of TLS are libpq's."""

    url: str
    password: SecretReference | None = None
    schema: str = "batchwright"
    sslmode: Literal["", "disable", "allow", "prefer", "require", "verify-ca", "verify-full"] = ""
    sslrootcert: str = ""
    sslcert: str = ""
    sslkey: str = ""


class TemporalConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """The Temporal cluster that carries runs to workers. `address` is HOST:PORT.

    `tls`: on for every address but this machine's, unless it says otherwise. The three files are in PEM: who signed the
    cluster's certificate, where the system does not know it, and a certificate and key of ours for mutual TLS. `queue`
    begins the names of all task queues, so that two installations can share a namespace.
    """

    address: str
    namespace: str = "default"
    tls: Literal["", "on", "off"] = ""
    tls_ca: str = ""
    tls_cert: str = ""
    tls_key: str = ""
    tls_server_name: str = ""
    api_key: SecretReference | None = None
    queue: str = "batchwright"

    def __post_init__(self) -> None:
        host, _, port = self.address.rpartition(":")
        if not host or not port.isdigit():
            raise ValueError(f"the address of Temporal is HOST:PORT, not {self.address!r}")
        if bool(self.tls_cert) is not bool(self.tls_key):
            raise ValueError("tls_cert and tls_key are given together")
        if self.api_key is not None and not self.has_tls:
            raise ValueError("an API key is only sent over TLS")
        for name in CERTIFICATES:
            path = getattr(self, name)
            if path and not path.startswith(("/", "~/")):
                raise ValueError(f"{name} is {path!r}, not a path that begins with / or ~/")

    @property
    def has_tls(self) -> bool:
        """Whether connections are encrypted."""
        host = self.address.rpartition(":")[0].strip("[]")
        return self.tls == "on" or (self.tls == "" and host not in ("127.0.0.1", "::1", "localhost"))

    @property
    def runs_queue(self) -> str:
        """The task queue of runs that wait for a worker."""
        return f"{self.queue}-runs"

    def place_queue(self, place: str) -> str:
        """The task queue of calls that are made at a place."""
        return f"{self.queue}-place-{place}"
