"""What an environment has and the workflow no longer asks for: named in the plan, and retired where that is allowed.

Retiring comes last: its operations depend on every operation of the workflow, so nothing old goes unless everything new
succeeded. Among themselves they go in reverse order of how they were made.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from batchwright.model.actions import Action, Undo
from batchwright.model.call_outcome import ServerState
from batchwright.model.diagnostic import Diagnostic, Severity
from batchwright.model.environment import Resource
from batchwright.model.plan import GOES_WITH, FieldChange, Need, PlannedOperation, Request, Retired, Step
from batchwright.model.taskserv import Taskserv
from batchwright.model.workflow import Dependency, DependencyKind, OnFailure, Permission, Retry
from batchwright.operations.observations import Observations, ProviderObserved
from batchwright.operations.planner_state import Draft
from batchwright.operations.registry import TYPES, dec_hook
from batchwright.operations.suggestions import enumerated

TIMEOUT = 1800.0  # seconds for one step
SECONDS = 10.0  # an estimate
NOT_IN_FILE, ACCOUNT_CHANGED, UNREACHABLE = "not-in-file", "account-changed", "provider-not-open"
ACCOUNT_LEFT = "account-left"
RENAMED_HINT = (
    "It still lists them, so it is the same account under another name. Use the former credentials, or give it the "
    'former name where it takes one: [hetzner] project = "{}" in config.toml.'
)
ENVIRONMENT_MISMATCH = "environment-mismatch"
RETRY_HINT = (
    "Use the account that they were created in, or roll back the runs that created them there first. If you have moved "
    "to another account for good, run the file with --other-account: they stay where they are, and no run reaches them."
)

Place = tuple[str, str]  # a server by its name and reference: two of one name may stand for a while
_TYPES = {kind.request.kind(): kind for kind in TYPES}


class Retirement(Struct, frozen=True):
    """The operations and steps that retire, last of all, and what is to be said about the rest."""

    operations: tuple[PlannedOperation, ...] = ()
    steps: tuple[Step, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()


def retirement(draft: Draft, permission: Permission) -> Retirement:
    """Of all resources that the workflow no longer asks for. A borrowed server is released, never destroyed.

    If no server of the environment is asked for, the file may be the wrong one: then its own permission is not enough.
    """
    wanted = _wanted(draft)
    kept = {(place.name, place.ref): place.step for places in draft.places.values() for place in places if place.ref}
    unwanted = [one for one in draft.observations.resources if one.key not in wanted]
    released = [one for one in unwanted if one.borrowed]  # nothing is taken away, so nobody is asked
    unwanted = [one for one in unwanted if not one.borrowed]
    servers = [one for one in unwanted if not one.server and one.ref]
    services = [one for one in unwanted if one.server and _place(one) in kept and one.kind in _REMOVED]
    gone = [one for one in servers if _is_gone(draft.observations, one)]
    chosen = [*released, *([*services, *servers] if permission is not Permission.REFUSED else gone)]
    replaced = [place.old for places in draft.places.values() for place in places if place.old and place.old_last]
    left_over, lost = leftovers(draft.observations)
    left = [one for one in (*services, *servers) if one not in chosen]
    all_servers = [one for one in draft.observations.resources if not one.server and one.ref and not one.borrowed]
    problems = unreachable(draft.observations, all_servers, {one.key for one in chosen})
    going = [one for one in servers if one not in gone]
    if permission is Permission.ALLOWED and going == [one for one in all_servers if one not in gone] != []:
        problems.append(_mismatch(draft, going))
    after = tuple(Dependency(op.id) for op in draft.order)
    chosen += [*replaced, *left_over]
    operations, steps = retiring(chosen, after, kept, draft.catalogue, draft.observations.resources)
    told = (*problems, *_named(left), *_destroyed_outside(gone), *lost)
    return Retirement(operations, marked_gone(steps, draft.observations), told)


_REMOVED = frozenset({"taskserv"})  # kinds that are taken off a server that stays


def _wanted(draft: Draft) -> set[str]:
    """The keys of what the workflow asks for. A command that is no longer in the file is not undone."""
    names = {place.name for places in draft.places.values() for place in places}
    wanted = {one.key for one in draft.observations.resources if not one.server and one.name in names}
    servers = {step.id: step.request.name for steps in draft.steps.values() for step in steps}
    for steps in draft.steps.values():
        wanted |= {
            f"{step.request.kind()}/{servers.get(step.server, '')}/{step.request.name}" for step in steps if step.server
        }
    return wanted


def leftovers(observations: Observations) -> tuple[list[Resource], list[Diagnostic]]:
    """Servers that an earlier run was to destroy: that needs no permission. Those that cannot be reached are named."""
    reached: list[Resource] = []
    lost: list[Diagnostic] = []
    for one in (one for resource in observations.resources for one in resource.leftover_servers):
        observed = observations.providers.get(one.provider)
        here = observed is not None and observed.facts.account == one.account
        if one.token and here and not one.left_by:
            reached.append(one)
            continue
        why = f"{one.provider} does not answer as the account {one.account}"
        why = "it is not known which step created it" if here and not one.token else why
        why = f"run {one.left_by} left its account, {one.account}" if one.left_by else why
        message = f"the server {one.name} ({one.ref}) should be gone and stays: {why}"
        hint = f"If it exists, remove it{' as that account' * bool(one.left_by)}: batchwright gc --run {one.run} --yes"
        lost.append(Diagnostic("leftover-stays", message, hint, where=one.provider, severity=Severity.WARNING))
    return reached, lost


def _is_gone(observations: Observations, one: Resource) -> bool:
    observed = observations.providers.get(one.provider)
    seen = observed.recorded.get(one.ref) if observed is not None else None
    return seen is not None and seen.state is ServerState.GONE


def marked_gone(steps: Iterable[Step], observations: Observations) -> tuple[Step, ...]:
    """The steps; those that retire a server which has vanished already say so."""
    servers = (each for one in observations.resources if not one.server for each in (one, *one.leftover_servers))
    gone = {one.ref for one in servers if _is_gone(observations, one)}
    return tuple(replace(step, gone=True) if step.retired is not None and step.ref in gone else step for step in steps)


class LeftAccounts(Struct, frozen=True):
    """The resources that a plan reckons with, and those in accounts that were left, which stay as they are.

    `accounts` are the accounts that were left, with their providers.
    """

    kept: tuple[Resource, ...]
    left: tuple[Resource, ...]

    @property
    def accounts(self) -> tuple[tuple[str, str], ...]:
        return tuple(sorted({(one.provider, one.account) for one in self.left if not one.server}))

    @property
    def warnings(self) -> list[Diagnostic]:
        """One for each account."""
        told = []
        for provider, account in self.accounts:
            names = [
                one.name for one in self.left if (one.provider, one.account, one.server) == (provider, account, "")
            ]
            message = f"{enumerated(names)} cannot be reached: {provider} is not the account {account} any more"
            hint = "If they exist, they stay there and cost money. No run changes or destroys them."
            told.append(Diagnostic(ACCOUNT_LEFT, message, hint, where=provider, severity=Severity.WARNING))
        return told


def left_accounts(
    resources: Sequence[Resource], providers: Mapping[str, ProviderObserved], *, allowed: bool = False
) -> LeftAccounts:
    """Which resources are left behind: those of which a run has said so, and, if that is `allowed` now, all others in
    another account too. One that the provider lists is in the same account, which only has another name now.
    """
    listed = _listed(providers)
    gone = {
        (one.name, one.ref)
        for one in resources
        if one.is_own_server
        and (observed := providers.get(one.provider)) is not None
        and observed.facts.account != one.account
        and (allowed or one.left_by)
        and (one.provider, one.ref, one.run) not in listed
    }
    left = [one for one in resources if (one.server or one.name, one.ref) in gone]
    return LeftAccounts(tuple(one for one in resources if one not in left), tuple(left))


def _listed(providers: Mapping[str, ProviderObserved]) -> set[tuple[str, str, str]]:
    """Provider, reference and run of all servers that are listed now. References may be unique in an account only."""
    return {
        (name, one.ref, one.run) for name, seen in providers.items() for some in seen.managed.values() for one in some
    }


def unreachable(observations: Observations, servers: Iterable[Resource], chosen: set[str]) -> list[Diagnostic]:
    """Servers that are to be retired and whose provider is not open, and all whose provider is another account now."""
    found: dict[tuple[str, str], list[str]] = {}
    renamed: dict[str, str] = {}
    listed = _listed(observations.providers)
    for one in servers:
        observed = observations.providers.get(one.provider)
        account = "" if observed is None else observed.facts.account
        if (one.key in chosen) if observed is None else (account != one.account):
            found.setdefault((one.provider, account), []).append(one.name)
            if account and (one.provider, one.ref, one.run) in listed:
                renamed[one.provider] = one.account
    problems = []
    for (provider, account), names in found.items():
        message = f"the provider {provider} cannot be opened, and {enumerated(names)} are to be destroyed there"
        if account:
            message = f"{provider} is the account {account} now, and the environment has {enumerated(names)} in another"
        code = ACCOUNT_CHANGED if account else UNREACHABLE
        hint = RENAMED_HINT.format(renamed[provider]) if provider in renamed else RETRY_HINT
        problems.append(Diagnostic(code, message, hint, where=provider))
    return problems


def _mismatch(draft: Draft, going: Sequence[Resource]) -> Diagnostic:
    name = draft.workflow.environment_name
    names = enumerated([one.name for one in going])
    message = f"the file asks for no server that the environment {name} has, so all would be destroyed: {names}"
    hint = f"If it is the right file and environment, add --retire. To destroy all: batchwright destroy {name}"
    return Diagnostic(ENVIRONMENT_MISMATCH, message, hint, where="environment")


def _named(left: Sequence[Resource]) -> list[Diagnostic]:
    """What is left although the file no longer asks for it."""
    if not left:
        return []
    names = enumerated([_name(one) for one in left])
    verb = "is" if len(left) == 1 else "are"
    message = f"{names} {verb} no longer in the file and stay{'s' if len(left) == 1 else ''}"
    hint = "To destroy what is no longer in the file, add --retire."
    return [Diagnostic(NOT_IN_FILE, message, hint, where="environment", severity=Severity.WARNING)]


def _destroyed_outside(gone: Sequence[Resource]) -> list[Diagnostic]:
    if not gone:
        return []
    verb = "was" if len(gone) == 1 else "were"
    message = (
        f"{enumerated([one.name for one in gone])} {verb} destroyed by someone else, and the file does not ask for it"
    )
    return [Diagnostic("destroyed-outside", message, where="environment", severity=Severity.WARNING)]


def _name(one: Resource) -> str:
    return f"{one.name} on {one.server}" if one.server else one.name


def retiring(
    chosen: Sequence[Resource],
    after: tuple[Dependency, ...],
    kept: Mapping[Place, str],
    catalogue: Mapping[str, Taskserv],
    resources: Iterable[Resource],
) -> tuple[tuple[PlannedOperation, ...], tuple[Step, ...]]:
    """Operations that retire these resources, one group after the other, in reverse order of how they were made.

    A group is what one operation made at one provider; if a part of it cannot be retired the next groups go on. What
    works on a server, or with the leader of a cluster, needs a step that finds it: `kept` has those of servers that
    stay, others get one of their own.
    A task service that must be removed before its server is destroyed is removed; the others are named with it.
    """
    resources = tuple(resources)
    left = {(one.provider, one.ref) for each in resources for one in each.leftovers}
    on_servers = [*resources, *(thing for each in resources for one in each.leftovers for thing in one.former[1:])]
    going = {_place(one): one for one in chosen if not one.server}
    first = [one for one in on_servers if _place(one) in going and _must_leave(catalogue, one) and one not in chosen]
    parts = sorted((*chosen, *first), key=lambda one: (one.server != "", one.made_turn, one.rank), reverse=True)
    here = {one.name: _place(one) for one in resources if not one.server}
    members = [_member(one, here) for one in parts]
    used = {place for member in members for place in member.works_on} - kept.keys()
    needed = {place: one for place, one in going.items() if place in used}
    goes_with = _goes_with(parts, on_servers)
    finding, found = _finding(needed, after, left)
    on = {**kept, **{(step.request.name, step.ref): step.id for step in found}}
    groups: dict[tuple[str, str, str], list[_Member]] = {}
    for member in members:
        one = member.resource
        groups.setdefault((one.kind, one.operation, one.provider), []).append(member)
    operations, steps = [*finding], [*found]
    before: tuple[Dependency, ...] = ()
    names: set[str] = set()
    for (kind, operation, provider), group in groups.items():
        own = f"({_verb(group[0].resource)} {operation})"
        own = own if own not in names else f"{own[:-1]} {provider})"
        names.add(own)
        hard = tuple(Dependency(op.id) for op in finding if any(one.works_on & needed.keys() for one in group))
        operations.append(_operation(own, kind, provider, (*after, *hard, *before)))
        before = (Dependency(own, DependencyKind.SOFT),)
        steps += _chained([_step(own, one, on, goes_with, left) for one in group])
    return tuple(operations), tuple(steps)


class _Member(Struct, frozen=True):
    """What is retired, and the servers that this works on."""

    resource: Resource
    request: Request
    works_on: frozenset[Place]


def _place(one: Resource) -> Place:
    """The server that it is, or is on."""
    return one.server or one.name, one.ref


def _member(one: Resource, here: Mapping[str, Place]) -> _Member:
    request = _request(one)
    others = (here.get(name, (name, "")) for name in request.other_servers)
    return _Member(one, request, frozenset((*((_place(one),) if one.server else ()), *others)))


def _goes_with(parts: Sequence[Resource], resources: Iterable[Resource]) -> dict[Place, list[str]]:
    """The task services that are destroyed with each server: all but those that are removed from it."""
    going = {_place(one) for one in parts if not one.server}
    removed = {(one.key, one.ref) for one in parts}
    found: dict[Place, list[str]] = {}
    for one in resources:
        if one.kind in _REMOVED and _place(one) in going and (one.key, one.ref) not in removed:
            found.setdefault(_place(one), []).append(one.name)
    return found


def _chained(steps: Sequence[Step]) -> list[Step]:
    """One after the other on each server, and a leader after all who need it, whether they succeed or not."""
    before: dict[str, list[str]] = {}  # by the step that finds a server
    chained: list[Step] = []
    for step in steps:
        needs = before.get(step.server, ()) if step.server else ()
        chained.append(replace(step, needs=tuple(Need(one, DependencyKind.SOFT) for one in needs)))
        if step.server:
            before[step.server] = [step.id]
        for other in step.request.other_steps:
            if other != step.server:
                before.setdefault(other, []).append(step.id)
    return chained


def _verb(one: Resource) -> str:
    if one.request.get("undo"):
        return "undo"
    if one.borrowed:
        return "release"
    return "remove" if one.server else "retire"


def _must_leave(catalogue: Mapping[str, Taskserv], one: Resource) -> bool:
    return one.kind in _REMOVED and one.name in catalogue and catalogue[one.name].remove_before_destroy


def _finding(
    servers: Mapping[Place, Resource], after: tuple[Dependency, ...], left: Collection[tuple[str, str]]
) -> tuple[list[PlannedOperation], list[Step]]:
    """Steps that find servers which go, for what must be done on them first."""
    operations: dict[str, PlannedOperation] = {}
    steps: list[Step] = []
    for one in servers.values():
        own = f"(find {one.provider})"
        operations.setdefault(own, _operation(own, one.kind, one.provider, after))
        keep = (Action.KEEP, Undo.NOTHING, _request(one))
        steps.append(Step(f"{own}/{_step_name(one, left)}", own, one.provider, *keep, ref=one.ref, seconds=1.0))
    return list(operations.values()), steps


def _step_name(one: Resource, left: Collection[tuple[str, str]]) -> str:
    """Unique, also if several servers of one name go."""
    if one.server:
        return f"{one.server}/{one.name}"
    return f"{one.name}!{one.ref}" if (one.provider, one.ref) in left else one.name


def _operation(own: str, kind: str, provider: str, dependencies: tuple[Dependency, ...]) -> PlannedOperation:
    lane = _TYPES[kind].lane or provider
    name = _TYPES[kind].name
    return PlannedOperation(own, name, provider, lane, dependencies, OnFailure.CONTINUE, Retry(), TIMEOUT)


def _request(one: Resource) -> Request:
    request: Request = dec_hook(Request, one.request | {"directory": one.folder} if one.folder else one.request)
    return request


def _step(
    operation: str,
    member: _Member,
    on: Mapping[Place, str],
    goes_with: Mapping[Place, Sequence[str]],
    left: Collection[tuple[str, str]],
) -> Step:
    one = member.resource
    with_it = () if one.server or not one.run else goes_with.get(_place(one), ())
    return Step(
        id=f"{operation}/{_step_name(one, left)}",
        operation=operation,
        provider=one.provider,
        action=Action.RETIRE,
        undo=Undo.NOTHING,
        request=member.request.with_steps({place[0]: on[place] for place in member.works_on if place in on}),
        server=on.get(_place(one), "") if one.server else "",
        ref="" if one.server else one.ref,
        seconds=SECONDS,
        retired=Retired(one.key, one.run, one.token),
        changes=(FieldChange(GOES_WITH, ", ".join(sorted(with_it))),) if with_it else (),
        leftover=not one.server and (one.provider, one.ref) in left,
    )
