"""Which environment a word means: NAME, NAME/ENVIRONMENT, or either after `real:` or `simulated:`."""

from __future__ import annotations

import re
from collections.abc import Collection

from batchwright.errors import EnvironmentAmbiguous, EnvironmentNotFound, LatestAmbiguous, RunNotFound
from batchwright.model.did_you_mean import close_matches
from batchwright.model.environment import NAME_PATTERN, REAL, SIMULATED, EnvironmentKey
from batchwright.model.run_summary import RunSummary

LATEST = "latest"
WORD = re.compile(f"((?:{REAL}|{SIMULATED}):)?{NAME_PATTERN}(/{NAME_PATTERN})?")
SHOWN = 5  # names in one message


def environments_named(word: str, known: Collection[EnvironmentKey]) -> list[EnvironmentKey]:
    """Those of the known environments that the word means: two if both spaces have the name and it says neither."""
    space, _, name = word.rpartition(":")
    return sorted(key for key in known if key.name == name and space in ("", key.space))


def environment_named(word: str, known: Collection[EnvironmentKey]) -> EnvironmentKey:
    """The one environment that the word means. Raises EnvironmentNotFound, EnvironmentAmbiguous."""
    found = environments_named(word, known)
    if not found:
        raise environment_not_found(word, known)
    if len(found) > 1:
        raise EnvironmentAmbiguous(f"{word} is the name of two environments: {_listed(found)}")
    return found[0]


def newest_turn(rows: Collection[RunSummary]) -> RunSummary:
    """Of an environment's runs the one that had the newest turn. Raises EnvironmentAmbiguous if two stores have it."""
    stores = sorted({row.store for row in rows})
    if len(stores) > 1:
        name = next(iter(rows)).environment_key.name
        raise EnvironmentAmbiguous(
            f"the environment {name} has runs in {' and '.join(stores)}",
            hint="Give a run id: batchwright list --environment NAME",
        )
    return max(rows, key=lambda row: (row.turn, row.created_at, row.run))


def environment_not_found(word: str, known: Collection[EnvironmentKey] = ()) -> EnvironmentNotFound:
    """The error for the name of no environment."""
    return EnvironmentNotFound(f"there is no environment {word!r}", hint=_near(word, known))


def run_not_found(
    word: str, known: Collection[EnvironmentKey] = (), hint: str | None = None
) -> RunNotFound | EnvironmentNotFound:
    """The error for a word that is no run's and no environment's."""
    hint = hint or _near(word, known)
    if WORD.fullmatch(word) and ("/" in word or ":" in word):
        return EnvironmentNotFound(f"there is no environment {word!r}", hint=hint)
    return RunNotFound(f"no run's id starts with {word!r}, and no environment has that name", hint=hint)


def refuse_latest(known: Collection[EnvironmentKey]) -> None:
    """Raise LatestAmbiguous if there are several environments: the newest run may be of another one than was meant."""
    if len(known) > 1:
        raise LatestAmbiguous(f"`latest` may be of any of {len(known)} environments: {_listed(sorted(known))}")


def full_name(key: EnvironmentKey) -> str:
    """The word that means this environment only."""
    return f"{key.space}:{key.name}"


def _listed(keys: Collection[EnvironmentKey]) -> str:
    names = [full_name(key) for key in keys]
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _near(word: str, known: Collection[EnvironmentKey]) -> str | None:
    """A hint with the names that were probably meant; None for the error's own."""
    name = word.rpartition(":")[2]
    near = close_matches(name, {key.name for key in known}) if WORD.fullmatch(word) else []
    if ":" in word:
        near = [full_name(key) for key in sorted(known) if key.name in near]
    return f"Did you mean {' or '.join(near)}? List them with: batchwright environments" if near else None
