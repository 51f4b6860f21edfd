"""How what an environment has differs from what its runs asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from batchwright.model.call_outcome import ABSENT, CheckResult, Observed, ServerState
from batchwright.model.environment import Resource
from batchwright.model.server_labels import label_text, labels_named
from batchwright.model.workflow import AcceptedDifference
from batchwright.operations.observations import ProviderObserved

SERVER, TASKSERV, ORPHAN, LEFTOVER = "server", "taskserv", "orphan", "leftover"  # kinds of items


class DriftState(StrEnum):
    """Whether something is as its runs asked for."""

    SAME = "same"
    DRIFTED = "drifted"
    ACCEPTED = "accepted"  # it differs, and the workflow says that it may
    UNKNOWN = "unknown"  # it could not be looked at


class DriftedField(Struct, frozen=True):
    """A field of a server that differs: what was asked for, and what the provider shows."""

    field: str
    expected: str
    found: str


class DriftItem(Struct, frozen=True):
    """A server, a task service on one, or a server that should not be there.

    `kind` is "server", "taskserv", "orphan" (the run `run` of this environment created it and no run uses it) or
    "leftover" (it should have been destroyed). `server` is the server it is, or is on. `labels` are the single labels
    behind the field "labels", "" where there is none. `trouble` says in words what is wrong with it as a whole, or why
    it could not be looked at. `changes` is what installing the task service again would change, `failed_checks` are its
    checks that fail. `reason` and `end` are those of the acceptance, also if that has ended.
    """

    kind: str
    name: str
    state: DriftState
    server: str = ""
    provider: str = ""
    ref: str = ""
    fields: tuple[DriftedField, ...] = ()
    labels: tuple[DriftedField, ...] = ()
    trouble: str = ""
    changes: tuple[str, ...] = ()
    failed_checks: tuple[CheckResult, ...] = ()
    reason: str = ""
    end: str = ""
    run: str = ""

    def judged(self, accepted: Iterable[AcceptedDifference], today: date) -> DriftItem:
        """The same, with what the workflow accepts of it. That something is gone is never accepted."""
        own = [one for one in accepted if one.server == self.server and self._covered(one)]
        if self.state is not DriftState.DRIFTED or self.trouble or not own:
            return self
        holding = [one for one in own if one.holds(today)]
        fields = {field for one in holding for field in one.fields}
        done = bool(holding) if self.kind == TASKSERV else all(one.field in fields for one in self.fields)
        shown = (holding or own)[0]
        state = DriftState.ACCEPTED if done else DriftState.DRIFTED
        return replace(self, state=state, reason=shown.reason, end=shown.end)

    def _covered(self, one: AcceptedDifference) -> bool:
        if self.kind == TASKSERV:
            return self.name in one.taskservs
        return any(differing.field in one.fields for differing in self.fields)


class EnvironmentDrift(Struct, frozen=True):
    """All that an environment has, compared at the time `at` (seconds since the epoch).

    `ok`: nothing has drifted, and everything could be looked at. `changing` is the run that is changing it now.
    """

    environment: str
    simulated: bool
    run: str
    changing: str
    at: float
    ok: bool
    counts: dict[DriftState, int]
    items: tuple[DriftItem, ...]


def environment_drift(
    name: str, *, simulated: bool, run: str, changing: str, at: float, items: tuple[DriftItem, ...]
) -> EnvironmentDrift:
    """The view of these items."""
    counts = {state: sum(one.state is state for one in items) for state in DriftState}
    ok = not counts[DriftState.DRIFTED] and not counts[DriftState.UNKNOWN]
    return EnvironmentDrift(name, simulated, run, changing, at, ok, counts, items)


def is_ready(seen: Observed | None) -> bool:
    """Whether task services on this server can be looked at."""
    return seen is not None and seen.state is ServerState.READY


def server_items(
    resources: Iterable[Resource], seen: Mapping[str, ProviderObserved], troubles: Mapping[str, str]
) -> list[DriftItem]:
    """Every server of the environment, and what should have been destroyed and is still there.

    `troubles` says of each provider that is not in `seen` why it shows nothing.
    """
    servers = [one for one in resources if not one.server and one.provider]
    return [item for one in servers for item in (*_server_item(one, seen, troubles), *_leftovers(one, seen, troubles))]


def left_items(left: Iterable[Resource]) -> list[DriftItem]:
    """The servers in accounts that were left, which cannot be looked at."""
    return [
        DriftItem(
            SERVER, one.name, DriftState.ACCEPTED, one.name, one.provider, one.ref,
            trouble=_left(one.left_by, one.account),
        )
        for one in left
        if not one.server
    ]  # fmt: skip


def _left(run: str, account: str) -> str:
    return f"run {run} left its account, {account}: it cannot be reached"


def _server_item(
    one: Resource, seen: Mapping[str, ProviderObserved], troubles: Mapping[str, str]
) -> tuple[DriftItem, ...]:
    item = DriftItem(SERVER, one.name, DriftState.UNKNOWN, one.name, one.provider, one.ref)
    observed = seen.get(one.provider)
    if observed is None:
        return (replace(item, trouble=troubles.get(one.provider, "its provider shows nothing")),)
    if observed.facts.account != one.account:
        why = f"it is in the account {one.account}, and {one.provider} is the account {observed.facts.account} now"
        return (replace(item, trouble=why),)
    return (_compared(item, one, observed.recorded.get(one.ref)),) if one.ref else ()


def _compared(item: DriftItem, one: Resource, seen: Observed | None) -> DriftItem:
    if seen is None or seen.state is ServerState.NOT_VISIBLE:
        return replace(item, trouble="its provider does not show it, which may be lag")
    if seen.state is ServerState.GONE:
        return replace(item, state=DriftState.DRIFTED, trouble="it was destroyed by someone else")
    if seen.state is not ServerState.READY:
        why = f": {seen.fault.message}" if seen.fault else ""
        return replace(item, state=DriftState.DRIFTED, trouble=f"it is {seen.state}{why}")
    asked = one.request
    shown = {"plan": seen.plan, "zone": seen.zone, "image": seen.image}
    fields = tuple(
        DriftedField(name, expected, value)
        for name, value in shown.items()
        if value and (expected := asked.get(name, "")) and expected != value
    )
    labels: dict[str, str] = asked.get("labels", {})
    found = labels_named(seen.labels, labels)
    singly: tuple[DriftedField, ...] = ()
    if found not in (None, labels) and not one.borrowed:  # those of a borrowed server are its owner's
        known = found or {}
        fields += (DriftedField("labels", label_text(labels), label_text(known)),)
        singly = tuple(
            DriftedField(name, labels.get(name, ""), known.get(name, ""))
            for name in sorted(labels.keys() | known.keys())
            if labels.get(name) != known.get(name)
        )
    return replace(item, state=DriftState.DRIFTED if fields else DriftState.SAME, fields=fields, labels=singly)


def _leftovers(one: Resource, seen: Mapping[str, ProviderObserved], troubles: Mapping[str, str]) -> list[DriftItem]:
    found = []
    for left in one.leftovers:
        item = DriftItem(LEFTOVER, one.name, DriftState.UNKNOWN, one.name, left.provider, left.ref)
        if left.left_by:
            found.append(replace(item, state=DriftState.ACCEPTED, trouble=_left(left.left_by, left.account)))
            continue
        if left.provider not in seen:
            found.append(replace(item, trouble=troubles.get(left.provider, "its provider shows nothing")))
            continue
        if seen[left.provider].facts.account != left.account:
            found.append(replace(item, trouble=f"it is in the account {left.account}"))
            continue
        there = seen[left.provider].recorded.get(left.ref)
        if there is not None and there.state not in ABSENT:
            found.append(replace(item, state=DriftState.DRIFTED, trouble="it should have been destroyed"))
    return found


def orphans(
    resources: Sequence[Resource], seen: Mapping[str, ProviderObserved], runs: frozenset[str]
) -> tuple[DriftItem, ...]:
    """Servers that runs of this environment created and that it does not have: late effects of lost calls."""
    known = {(one.provider, one.ref) for one in resources}
    return tuple(
        DriftItem(
            ORPHAN, other.name, DriftState.DRIFTED, other.name, provider, other.ref,
            trouble=f"run {other.run} created it, and no run uses it",
            run=other.run,
        )
        for provider, observed in seen.items()
        for others in observed.managed.values()
        for other in others
        if other.run in runs and other.state not in ABSENT and (provider, other.ref) not in known
    )  # fmt: skip
