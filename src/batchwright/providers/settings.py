"""Shared by the adapters' tables of config.toml and environment variables. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import TypeVar
from urllib.parse import SplitResult, urlsplit

import msgspec
from msgspec import Struct

from batchwright.errors import ProviderUnavailable, UsageError
from batchwright.model.did_you_mean import close_matches
from batchwright.model.scalar import Scalar
from batchwright.redaction import masked

S = TypeVar("S", bound=Struct)


def settings_of(kind: type[S], name: str, given: Mapping[str, Scalar]) -> S:
    """The table of a provider. Raises UsageError for what is not known or not of its kind."""
    known = kind.__struct_fields__
    for key in given:
        if key not in known:
            near = close_matches(key, known, n=1)
            others = ", ".join(one for one in known if one != "state_dir")
            hint = f"Did you mean {near[0]}?" if near else f"Available: {others}."
            raise UsageError(f"{name}: there is no setting {key}", hint=hint)
    try:
        return msgspec.convert(dict(given), kind, strict=False)
    except msgspec.ValidationError as error:
        raise UsageError(f"{name}: {error}", hint=f"The page about {name} lists the settings.") from error


class RestSettings(Struct, frozen=True):
    """Of a cloud with a REST API. Times are seconds."""

    state_dir: str = ""
    url: str = ""
    settle_seconds: float = 120.0  # after so long without a sighting a create in doubt made nothing
    visible_seconds: float | None = None  # a listing begun so long after a create shows it; None: settle_seconds
    exclusive: bool = False  # no other store creates servers in this account
    poll_seconds: float = 3.0
    concurrency: int = 8
    rate: float = 5.0
    page: int = 100  # entries per page of a listing


R = TypeVar("R", bound=RestSettings)


def rest_settings(kind: type[R], name: str, given: Mapping[str, Scalar]) -> R:
    """The table of a cloud with a REST API. Raises UsageError for what is not known or not of its kind."""
    found = settings_of(kind, name, given)
    visible = found.poll_seconds if found.visible_seconds is None else found.visible_seconds
    positive = min(found.poll_seconds, found.concurrency, found.page, visible) > 0
    must_be(positive and min(found.settle_seconds, found.rate) >= 0, name, given)
    return found


def must_be(fine: bool, name: str, given: Mapping[str, Scalar]) -> None:
    """Raise UsageError unless the numbers of a table are in range."""
    if not fine:
        numbers = {key: value for key, value in given.items() if not isinstance(value, str)}
        raise UsageError(f"{name}: a setting is out of range: {numbers}", hint="Give a positive number.")


def checked_address(url: str, cloud: str, hint: str) -> SplitResult:
    """The parts of an API's address that credentials may be sent to. Raises ProviderUnavailable."""
    try:
        parts = urlsplit(url)
        fine = parts.scheme in ("http", "https") and parts.port != 0
    except ValueError:  # brackets, or a port that is none
        parts, fine = urlsplit(""), False
    if not fine or not parts.hostname or parts.query or "@" in parts.netloc:
        raise ProviderUnavailable(f"{masked(url)} is not an address of the {cloud} API", hint=hint)
    if parts.scheme == "http" and not _loopback(parts.hostname):
        raise ProviderUnavailable(f"{url} would send the credentials unencrypted", hint="Use https.")
    return parts


def _loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
