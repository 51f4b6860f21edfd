"""Task services on servers: what is installed where, in which order, and what servers they join together."""

from collections.abc import Mapping
from typing import Any

from batchwright.model.actions import Action, Undo
from batchwright.model.map_variable_paths import nested
from batchwright.model.plan import Step
from batchwright.model.run_fold_state import StepFoldState
from batchwright.model.taskserv import Taskserv
from batchwright.operations.base import FieldPath, OperationType, PortKind, Wants
from batchwright.operations.planner_state import Draft
from batchwright.operations.taskserv_batch.clusters import form_clusters
from batchwright.operations.taskserv_batch.dependency_resolution import (
    expand_requirements,
    refuse_conflicts,
    take_listed,
)
from batchwright.operations.taskserv_batch.install_steps import chain_installs
from batchwright.operations.taskserv_batch.planner_state import TaskservDraft
from batchwright.operations.taskserv_batch.server_requirements import check_needs
from batchwright.operations.taskserv_batch.structs import (
    Cluster,
    TaskservBatch,
    TaskservRequest,
    TaskservUse,
    filled_variable,
)
from batchwright.operations.taskserv_batch.variables import check_known_values, fill_variables, read_value

__all__ = [
    "Cluster",
    "TaskservBatch",
    "TaskservBatchType",
    "TaskservRequest",
    "TaskservUse",
    "filled_variable",
    "read_value",
]

PASSES = (
    take_listed,  # who installs what where, as written
    expand_requirements,  # what that requires, and the order on each server
    refuse_conflicts,
    check_needs,  # what a server must be able to do
    fill_variables,
    check_known_values,
    form_clusters,  # which servers an install joins together
)


class TaskservBatchType(OperationType[TaskservBatch]):
    """Task services of the catalogue."""

    name = "taskserv_batch"
    operation = TaskservBatch
    request = TaskservRequest
    actions = frozenset({Action.INSTALL, Action.KEEP, Action.RETIRE})
    policy_group = "services"
    port = PortKind.RUNNER
    lane = "taskservs"
    at_once = 50
    targets_all = True
    doubt_note = "its create call is in doubt: the rollback looks for it first"

    def written(self, fields: dict[str, Any]) -> dict[str, Any]:
        rest = {name: value for name, value in fields.items() if value or name != "at"}  # as before that field
        return {**rest, "taskservs": [_written(use) for use in fields["taskservs"]]}

    def wants(self, op: TaskservBatch) -> Wants:
        return Wants(installed=True, secrets={use.name: use.variables for use in op.taskservs})

    def parts(self, op: TaskservBatch) -> dict[str, FieldPath]:
        return {use.name: ("taskservs", number) for number, use in enumerate(op.taskservs)}

    def check(self, draft: Draft) -> None:
        own = draft.own[self.name] = TaskservDraft.over(draft)
        for each in PASSES:
            each(own)

    def step_count(self, draft: Draft, i: int) -> int:
        own = draft.own[self.name]
        assert isinstance(own, TaskservDraft)
        return sum(len(install.order) for install in own.installs[i])

    def joins_servers(self, draft: Draft, i: int) -> bool:
        own = draft.own[self.name]
        assert isinstance(own, TaskservDraft)
        return any((name, place.number) in own.clusters for name in own.sequence[i] for place in own.targets[i])

    def plan(self, draft: Draft) -> None:
        own = draft.own[self.name]
        assert isinstance(own, TaskservDraft)
        chain_installs(own)

    def about(self, step: Step) -> str:
        assert isinstance(step.request, TaskservRequest)
        if step.retired is not None:
            return "removed"
        there = ", it is there already" if step.undo is Undo.NOTHING and not step.changes else ""
        return f"version {step.request.version}{there}"

    def policy_data(self, step: Step) -> dict[str, Any]:
        assert isinstance(step.request, TaskservRequest)
        return {"version": step.request.version, "variables": step.request.variables}

    def does(self, step: Step, server: str) -> str:
        assert isinstance(step.request, TaskservRequest)
        if step.retired is not None:
            return f"remove {step.request.name} from {server}"
        if step.action is Action.KEEP:
            return f"keep {step.request.name} {step.request.version} on {server}: it is as the file asks for"
        there = ", where it is already installed" if step.undo in (Undo.NOTHING, Undo.RESTORE) else ""
        there += f", from {step.request.at}" if step.request.at else ""
        return f"install {step.request.name} {step.request.version} on {server}{there}"

    def undoes(self, step: Step, server: str) -> str:
        match step.undo:
            case Undo.REMOVE:
                return f"remove {step.request.name} from {server}"
            case Undo.RESTORE:
                return f"install {_former(step)} on {server} again, as it was"
            case Undo.WITH_SERVER:
                return f"nothing by itself: removed together with server {server}"
        if step.retired is not None:
            return f"nothing: {step.request.name} is gone from {server}"
        return f"nothing: {step.request.name} existed before"

    def verb(self, action: Action) -> str:
        verb = {Action.RETIRE: "remove", Action.KEEP: "keep"}.get(action, "install")
        return f"{verb} a task service"

    def started(self, step: Step, record: StepFoldState) -> str:
        if step.retired is not None:
            return "removing"
        if step.action is Action.KEEP:
            return "checking its server"
        return "installing again" if record.doubt else "installing"

    def undoing(self, step: Step) -> str:
        return "installing what was there before" if step.undo is Undo.RESTORE else "removing"

    def residue(self, step: Step, _ref: str) -> str:
        if step.undo is Undo.RESTORE:
            return f"task service on {step.provider}, where {_former(step)} was to be installed again"
        return f"task service on {step.provider}"

    def cannot_restore(self, step: Step, catalogue: Mapping[str, Taskserv]) -> str:
        before = step.before and step.before.request
        if step.undo is not Undo.RESTORE or not isinstance(before, TaskservRequest):
            return ""
        entry = catalogue.get(before.entry_name)
        if entry is not None and (not before.digest or entry.digest == before.digest):
            return ""
        return f"that needs the catalogue entry {before.entry_name} as it was, and it has changed"

    def undo_target(self, step: Step, record: StepFoldState) -> str:
        return _former(step) if step.undo is Undo.RESTORE else record.ref


def _written(use: dict[str, Any]) -> dict[str, Any]:
    """One without `entry` has the digest that it had before there was that field."""
    rest = {name: value for name, value in use.items() if name != "entry" or value}
    return {**rest, "variables": nested(use["variables"])}


def _former(step: Step) -> str:
    """What an install replaced."""
    before = step.before and step.before.request
    assert isinstance(before, TaskservRequest)
    return f"{before.name} {before.version}"
