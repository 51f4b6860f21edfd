"""Which clouds `batchwright emulate` can serve: those shipped, and those that plug-ins announce.

A plug-in's entry point in the group `batchwright.emulators` names a CloudEmulator. Nothing is imported before a cloud
is asked for by its name.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from importlib.metadata import EntryPoint

from batchwright.emulators.cloud import CloudEmulator
from batchwright.errors import ProviderUnavailable, UsageError
from batchwright.installed_entry_points import entry_points
from batchwright.model.did_you_mean import close_matches

GROUP = "batchwright.emulators"
SHIPPED = ("aws", "hetzner", "upcloud")  # each is a package beside this module, with an EMULATOR


def names(entries: Iterable[EntryPoint] | None = None) -> list[str]:
    """The clouds that can be asked for."""
    return sorted({*SHIPPED, *(entry.name for entry in _entries(entries))})


def load(name: str, entries: Iterable[EntryPoint] | None = None) -> CloudEmulator:
    """A cloud by its name. Raises UsageError for an unknown one, ProviderUnavailable where a package is missing."""
    plugins = {entry.name: entry for entry in _entries(entries)}
    try:
        if name in SHIPPED:
            found = import_module(f"batchwright.emulators.{name}").EMULATOR
        elif name in plugins:
            found = plugins[name].load()
        else:
            raise _unknown(name, names(entries))
    except ImportError as error:
        install = f"batchwright[{name},emulators]" if name in SHIPPED else str(error.name or name)
        raise ProviderUnavailable(
            f"the emulated {name} needs a package that is not installed: {error.name or error}",
            hint=f"Install it with: pip install '{install}'",
        ) from error
    if not isinstance(found, CloudEmulator):
        raise ProviderUnavailable(
            f"the package of the emulated {name} is not usable: {plugins[name].value} is no CloudEmulator",
            hint="It was written for another version of Batchwright; install a version that fits.",
        )
    return found


def _entries(entries: Iterable[EntryPoint] | None) -> list[EntryPoint]:
    return list(entry_points(group=GROUP) if entries is None else entries)


def _unknown(name: str, known: list[str]) -> UsageError:
    near = close_matches(name, known, n=1)
    hint = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(known)}"
    return UsageError(f"no cloud {name} can be emulated", hint=hint)
