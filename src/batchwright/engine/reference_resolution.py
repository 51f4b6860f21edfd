"""What the references of an operation stand for, found once, when its first step is about to start. Pure."""

from __future__ import annotations

from functools import cached_property

from msgspec import Struct

from batchwright.model.fault import Fault, FaultClass
from batchwright.model.lifecycle import StepState
from batchwright.model.run import Run
from batchwright.model.templates import Reference, Root, Value, joined
from batchwright.operations.registry import is_server

VALUE_BYTES, OPERATION_BYTES = 64 * 1024, 1024 * 1024
TOO_LARGE = "value-too-large"
OPERATION_FIELDS = {"addresses": "address", "names": "name"}  # of all its servers


class Missing(Struct, frozen=True):
    """A step has not given what a reference stands for."""

    reference: str
    step: str

    def __str__(self) -> str:
        return f"${{{self.reference}}} is not known: {self.step} gave none"


class OperationValues:
    """Reads the values of a run's operations from its fold."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def due(self, operation: str) -> tuple[str, ...]:
        """The references to look up before a step of the operation starts; none if it is open or has none."""
        return () if operation in self._run.opened else self._named.get(operation, ())

    @cached_property
    def _named(self) -> dict[str, tuple[str, ...]]:
        """What the steps of each operation refer to. What is taken away has the values that it was applied with."""
        found: dict[str, set[str]] = {}
        for step in self._run.plan.steps:
            named = (name for sent in step.requests for name in sent.references if name not in sent.values)
            if mine := {name for name in named if not Reference(name).is_own}:
                found.setdefault(step.operation, set()).update(mine)
        return {operation: tuple(sorted(names)) for operation, names in found.items()}

    def of(self, references: tuple[str, ...]) -> dict[str, Value] | Missing | Fault:
        """What they stand for; the fault says which is too large to be journaled."""
        values: dict[str, Value] = {}
        for name in references:
            value = self._value(Reference(name))
            if isinstance(value, Missing):
                return value
            values[name] = value
        return _too_large(values) or values

    def _value(self, reference: Reference) -> Value | Missing:
        run, segments = self._run, reference.segments
        match reference.root, *segments:
            case Root.RUN, "id":
                return run.id
            case Root.WORKFLOW, "name":
                return run.plan.workflow
            case Root.WORKFLOW, "version":
                return run.plan.version
            case Root.SERVERS, name, field:
                return self._of_server(reference, self._servers[name], field)
            case Root.OPERATIONS, operation, fields:
                there = [i for i in self._servers_of[operation] if run.records[i].state is StepState.SUCCEEDED]
                return tuple(self._field(i, OPERATION_FIELDS[fields]) for i in there)
            case Root.OUTPUTS, operation, key:
                i = run.operation_steps[run.operation_index[operation]][0]
                given = run.records[i].outputs
                return given[key] if key in given else Missing(reference.path, run.plan.steps[i].id)
        raise AssertionError(f"a plan holds a reference that does not exist: {reference}")

    def _of_server(self, reference: Reference, i: int, field: str) -> Value | Missing:
        there = self._run.records[i].state is StepState.SUCCEEDED
        return self._field(i, field) if there else Missing(reference.path, self._run.plan.steps[i].id)

    def _field(self, i: int, field: str) -> str:
        step = self._run.steps[i]
        if field == "address":
            return self._run.records[i].address
        return step.provider if field == "provider" else str(getattr(step.request, field))

    @cached_property
    def _servers(self) -> dict[str, int]:
        """Of servers of one name the wanted one comes first in a plan: what is retired comes last."""
        found: dict[str, int] = {}
        for i, step in enumerate(self._run.plan.steps):
            if step.retired is None and is_server(step):
                found.setdefault(step.request.name, i)
        return found

    @cached_property
    def _servers_of(self) -> dict[str, list[int]]:
        """The servers of each operation, in the order of the file."""
        found: dict[str, list[int]] = {}
        for i in self._servers.values():
            found.setdefault(self._run.plan.steps[i].operation, []).append(i)
        return found


def _too_large(values: dict[str, Value]) -> Fault | None:
    sizes = {name: len(joined(value).encode()) for name, value in values.items()}
    what, limit = "", 0
    if sizes and (name := max(sizes, key=sizes.__getitem__)) and sizes[name] > VALUE_BYTES:
        what, limit = f"${{{name}}} stands for {sizes[name]:,} bytes", VALUE_BYTES
    elif sum(sizes.values()) > OPERATION_BYTES:
        what, limit = f"its references stand for {sum(sizes.values()):,} bytes together", OPERATION_BYTES
    hint = "Pass large data through a file or a server, and its name or address as a value."
    return Fault(FaultClass.INVALID, f"{what}; at most {limit:,} are possible", TOO_LARGE, hint) if what else None
