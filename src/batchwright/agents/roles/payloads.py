"""The typed part of each role's answer."""

from __future__ import annotations

from msgspec import Struct

from batchwright.agents.slices.comparison import RunFigures
from batchwright.agents.slices.provider_calls import Latency
from batchwright.agents.slices.recovery import RecoveryWay


class RunProgress(Struct, frozen=True, tag="run_progress"):
    """How far a run is. `left` is the estimated time that it still takes, in seconds; None if that is not known."""

    run: str
    status: str
    driven: bool
    seq: int
    done: int
    total: int
    failed: int
    in_flight: int
    left: float | None
    questions: int


class CauseCount(Struct, frozen=True):
    """How many steps failed for one cause, and the first of them."""

    kind: str
    code: str
    provider: str
    place: str
    steps: int
    first: str


class Diagnosis(Struct, frozen=True, tag="diagnosis"):
    """Why a run failed: the causes with the most steps, the step that failed first, and how many did not run."""

    run: str
    failed: int
    causes: tuple[CauseCount, ...]
    causes_more: int
    first_step: str
    first_seq: int
    skipped: int
    in_doubt: int


class RecoveryPlan(Struct, frozen=True, tag="recovery_plan"):
    """The ways to go on with a run; the one to try first first."""

    run: str
    ways: tuple[RecoveryWay, ...]


class ProviderSummary(Struct, frozen=True, tag="provider_summary"):
    """One provider in a run. `slower` are the actions that took at least 1.5 times as long as in the last good run."""

    run: str
    provider: str
    steps: int
    failed: int
    retries: int
    throttled: int
    latencies: tuple[Latency, ...]
    slower: tuple[str, ...]
    stopped: str = ""


class RunComparison(Struct, frozen=True, tag="run_comparison"):
    """A run beside the last good one of its environment; `before` is None if there is none."""

    now: RunFigures
    before: RunFigures | None


class PlanRisks(Struct, frozen=True, tag="plan_risks"):
    """What a plan would do, by risk. `symbols` counts servers, services and commands by what is done to them."""

    plan: str
    symbols: dict[str, int]
    destroys: int
    replaces: int
    not_undone: int
    not_repeated: int
    warnings: int
    problems: int


class PlanForecast(Struct, frozen=True, tag="plan_forecast"):
    """How a plan would go: seconds at least, the longest path in seconds and steps, what is created at each account."""

    plan: str
    operations: int
    steps: int
    parallel_limit: int
    least: float
    critical_seconds: float
    critical_path: tuple[str, ...]
    creates: dict[str, int]
    per_hour: dict[str, float]
    unpriced: int


class DefinitionPatch(Struct, frozen=True, tag="definition_patch"):
    """A change of a workflow file: a unified diff, and what it adds, removes, resizes (to a plan) or installs.

    It was applied to a copy and checked.
    """

    file: str
    operation: str
    added: tuple[str, ...]
    patch: str
    removed: tuple[str, ...] = ()
    resized: dict[str, str] = {}
    service: str = ""


class DriftSummary(Struct, frozen=True, tag="drift_summary"):
    """How an environment differs from what its runs asked for, counted by state."""

    environment: str
    counts: dict[str, int]
    changing: str
    ok: bool


class RehearsalSummary(Struct, frozen=True, tag="rehearsal_summary"):
    """What a rehearsal found, and how much it looked at. `trusted`: it found the bug that was planted in it."""

    file: str
    ok: bool
    errors: int
    warnings: int
    runs: int
    crashes: int
    trusted: bool


Payload = (
    RunProgress
    | Diagnosis
    | RecoveryPlan
    | ProviderSummary
    | RunComparison
    | PlanRisks
    | PlanForecast
    | DefinitionPatch
    | DriftSummary
    | RehearsalSummary
)
