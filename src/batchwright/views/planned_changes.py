"""A plan as a difference: what is created, changed, replaced, destroyed and kept, and from what to what. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum

from msgspec import Struct

from batchwright.model.environment import resource_key
from batchwright.model.plan import (
    ADOPTED,
    DESTROYED,
    ENTRY,
    FINISHED,
    GOES_WITH,
    REINSTALL,
    REPLACE_ORDER,
    FieldChange,
    Plan,
    Step,
)
from batchwright.model.templates import Reference, Root, references
from batchwright.views.text_format import one_line, some

VALUE_SHOWN = 60  # characters of a value
NAMES_SHOWN = 3  # of what is grouped, from there on only the first and the last
REPLACED = "destroyed with its data and addresses, then created anew"
OLD_LAST = "created anew; the old one goes last, with its data and addresses"
HALF_CHANGED = "its last change did not finish"
STOPPED = "stopped for it, then started again"
LIVE = "keeps running"


class Symbol(StrEnum):
    """What a plan does to one server or task service, or that it runs a command or a check, or asks people."""

    CREATE = "+"
    UPDATE = "~"  # in place
    MAYBE = "~?"  # its values are not known yet: it is carried out, and tells whether it changed anything
    REPLACE = "-/+"
    RETIRE = "-"
    RUN = "run"
    CHECK = "check"
    ASK = "ask"  # people
    KEEP = "="


def symbols(plan: Plan) -> list[Symbol | None]:
    """Of each step. None: it is a part of what another step does to the same server, or the gate of a wave."""
    made = {_key(step) for step in plan.steps if step.traits.sweeps}
    replaced = {
        step.retired.key: step
        for step in plan.steps
        if step.retired is not None and step.retired.key in made and not step.leftover
    }
    going = {(step.provider, step.ref) for step in plan.steps if step.retired is not None and step.ref}

    def symbol(step: Step) -> Symbol | None:
        if not step.traits.counted:
            return None
        if step.retired is not None and replaced.get(step.retired.key) is step:
            return None
        if step.retired is not None:
            return Symbol.RETIRE
        if step.traits.only_looks:
            return Symbol.CHECK
        if step.traits.holds:
            return Symbol.ASK
        if not step.traits.lasts:
            return Symbol.RUN
        if step.traits.sweeps:
            old = replaced.get(_key(step))
            return Symbol.CREATE if old is None or old.gone else Symbol.REPLACE
        if step.adopts is not None:
            return Symbol.UPDATE
        if not step.traits.retries:  # it is only found
            return None if step.ref and (step.provider, step.ref) in going else Symbol.KEEP
        if step.changes and not any(one.known for one in step.changes):
            return Symbol.MAYBE
        return Symbol.UPDATE if step.changes or step.before is not None else Symbol.CREATE

    return [symbol(step) for step in plan.steps]


def _key(step: Step) -> str:
    return resource_key(step.request.kind(), "", step.request.name)


def counts(found: Iterable[Symbol | None]) -> dict[Symbol, int]:
    """How many there are of each symbol."""
    total = dict.fromkeys(Symbol, 0)
    for one in found:
        if one is not None:
            total[one] += 1
    return total


def counts_words(total: dict[Symbol, int]) -> str:
    """`+ 3  ~ 1  -/+ 1  - 2  run 1  = 12`."""
    told = "  ".join(f"{symbol} {number:,}" for symbol, number in total.items() if number)
    return f"nothing to change: {told or 'nothing is asked for'}" if is_unchanged(total) else told


def is_unchanged(total: dict[Symbol, int]) -> bool:
    """Whether a run would change nothing. A command is run whatever it does, so it counts as a change."""
    return not any(number for symbol, number in total.items() if symbol not in (Symbol.KEEP, Symbol.CHECK, Symbol.ASK))


class PlannedChange(Struct, frozen=True):
    """One thing that a plan does something to.

    `subject` is what is on the server `server` ("" for this machine), or "" for the server itself, whose name is
    `name`. `about` says what it is or what is done, without its name.
    """

    symbol: Symbol
    subject: str
    name: str
    server: str
    provider: str
    about: str
    changes: tuple[FieldChange, ...]
    at: str = ""  # the place from which it is done


class PlannedChangeLine(Struct, frozen=True):
    """Things to which a plan does the same, in words."""

    symbol: Symbol
    what: str
    details: tuple[str, ...]


def grouped(found: Iterable[PlannedChange]) -> list[PlannedChangeLine]:
    """What changes, in the plan's order; things that change alike are one line. What stays as it is has none."""
    groups: dict[object, list[PlannedChange]] = {}
    for one in found:
        if one.symbol is not Symbol.KEEP:
            key = (one.symbol, one.subject, one.provider, one.about, one.changes, one.at)
            groups.setdefault(key, []).append(one)
    return [_line(alike) for alike in groups.values()]


def _line(alike: Sequence[PlannedChange]) -> PlannedChangeLine:
    one = alike[0]
    details = [change_words(change) for change in one.changes if change.field != REPLACE_ORDER]
    if one.symbol is Symbol.REPLACE:
        details.append(REPLACED if len(details) == len(one.changes) else OLD_LAST)
    elif one.symbol not in (Symbol.UPDATE, Symbol.MAYBE) and one.about:
        details.append(one.about)
    if one.symbol is Symbol.UPDATE and not details:
        details.append(HALF_CHANGED)
    if any(change.stops for change in one.changes):
        details.append(STOPPED)
    elif one.symbol is Symbol.UPDATE and not one.subject and {change.field for change in one.changes} >= {"plan"}:
        details.append(LIVE)
    if not one.subject:
        place = f" ({one.provider})" if one.provider else ""
        return PlannedChangeLine(one.symbol, f"{condensed([each.name for each in alike])}{place}", tuple(details))
    servers = [each.server for each in alike if each.server]
    here = f" at {one.at}" if one.at else " on this machine"
    where = f" on {condensed(servers)}" if servers else "" if one.symbol is Symbol.ASK else here
    where += f" from {one.at}" if servers and one.at else ""
    return PlannedChangeLine(one.symbol, f"{one.subject}{where}", tuple(details))


def condensed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`, and of more `web-1 ... web-300 (300)`."""
    if len(names) <= NAMES_SHOWN:
        return some(names, NAMES_SHOWN)
    return f"{names[0]} ... {names[-1]} ({len(names):,})"


def known_when(reference: Reference) -> str:
    """When it is known what a reference stands for, for one of which planning does not know it."""
    match reference.root:
        case Root.OUTPUTS:
            return f"known when {reference.segments[0]} has run"
        case Root.SERVERS:
            return f"known when {reference.segments[0]} is there"
        case Root.OPERATIONS:
            return f"known when the servers of {reference.segments[0]} are there"
        case Root.RUN:
            return "known when the run begins"
    return ""


def change_words(change: FieldChange) -> str:
    """One field in words: `port 80 -> 8080`."""
    match change.field:
        case name if name == FINISHED:
            return "its last install did not finish"
        case name if name == REINSTALL:
            return "asked for again"
        case name if name == GOES_WITH:
            return f"with {change.old}"
        case name if name == DESTROYED:
            return "was destroyed by someone else"
        case name if name == ADOPTED:
            return f"taken over from run {change.old}, which this store does not use"
    unset = "not known" if change.field == ENTRY else "none"
    old, new = (unset if one is None else one_line(one, VALUE_SHOWN) for one in (change.old, change.new))
    if not change.known:
        waits = dict.fromkeys(map(known_when, references(change.new or "")))
        new = f"{new}, {' and '.join(filter(None, waits))}" if change.new else "known once its server is up"
    label, bracket, inside = change.field.removeprefix("variables.").partition("[")  # what is in a map keeps its name
    label = label.replace("cluster.", "cluster ").replace("_", " ") + bracket + inside
    label = {ENTRY: "catalogue entry"}.get(change.field, label)
    return f"{label} {old} -> {new}" + (f" ({one_line(change.note)})" if change.note else "")
