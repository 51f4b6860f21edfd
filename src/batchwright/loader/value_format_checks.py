"""Checks formats that no contract reads: public keys, IPv6 addresses, first-boot data."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from typing import Any

from batchwright.loader.contract_report import OPERATIONS, PathDiagnostic
from batchwright.loader.nickel_expressions import Path_
from batchwright.loader.user_data_checks import warnings
from batchwright.model import public_key
from batchwright.model.diagnostic import Diagnostic

PUBLIC = "Use the public key, the line in the file that ends in .pub: ssh-ed25519 AAAA... NAME"
PRIVATE = f"{PUBLIC}. Anyone who could read this file has the private key: create a new key pair."


def mistaken(operations: Sequence[Any]) -> Iterator[PathDiagnostic]:
    """A diagnostic for each text that is certainly wrong; parts that are broken already are skipped."""
    for number, operation in enumerate(operations):
        if isinstance(operation, dict):
            for path, text in texts(operation, ()):
                yield from _judged((*OPERATIONS, number), path, text)


def texts(value: Any, path: Path_) -> Iterator[tuple[Path_, str]]:
    """Every text in a value, with its path."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from texts(part, (*path, key))
    elif isinstance(value, list):
        for place, part in enumerate(value):
            yield from texts(part, (*path, place))


def _judged(operation: Path_, path: Path_, text: str) -> Iterator[PathDiagnostic]:
    where = (*operation, *path)
    is_key = (path[0] == "server_configs" and "ssh_keys" in path) or path[-1] == "host_key"
    if is_key and (why := public_key.flaw(text)):
        private = public_key.is_private(text)
        code = "ssh-key-private" if private else "ssh-key-invalid"
        yield PathDiagnostic(where, Diagnostic(code, f"expected a public key: {why}", PRIVATE if private else PUBLIC))
        return
    if path[-1] == "address" and path[0] == "server_configs" and ":" in text and not _is_v6(text):
        message = f'expected a host name or an address, got the text "{text[:60]}"'
        yield PathDiagnostic(where, Diagnostic("bad-format", message))
    if path[-1] == "user_data":
        for warning in warnings(text):
            yield PathDiagnostic(where, warning)


def _is_v6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True
