"""What the turns of runs add up to in their environment: one fold, of a turn that ends and of a whole history. Pure."""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any, cast

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from batchwright.model.actions import Doubt, Undo
from batchwright.model.environment import EnvironmentKey, Leave, Leftover, Resource, resource_key
from batchwright.model.ids import step_token
from batchwright.model.lifecycle import RunState, StepState
from batchwright.model.plan import Before, Request, Step
from batchwright.model.run import Run, changed_something, half_removed
from batchwright.model.run_fold_state import StepFoldState

FOLD = 6  # raised with every change of what is folded; resources of another one are rebuilt from the runs

Resources = Mapping[str, Resource]


class TurnChanges(Struct, frozen=True):
    """What a run's turn made of the resources; `contributed`: the run changed something that a later run builds on."""

    resources: dict[str, Resource]
    contributed: bool


def turn_changes(before: Resources, run: Run, turn: int) -> TurnChanges:
    """The resources after this turn of the run, which is the run's newest.

    Only steps that changed in this turn count.
    """
    now = dict(before)
    contributed = False
    going = {(step.provider, step.ref) for step in run.plan.steps if step.retired is not None and step.ref}
    for rank, (step, record) in enumerate(zip(run.steps, run.records, strict=True)):
        if record.turn != turn or not _touched(record) or step.traits.only_looks:
            continue
        key = _key(run, step)
        old = now.get(key)
        new = _resource(run, rank, step, record, old)
        if step.traits.sweeps:
            new = _beside_leftovers(now, run, rank, old, new, going)
        elif step.traits.removes and step.server:
            _take_off_leftover(now, run, step, record)
        found = step.before is not None and step.existed  # it was changed by hand before, and the run only noticed
        if new is None:
            now.pop(key, None)
        else:
            now[key] = new
        moved = new is not None and old is not None and _seen_as(new, old) == old
        contributed |= (old is not new and not moved and not found) or not step.traits.lasts
        contributed |= changed_something(run, rank)  # an install done again leaves the same record, and can be undone
    if run.status is RunState.ROLLED_BACK:
        now = {key: one for key, one in now.items() if not _was_taken_by(one, run)}
    if run.plan.left_accounts:
        marked = {key: _as_left(one, run) for key, one in now.items()}
        contributed |= marked != now
        now = marked
    servers = {(one.name, one.ref) for one in now.values() if not one.server}
    gone = [key for key, one in now.items() if one.server and (one.server, one.ref) not in servers]
    for key in gone:  # what stood on a server that is gone, or that another one replaced
        del now[key]
    return TurnChanges(now, contributed or bool(gone))


def _seen_as(new: Resource, old: Resource) -> Resource:
    """Without what a look alone changes."""
    return replace(new, address=old.address, at=old.at, host_keys=old.host_keys)


def _was_taken_by(one: Resource, run: Run) -> bool:
    """Whether the run found this server and borrowed or adopted it: that ends with a rollback, and the server stays."""
    adopted = one.made_by == run.id and one.run not in ("", run.id)
    return one.changed_by == run.id and (one.borrowed or adopted)


def _as_left(one: Resource, run: Run) -> Resource:
    """A server in an account that the run was allowed to leave; after its rollback that counts no more."""
    if run.status is RunState.ROLLED_BACK:
        return replace(one, left_by="") if one.left_by == run.id else one
    stays = not (one.server or one.left_by) and (one.provider, one.account) in run.plan.left_accounts
    return replace(one, left_by=run.id) if stays else one


def leave(before: Resources, run: Run, prior: str) -> Leave:
    """The end of the run's turn. `prior` is the environment's newest run as the turn began."""
    after = turn_changes(before, run, run.turn)
    newest = run.id if after.contributed else prior
    if run.status is RunState.ROLLED_BACK and newest == run.id:
        newest = run.created.after  # runs are a stack: the one below is the newest again
    changed = tuple(one for key, one in after.resources.items() if before.get(key) != one)
    gone = tuple(key for key in before if key not in after.resources)
    return Leave(EnvironmentKey.of(run.plan), run.id, newest, unsettled(run), FOLD, changed, gone)


def unsettled(run: Run) -> bool:
    """Whether a call may have made a server that no run knows."""
    return bool(run.doubtful) or any(
        record.doubt and step.traits.sweeps for step, record in zip(run.plan.steps, run.records, strict=True)
    )


def rebuilt(
    turns: Iterable[Run], through: float = math.inf, base: Iterable[Resource] = (), after: int = -1
) -> dict[str, Resource]:
    """The resources of an environment from all its turns: what an older version kept, or a check expects.

    Each turn is its run as that was when the turn ended. Runs older than turns come first, in the order in which they
    were made. `through` is the last turn that counts. Where runs were archived, the fold begins with the resources at
    the `base`, and with the turns after it.
    """
    resources = {one.key: one for one in base}
    for run in sorted(turns, key=lambda run: (run.turn, run.created_at, run.id)):
        if after < run.turn <= through:
            resources = turn_changes(resources, run, run.turn).resources
    return resources


def _touched(record: StepFoldState) -> bool:
    return record.attempt > 0 or record.undo_attempt > 0


def _key(run: Run, step: Step) -> str:
    if step.retired is not None:
        return step.retired.key
    name = step.request.name if step.traits.lasts else step.operation
    return resource_key(step.request.kind(), _server(run, step), name)


def _server(run: Run, step: Step) -> str:
    return run.plan.steps[run.index[step.server]].request.name if step.server else ""


def _resource(run: Run, rank: int, step: Step, record: StepFoldState, old: Resource | None) -> Resource | None:
    """One step's resource as it is now; `old` is what was there before, and what is not there any more is None."""
    if step.traits.removes:
        if record.state in (StepState.SUCCEEDED, StepState.UNDONE):  # a rollback finishes what the run had begun
            return _without(run, step, old)
        return _half_removed(run, step, old) if half_removed(run, rank) else old
    if step.server and _is_undone(run, step.server):  # what was on it is gone with it
        return old if old is not None and old.ref != run.record(step.server).ref else None
    if step.traits.sweeps:
        return _made_server(run, rank, step, record, old)
    if not step.traits.lasts:
        return _command(run, rank, step, record, old)
    if not step.server:
        keep = _kept_server if step.existed else _updated_server
        return keep(run, rank, step, record, old)
    return _installed(run, rank, step, record, old)


def _made_server(run: Run, rank: int, step: Step, record: StepFoldState, old: Resource | None) -> Resource | None:
    foreign = old is not None and old.run != run.id and old.ref not in (record.ref, record.stale)
    ours = record.ref or record.stale or record.doubt
    if record.state is StepState.UNDONE or not ours:
        return old if foreign else None
    done = record.state is StepState.SUCCEEDED
    return replace(
        _bare(run, rank, step, record),
        ref=record.ref,
        address=record.address,
        run=run.id,
        token=run.token(rank),
        host_keys=record.host_keys,
        made_by=run.id if done or record.made_turn else "",
        made_turn=record.made_turn,
        whole=done,
        doubtful=record.doubt,
        residue=_residue(record),
    )


def _beside_leftovers(
    now: dict[str, Resource],
    run: Run,
    rank: int,
    old: Resource | None,
    new: Resource | None,
    going: Container[tuple[str, str]],
) -> Resource | None:
    """The server of a step that creates one, with the servers of its name that should be gone.

    The one whose place it takes is among them if the plan destroys it (`going`), until that is done, or if it is in an
    account that was left. If the new one is
    undone before, it returns to what it was, in `now` too.
    """
    if new is old:  # nothing was created
        return old
    record, step = run.records[rank], run.steps[rank]
    is_left = old is not None and (old.provider, old.account) in run.plan.left_accounts
    left = [one for one in old.leftovers if one.run != run.id] if old is not None else []
    if new is None:
        return _back(now, old, left)
    if record.stale:
        token = step_token(run.id, step.id, record.generation - 1)
        at = record.ended_at or record.attempt_at
        left.append(Leftover(step.provider, new.account, record.stale, run.id, token, at))
    if old is not None and old.run != run.id and (is_left or (old.provider, old.ref) in going):
        on_it = (one for one in now.values() if one.server == old.name and one.ref == old.ref)
        left_by = old.left_by or run.id if is_left else ""
        former = (replace(old, leftover=(), left_by=left_by), *on_it)
        left.append(Leftover(old.provider, old.account, old.ref, old.run, old.token, old.at, former))
    return replace(new, leftover=tuple(left))


def _back(now: dict[str, Resource], old: Resource | None, left: Sequence[Leftover]) -> Resource | None:
    """What the environment has once a server was undone: the one whose place it took, if that still stands."""
    former = next((one for one in left if one.former), None)
    rest = tuple(one for one in left if one is not former)
    if former is not None:
        server, *on_it = former.former
        now.update((one.key, one) for one in on_it)
        return replace(server, leftover=rest)
    return replace(old, ref="", address="", whole=False, doubtful=False, leftover=rest) if old and rest else None


def _without(run: Run, step: Step, old: Resource | None) -> Resource | None:
    """What is left once a step has taken something away. Another server, or what is on one, stays."""
    if old is None:
        return None
    if step.server or not step.ref:
        ref = run.record(step.server).ref if step.server else old.ref
        return old if old.ref != ref else None
    gone = (step.provider, step.ref)
    left = tuple(one for one in old.leftovers if one.left_by or (one.provider, one.ref) != gone)
    if (old.provider, old.ref) == gone:
        old = replace(old, ref="", address="", whole=False)
    return replace(old, leftover=left) if left or old.ref or old.doubtful else None


def _half_removed(run: Run, step: Step, old: Resource | None) -> Resource | None:
    """What is left of something while nobody knows how far its removal got: a server that should be gone, or a task
    service that is not whole."""
    if old is None or old.ref != (run.record(step.server).ref if step.server else step.ref):
        return old
    if step.server:
        return replace(old, whole=False)
    if not step.ref or old.provider != step.provider:
        return old
    left = Leftover(old.provider, old.account, old.ref, old.run, old.token, old.at)
    return replace(old, ref="", address="", whole=False, leftover=(*old.leftovers, left))


def _take_off_leftover(now: dict[str, Resource], run: Run, step: Step, record: StepFoldState) -> None:
    """A step has removed something from a server: if that one should be gone, it does not return with it."""
    server = run.plan.steps[run.index[step.server]].request
    key = resource_key(server.kind(), "", server.name)
    owner, ref = now.get(key), run.record(step.server).ref
    if record.state is not StepState.SUCCEEDED or owner is None or not owner.leftover or step.retired is None:
        return
    removed = step.retired.key
    left = [
        replace(one, former=tuple(each for each in one.former if each.key != removed)) if one.ref == ref else one
        for one in owner.leftovers
    ]
    now[key] = replace(owner, leftover=tuple(left))


def _is_undone(run: Run, server: str) -> bool:
    """Whether this step created a server, and that was undone."""
    return run.plan.steps[run.index[server]].traits.sweeps and run.record(server).state is StepState.UNDONE


def _kept_server(run: Run, rank: int, step: Step, record: StepFoldState, old: Resource | None) -> Resource | None:
    if record.state is not StepState.SUCCEEDED:
        return old
    if old is not None and any(one.ref == record.ref for one in old.leftovers):
        return old
    if old is not None and old.ref == record.ref:
        request = old.request if step.before is None else _as_kept(step.request)
        whole, keys = old.whole or step.unclear, old.host_keys or record.host_keys
        now = replace(old, address=record.address, at=record.ended_at, host_keys=keys)
        return replace(now, request=request, whole=whole, left_by="")
    seen = replace(_bare(run, rank, step, record), ref=record.ref, address=record.address, host_keys=record.host_keys)
    if step.adopts is None:
        return replace(seen, borrowed=True)
    return replace(seen, run=step.adopts.run, token=step.adopts.token, made_by=run.id, made_turn=record.turn)


def _updated_server(run: Run, rank: int, step: Step, record: StepFoldState, old: Resource | None) -> Resource | None:
    """A server that was changed in place, or changed back. One that is gone by then is no resource any more."""
    assert step.before is not None
    if old is None or old.ref != step.ref:
        old = replace(_bare(run, rank, step, record), ref=step.ref, run=step.before.run, token=step.before.token)
    seen = replace(old, address=record.address or old.address, at=record.ended_at or record.attempt_at)
    if record.state is StepState.UNDONE:
        return None if record.gone else _restored(step.before, seen)
    done = record.state is StepState.SUCCEEDED
    return replace(
        seen,
        request=_as_kept((step if record.made else step.before).request),
        whole=done,
        residue=_residue(record),
        changed_by=seen.changed_by if step.unclear and not done else run.id,
        changed_turn=record.turn,
    )


def _restored(before: Before, now: Resource) -> Resource:
    """What a step changed, after it was changed back."""
    return replace(
        now,
        request=_as_kept(before.request),
        whole=True,
        residue="",
        made_by=before.made_by,
        made_turn=before.made_turn,
        changed_by=before.changed_by,
        changed_turn=before.changed_turn,
    )


def _installed(run: Run, rank: int, step: Step, record: StepFoldState, old: Resource | None) -> Resource | None:
    if record.state is StepState.UNDONE:
        if step.undo is not Undo.RESTORE or step.before is None or record.gone:
            return None
        server = run.record(step.server)
        return _restored(step.before, replace(_bare(run, rank, step, record), ref=server.ref, address=server.address))
    if record.attempt == 0 or step.doubt is Doubt.NONE:  # not begun, or only found
        return old
    server, whole = run.record(step.server), record.state is StepState.SUCCEEDED
    bare = _bare(run, rank, step, record)
    new = replace(bare, ref=server.ref, address=server.address, whole=whole, residue=_residue(record))
    same = old is not None and old.ref == new.ref
    if same and old is not None and old.request == new.request and old.whole and whole:
        return old if old.address == new.address else replace(old, address=new.address)
    if same and old is not None and old.made_turn:
        made_by, made_turn = old.made_by, old.made_turn
    else:
        made_by, made_turn = (run.id, record.made_turn) if record.made_turn else ("", 0)
    return replace(new, made_by=made_by, made_turn=made_turn)


def _command(run: Run, rank: int, step: Step, record: StepFoldState, old: Resource | None) -> Resource | None:
    if step.undo is Undo.NOTHING or record.state is StepState.UNDONE:
        return None
    if record.state not in (StepState.SUCCEEDED, StepState.UNDO_FAILED):
        return old
    ref = run.record(step.server).ref if step.server else ""
    bare, inputs = _bare(run, rank, step, record), run.created.inputs
    folder = inputs.directory(bare.request.get("directory", "")) if inputs is not None and not step.server else ""
    new = replace(bare, ref=ref, residue=_residue(record), folder=folder)
    return replace(new, made_by=run.id, made_turn=record.made_turn)


def _bare(run: Run, rank: int, step: Step, record: StepFoldState) -> Resource:
    accounts = {facts.name: facts.account for facts in run.plan.providers}
    request: dict[str, Any] = _as_kept(run.request(rank))
    return Resource(
        step.request.kind(),
        step.request.name if step.traits.lasts else step.operation,
        _server(run, step),
        provider=step.provider,
        account=accounts.get(step.provider, ""),
        operation=step.operation,
        rank=rank,
        request=request,
        at=record.ended_at,
        changed_by=run.id,
        changed_turn=record.turn,
    )


def _as_kept(request: Request) -> dict[str, Any]:
    """A request as a store gives it back, so that what is folded now equals what was kept: lists, and no tuples."""
    return cast(dict[str, Any], msgspec.json.decode(msgspec.json.encode(request)))


def _residue(record: StepFoldState) -> str:
    if record.state is not StepState.UNDO_FAILED:
        return ""
    return record.fault.message if record.fault else "its undo failed"
