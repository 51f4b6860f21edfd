"""Which providers there are: adapters announced by the entry point group `batchwright.providers`, loaded on request.

An entry point names a class (or anything) with `connect(name, clock, settings)` that gives a Provider, not yet open.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Protocol

from batchwright.errors import ProviderUnavailable
from batchwright.model.clock import Clock
from batchwright.model.did_you_mean import close_matches
from batchwright.providers.base import Provider

GROUP = "batchwright.providers"
SHIPPED = (
    "aws",
    "hetzner",
    "libcloud",
    "local",
    "simulated",
    "static",
    "upcloud",
)  # names whose packages come with an extra of the same name

Settings = Mapping[str, str | int | float | bool]


class Adapter(Protocol):
    """What an entry point names."""

    def connect(self, name: str, clock: Clock, settings: Settings) -> Provider:
        """A provider for one account, not yet open; without I/O. Raises UsageError for settings it does not know."""
        ...


def names(entries: Iterable[EntryPoint] | None = None) -> list[str]:
    """The providers that are installed here."""
    return sorted({entry.name for entry in _entries(entries)})


def load(name: str, entries: Iterable[EntryPoint] | None = None) -> Adapter:
    """The adapter of a provider's name. Raises ProviderUnavailable when it is unknown or its package is missing."""
    found = [entry for entry in _entries(entries) if entry.name == name]
    if not found:
        raise _unknown(name, names(entries))
    if len({entry.value for entry in found}) > 1:
        rivals = ", ".join(sorted({entry.value for entry in found}))
        raise ProviderUnavailable(
            f"more than one installed package is the provider {name}: {rivals}", hint="Uninstall all but one of them."
        )
    try:
        adapter: Adapter = found[0].load()
    except ImportError as error:
        raise _package_missing(name, error) from error
    except AttributeError as error:
        raise ProviderUnavailable(
            f"the package of the provider {name} is not usable: {error}", hint=f"Install it again: {found[0].value}"
        ) from error
    if not callable(getattr(adapter, "connect", None)):
        raise ProviderUnavailable(
            f"the package of the provider {name} is not usable: {found[0].value} has no connect()",
            hint="It was written for another version of Batchwright; install a version that fits.",
        )
    return adapter


def connect(name: str, clock: Clock, settings: Settings, entries: Iterable[EntryPoint] | None = None) -> Provider:
    """A provider by its name, not yet open. Raises ProviderUnavailable, UsageError."""
    return load(name, entries).connect(name, clock, settings)


def _entries(entries: Iterable[EntryPoint] | None) -> list[EntryPoint]:
    return list(entry_points(group=GROUP) if entries is None else entries)


def _unknown(name: str, installed: list[str]) -> ProviderUnavailable:
    near = close_matches(name, {*installed, *SHIPPED} - {name}, n=1)
    hint = f"Did you mean {near[0]}? " if near else ""
    return ProviderUnavailable(
        f"there is no provider {name}: installed are {', '.join(installed) or 'none'}",
        hint=f"{hint}To rehearse without it, add --simulate.",
    )


def _package_missing(name: str, error: ImportError) -> ProviderUnavailable:
    install = f"pip install 'batchwright[{name}]'" if name in SHIPPED else f"pip install {error.name or name}"
    return ProviderUnavailable(
        f"the provider {name} needs a package that is not installed: {error.name or error}",
        hint=f"Install it with: {install}. To rehearse without it, add --simulate.",
    )
