"""The connection to Temporal, by the settings of the table [temporal]."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

from temporalio.client import Client
from temporalio.service import RPCError, TLSConfig

from batchwright.app.backing_services import TemporalConfig
from batchwright.app.settings import Settings
from batchwright.errors import TemporalUnavailable
from batchwright.secret_resolver import reveal
from batchwright.user_home import expanded

CALL_SECONDS = timedelta(seconds=5)  # for one call, attempts of the client library included


def config_of(settings: Settings) -> TemporalConfig:
    """Which Temporal is to be used. Raises TemporalUnavailable if none is configured."""
    if settings.temporal is None:
        raise TemporalUnavailable("no Temporal cluster is configured")
    return settings.temporal


async def connected(config: TemporalConfig, *, lazy: bool = False) -> Client:
    """A client; a lazy one connects with its first call, and again after a loss. Raises TemporalUnavailable."""
    api_key = None if config.api_key is None else reveal(config.api_key, os.environ)
    try:
        tls = _tls(config)
        return await Client.connect(
            config.address,
            namespace=config.namespace,
            tls=tls,
            api_key=api_key,
            lazy=lazy,
            connect_timeout=CALL_SECONDS,
        )
    except OSError as error:
        raise TemporalUnavailable(f"a file of [temporal] cannot be read: {error}") from error
    except (RuntimeError, RPCError, ValueError) as error:
        raise unavailable(config, error) from error


def unavailable(config: TemporalConfig, error: Exception) -> TemporalUnavailable:
    """The error for a call that Temporal did not answer, or refused."""
    words = error.message if isinstance(error, RPCError) else str(error)
    return TemporalUnavailable(
        f"Temporal at {config.address}, namespace {config.namespace}, does not answer: {words}",
        hint="Nothing is lost: runs are recorded, and are driven when it is back.",
    )


def _tls(config: TemporalConfig) -> TLSConfig | bool:
    if not config.has_tls:
        return False
    return TLSConfig(
        server_root_ca_cert=_content(config.tls_ca),
        domain=config.tls_server_name or None,
        client_cert=_content(config.tls_cert),
        client_private_key=_content(config.tls_key),
    )


def _content(path: str) -> bytes | None:
    return expanded(Path(path), os.environ).read_bytes() if path else None
