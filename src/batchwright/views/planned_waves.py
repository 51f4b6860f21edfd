"""The waves of an operation and how many of its steps must succeed, as a plan has them, and where a run is. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from batchwright.model.lifecycle import StepState
from batchwright.model.operation_end import required
from batchwright.model.plan import Hold, Plan, PlannedOperation, Step
from batchwright.model.run import Run
from batchwright.operations.waves import server_of
from batchwright.views.text_format import some

SIZES_SHOWN = 6


class PlannedWaves(Struct, frozen=True):
    """`sizes` are the servers of each wave, () if all begin at once; people are asked after the waves in `asks_after`,
    those in `asks` or, if that is empty, anybody.

    `must_succeed` of its `steps` must succeed; None: all.
    """

    sizes: tuple[int, ...] = ()
    asks_after: tuple[int, ...] = ()
    must_succeed: int | None = None
    steps: int = 0
    asks: str = ""

    @property
    def words(self) -> str:
        """`in waves of 1, 5 and 4, asks after the first; 18 of 20 must succeed`; empty if there is nothing to say."""
        told = [_sizes_words(self.sizes) + _asks_words(self)] if self.sizes else []
        if self.must_succeed is not None:
            told.append(f"{self.must_succeed:,} of {self.steps:,} must succeed")
        return "; ".join(told)


def _sizes_words(sizes: Sequence[int]) -> str:
    if len(sizes) <= SIZES_SHOWN:
        return f"in waves of {some([f'{size:,}' for size in sizes], SIZES_SHOWN)}"
    return f"in {len(sizes):,} waves of {', '.join(f'{size:,}' for size in sizes[: SIZES_SHOWN - 1])}, ..."


def _asks_words(waves: PlannedWaves) -> str:
    if not waves.asks_after:
        return ""
    whom = f" {waves.asks}" if waves.asks else ""
    when = "the first" if len(waves.asks_after) == 1 and len(waves.sizes) > 2 else "each"
    return f", asks{whom} after {when}"


def people_words(hold: Hold) -> str:
    """Of whom how many must agree: `2 of lead or ops`; empty if it is anybody."""
    whom = " or ".join(hold.of)
    if hold.quorum == 1:
        return whom
    return f"{hold.quorum} of {whom}" if whom else f"{hold.quorum} people"


def planned_waves(plan: Plan) -> list[PlannedWaves]:
    """Of each operation."""
    members: dict[str, list[Step]] = {op.id: [] for op in plan.operations}
    for step in plan.steps:
        members[step.operation].append(step)
    return [_of(op, members[op.id]) for op in plan.operations]


def _of(op: PlannedOperation, steps: Sequence[Step]) -> PlannedWaves:
    servers: dict[int, set[str]] = {}
    for step in steps:
        if step.wave and not step.traits.holds:
            servers.setdefault(step.wave, set()).add(server_of(step))
    asking = [step for step in steps if step.wave and step.hold is not None]
    count = sum(step.counted for step in steps)
    return PlannedWaves(
        sizes=tuple(len(servers[wave]) for wave in sorted(servers)),
        asks_after=tuple(step.wave - 1 for step in asking),
        asks=next((people_words(step.hold) for step in asking if step.hold is not None), ""),
        must_succeed=required(op, count) if op.min_success else None,
        steps=count,
    )


def wave_now(run: Run, op: int) -> tuple[int, int]:
    """The wave that an operation is in, and how many it has; 0 of 0 if it has none."""
    gates = [run.records[i].state for i in run.gates[op] if run.plan.steps[i].traits.holds]
    return (1 + sum(state is StepState.SUCCEEDED for state in gates), 1 + len(gates)) if gates else (0, 0)
