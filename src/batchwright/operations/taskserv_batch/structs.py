"""Task services as a workflow asks for them, and as a plan installs them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar, Self

from msgspec import Struct
from msgspec.structs import replace

from batchwright.model.plan import Request
from batchwright.model.scalar import PlainValue
from batchwright.model.secret_reference import SecretReference
from batchwright.model.templates import Reference, Value, Values, alone, filled, references
from batchwright.model.workflow import Dependency, HoldAfter, OnFailure, Operation, Retry, WaveHold


class TaskservUse(Struct, frozen=True):
    """A task service, with values for its variables; a secret is only named, never given.

    `entry` is its name in the catalogue, "" if that is `name`. Values in maps have names such as `environment[PORT]`.
    """

    name: str
    variables: dict[str, PlainValue | SecretReference] = {}
    entry: str = ""

    @property
    def entry_name(self) -> str:
        """Its name in the catalogue."""
        return self.entry or self.name

    templates: ClassVar[frozenset[str]] = frozenset({"variables"})


class TaskservBatch(Operation, Struct, frozen=True, tag_field="type", tag="taskserv_batch"):
    """Installs task services on servers; `targets` are operation ids or server names."""

    id: str
    provider: str
    taskservs: tuple[TaskservUse, ...]
    dependencies: tuple[Dependency, ...] = ()
    targets: tuple[str, ...] | None = None
    retry: Retry = Retry()
    timeout: float = 1800.0
    on_failure: OnFailure | None = None
    when: dict[str, str] = {}
    parallel_limit: int | None = None
    waves: tuple[int | str, ...] | None = None
    hold_after: HoldAfter | None = None
    hold: WaveHold | None = None
    min_success: int | str | None = None
    at: str = ""


class Cluster(Struct, frozen=True):
    """The servers that one install joins together. `leader` is the step of the first server, `number` counts from 0."""

    leader: str
    number: int
    size: int


def named_in(value: PlainValue | SecretReference) -> Iterator[Reference]:
    """The references in the value of a variable."""
    for text in value if isinstance(value, tuple) else (value,):
        yield from references(text) if isinstance(text, str) else ()


def filled_variable(value: PlainValue, values: Values) -> PlainValue:
    """The value of a variable. A list takes the place of a text that is nothing but the reference to it."""
    if isinstance(value, tuple):
        return tuple(filled(one, values) if isinstance(one, str) else one for one in value)
    if not isinstance(value, str):
        return value
    whole = alone(value)
    found = values.get(whole.path) if whole is not None else None
    return found if isinstance(found, tuple) else filled(value, values)


class TaskservRequest(Request, Struct, frozen=True, gc=False, omit_defaults=True, tag_field="kind", tag="taskserv"):
    """An install of one task service on one server. `digest` is that of the catalogue entry used for planning.

    Texts of variables are templates. Those about the server it goes on are not among the `references`. `entry` is its
    name in the catalogue, "" if that is `name`. `sources` are the digests of the files and folders that go with it, by
    the name of the variable that has the path.
    """

    name: str
    version: str
    variant: str  # the provider whose variant of the entry is used
    variables: dict[str, PlainValue | SecretReference] = {}
    cluster: Cluster | None = None
    digest: str = ""
    entry: str = ""
    sources: dict[str, str] = {}
    at: str = ""
    references: tuple[str, ...] = ()
    values: dict[str, Value] = {}

    @property
    def entry_name(self) -> str:
        """Its name in the catalogue."""
        return self.entry or self.name

    @property
    def other_servers(self) -> tuple[str, ...]:
        """The leader of its cluster."""
        return tuple(step.rpartition("/")[2] for step in self.other_steps)

    @property
    def other_steps(self) -> tuple[str, ...]:
        """The step of that leader."""
        return (self.cluster.leader,) if self.cluster is not None else ()

    def with_steps(self, steps: Mapping[str, str]) -> Self:
        """With the step of its leader in another plan; without a cluster if the leader has none there."""
        leader = next((steps[name] for name in self.other_servers if name in steps), "")
        if self.cluster is None or leader == self.cluster.leader:
            return self
        return replace(self, cluster=replace(self.cluster, leader=leader) if leader else None)
