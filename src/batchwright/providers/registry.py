"""Finds providers: adapters announced by the entry point group `batchwright.providers`, loaded on request.

An entry point names a class (or anything) whose `connect(name, clock, settings)` returns a Provider, not yet open. A
file NAME.ncl in the package that it names is the contract of that provider's servers in a workflow file.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from batchwright.errors import ProviderUnavailable
from batchwright.installed_entry_points import entry_points
from batchwright.model.clock import Clock
from batchwright.model.did_you_mean import close_matches
from batchwright.providers.base import Provider

GROUP = "batchwright.providers"
CERTAIN = 0.8  # from this similarity on, an unknown name counts as a typo
_NAME = re.compile("[a-z][a-z0-9-]{0,40}")

Settings = Mapping[str, Any]


class Adapter(Protocol):
    """What an entry point names."""

    def connect(self, name: str, clock: Clock, settings: Settings) -> Provider:
        """A provider for one account, not yet open; without I/O. Raises UsageError for settings it does not know."""
        ...


def names(entries: Iterable[EntryPoint] | None = None) -> list[str]:
    """The installed providers."""
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
        raise _package_missing(found[0], error) from error
    except AttributeError as error:
        raise ProviderUnavailable(
            f"the package of the provider {name} is not usable: {error}", hint=f"Install it again: {found[0].value}"
        ) from error
    if not callable(getattr(adapter, "connect", None)):
        raise ProviderUnavailable(
            f"the package of the provider {name} is not usable: {found[0].value} has no connect()",
            hint="It was written for another version of Batchwright; install a matching version.",
        )
    return adapter


def connect(name: str, clock: Clock, settings: Settings, entries: Iterable[EntryPoint] | None = None) -> Provider:
    """A provider by its name, not yet open. Raises ProviderUnavailable, UsageError."""
    return load(name, entries).connect(name, clock, settings)


def contracts(entries: Iterable[EntryPoint] | None = None) -> dict[str, Path | None]:
    """The providers that are installed here, each with the contract of its servers; None: they have the usual fields.

    No adapter is imported for it: what needs a package that is missing can still be checked.
    """
    installed = {(entry.name, entry.value): entry for entry in _entries(entries)}
    rivals = Counter(name for name, _ in installed)  # which of them counts is not known: `load` refuses all
    return {name: _contract(entry) if rivals[name] == 1 else None for (name, _), entry in installed.items()}


def plug_in_hint(name: str, known: Iterable[str]) -> str:
    """What to install for an unknown provider; empty if the name is a typo."""
    if close_matches(name, known, 1, CERTAIN) or not _NAME.fullmatch(name):
        return ""
    return f"If a plug-in adds {name}, install it: usually the package batchwright-{name}."


def _contract(entry: EntryPoint) -> Path | None:
    package = entry.module.partition(".")[0]
    spec = find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    found = (Path(folder, f"{entry.name}.ncl") for folder in folders or ())
    return next((path for path in found if path.is_file()), None)


def _entries(entries: Iterable[EntryPoint] | None) -> list[EntryPoint]:
    return list(entry_points(group=GROUP) if entries is None else entries)


def _unknown(name: str, installed: list[str]) -> ProviderUnavailable:
    near = close_matches(name, installed, n=1)
    meant = f"Did you mean {near[0]}?" if near else ""
    return ProviderUnavailable(
        f"there is no provider {name}: installed are {', '.join(installed) or 'none'}",
        hint=" ".join(filter(None, (meant, plug_in_hint(name, installed), "To rehearse without it, add --simulate."))),
    )


def _package_missing(entry: EntryPoint, error: ImportError) -> ProviderUnavailable:
    name, ours = entry.name, entry.module.partition(".")[0] == __package__.partition(".")[0]
    install = f"pip install 'batchwright[{name}]'" if ours else f"pip install {error.name or name}"
    return ProviderUnavailable(
        f"the provider {name} needs a package that is not installed: {error.name or error}",
        hint=f"Install it with: {install}. To rehearse without it, add --simulate.",
    )
