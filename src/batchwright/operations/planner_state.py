"""The working state of planning: what the passes have computed so far, and the problems they found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from batchwright.model.diagnostic import Diagnostic, Severity
from batchwright.model.environment import Resource
from batchwright.model.plan import Alternative, Before, FieldChange, Labels, Request, ServerFacts, Step
from batchwright.model.taskserv import Taskserv
from batchwright.model.workflow import DependencyKind, DependencyScope, Operation, Workflow
from batchwright.operations.observations import Observations
from batchwright.operations.suggestions import enumerated

Op = TypeVar("Op", bound=Operation)

NO_FACTS = ServerFacts()


@dataclass(slots=True, eq=False)
class PlannedServer:
    """A server that an operation ensures, the `number`th. `installed`: task service -> index of its operation.

    `request` is what its step sends to `provider`, and `facts` is what the provider knows about it. `alternatives` are
    where else it may be created.
    """

    number: int
    operation: int
    provider: str
    name: str
    size: str  # the provider's name of its plan
    step: str
    ref: str = ""  # the server that is there already and is kept, or changed in place
    updated: bool = False  # it is changed in place
    before: Before | None = None  # what it was before
    address: str = ""  # of that server, as far as it is known to stay
    unclear: bool = False  # the run that created it has not seen that it has no twin
    lender: str = ""  # the environment that it belongs to, if it is kept and another's
    adopts: Labels | None = None  # of a server that is kept and was another store's
    old: Resource | None = None  # the server that this one replaces
    old_last: bool = False  # it is destroyed last of all, else before this one is created
    old_gone: bool = False  # someone else has destroyed it
    changes: tuple[FieldChange, ...] = ()  # in what the server that is there differs
    made: bool = False  # the plan creates it
    vanishes: bool = False  # and a rollback ends it, with all that is on it
    facts: ServerFacts = NO_FACTS
    request: Request | None = None
    alternatives: tuple[Alternative, ...] = ()
    installed: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Predecessors:
    """The operations that one depends on, transitively, as bits by index; `hard`: over hard dependencies only."""

    all: int
    hard: int

    def has(self, index: int) -> bool:
        return bool(self.all >> index & 1)

    def has_hard(self, index: int) -> bool:
        return bool(self.hard >> index & 1)


@dataclass(slots=True)
class Draft:
    """Each pass of planning fills the next field. Lists are by the operations' index in `order`."""

    workflow: Workflow
    catalogue: Mapping[str, Taskserv]
    observations: Observations
    problems: list[Diagnostic] = field(default_factory=list)
    order: list[Operation] = field(default_factory=list)
    index: dict[str, int] = field(default_factory=dict)
    had: dict[str, Resource] = field(default_factory=dict)  # the environment's servers, by name
    had_refs: set[str] = field(default_factory=set)  # of these
    places: dict[int, list[PlannedServer]] = field(default_factory=dict)
    targets: dict[int, list[PlannedServer]] = field(default_factory=dict)
    steps: dict[int, list[Step]] = field(default_factory=dict)
    numbers: dict[int, frozenset[int]] = field(default_factory=dict)  # of the servers that an operation works on
    own: dict[str, Draft] = field(default_factory=dict)  # what a type works out for itself, by its name

    def of(self, kind: type[Op]) -> Iterator[tuple[int, Op]]:
        """The operations of one type with their indices, in order."""
        return ((i, op) for i, op in enumerate(self.order) if isinstance(op, kind))

    def walk(self) -> Iterator[tuple[int, Operation, Predecessors]]:
        """Each operation with those before it. Their bits are kept only while another operation still needs them."""
        waiting = [0] * len(self.order)
        for op in self.order:
            for dependency in op.edges:
                waiting[self.index[dependency.id]] += 1
        alive: dict[int, Predecessors] = {}
        for i, op in enumerate(self.order):
            every = hard = 0
            for dependency in op.edges:
                at = self.index[dependency.id]
                every |= alive[at].all | 1 << at
                if dependency.kind is DependencyKind.HARD:
                    hard |= alive[at].hard | 1 << at
                waiting[at] -= 1
                if waiting[at] == 0:
                    del alive[at]
            before = Predecessors(every, hard)
            if waiting[i]:
                alive[i] = before
            yield i, op, before

    def works_on(self, i: int) -> list[PlannedServer]:
        """The servers that an operation makes, or that it works on."""
        return self.places.get(i) or self.targets.get(i, [])

    def numbers_of(self, i: int) -> frozenset[int]:
        """The numbers of these servers."""
        if i not in self.numbers:
            self.numbers[i] = frozenset(place.number for place in self.works_on(i))
        return self.numbers[i]

    @property
    def has_server_edges(self) -> bool:
        """Whether an operation depends on another per server."""
        return any(edge.per is DependencyScope.SERVER for op in self.order for edge in op.dependencies)

    def before_on(self, i: int, place: PlannedServer) -> Predecessors:
        """The operations that are over on a server when this one begins there. Per-server dependencies do not reach
        what is done on other servers.
        """
        hard = self._reached(i, place, frozenset({DependencyKind.HARD}))
        return Predecessors(self._reached(i, place, frozenset(DependencyKind)), hard)

    def _reached(self, i: int, place: PlannedServer, kinds: frozenset[DependencyKind]) -> int:
        found, waiting = 0, [i]
        while waiting:
            at = waiting.pop()
            for edge in self.order[at].dependencies:
                other = self.index[edge.id]
                here = edge.per is DependencyScope.OPERATION or (
                    place.number in self.numbers_of(at) & self.numbers_of(other)
                )
                if edge.kind in kinds and here and not found >> other & 1:
                    found |= 1 << other
                    waiting.append(other)
        return found

    def refuse(self, code: str, message: str, where: str, hint: str = "", field: str = "") -> None:
        """Note an error: this draft will give no plan. `field` is the field of `where` that it is about."""
        self.problems.append(Diagnostic(code=code, message=message, where=where, hint=hint, field=field))

    def warn(self, code: str, message: str, where: str, hint: str = "") -> None:
        """Note something the user should know."""
        self.problems.append(Diagnostic(code=code, message=message, where=where, hint=hint, severity=Severity.WARNING))


def names_of(places: Sequence[PlannedServer]) -> str:
    """The servers' names in a few words."""
    return enumerated([place.name for place in places])
