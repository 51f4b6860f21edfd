"""The port through which every command reads and controls runs and servers: local stores, or a service.

Output and exit codes of a command are the same through both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Protocol, Self

from msgspec.structs import asdict

from batchwright.engine.manual_resolution import NO_ANSWERS, ResumeAnswers
from batchwright.model.run_summary import RunSummary

if TYPE_CHECKING:
    from batchwright.app.approvals import AnswerRequest
    from batchwright.app.live_servers import FoundServers
    from batchwright.app.orphan_sweep import GcResult
    from batchwright.app.server_destroy import ServerDestroyResult
    from batchwright.client.progress import Progress
    from batchwright.engine.rollback_preview import PlannedUndo
    from batchwright.model.events import AnyEvent
    from batchwright.model.scalar import SimulationSettings
    from batchwright.views.approvals import OpenQuestion
    from batchwright.views.drift import EnvironmentDrift
    from batchwright.views.environment import EnvironmentLine, EnvironmentView
    from batchwright.views.lanes import LaneLine
    from batchwright.views.leases import LeaseLine
    from batchwright.views.plan import PlanView
    from batchwright.views.progress_update import ProgressUpdate
    from batchwright.views.proposal import ProposalView
    from batchwright.views.run import RunView
    from batchwright.views.stats_over_runs import Stats
    from batchwright.views.step_explanation import Explanation
    from batchwright.views.steps import StepLine
    from batchwright.views.webhook_message import DeliveryLine
    from batchwright.views.workload_health import RunHealth

ANSWER_SECONDS = 60.0  # for one answer; a workflow is planned within it

Verb = Literal["pause", "resume", "cancel", "rollback"]


class RunRow(RunSummary, frozen=True):
    """One run of the list. `driven`: a process drives it now."""

    driven: bool = True


def run_row(row: RunSummary, *, driven: bool) -> RunRow:
    """The row of the list; one of an older version is told its environment's name."""
    return RunRow(**(asdict(row) | {"environment": row.environment_key.name}), driven=driven)


class ProposalClient(Protocol):
    """What every command can do with proposals. Raises as Client's methods."""

    def all(self) -> tuple[ProposalView, ...]:
        """Those that are open, decided or lately carried out, oldest first."""
        ...

    def decide(self, digest: str, *, yes: bool, comment: str = "") -> ProposalView:
        """Approve or refuse one. Raises ProposalNotFound, ProposalClosed, ApproverRefused, UsageError."""
        ...


class Client(Protocol):
    """A RUN argument is an id, the beginning of one, `latest`, or an environment's name, which means its newest run.

    Every method raises RunNotFound, RunAmbiguous, EnvironmentNotFound, EnvironmentAmbiguous and StoreError, and
    ServiceUnavailable if it uses a service.
    """

    @property
    def place(self) -> str:
        """The state folder or the service's address, for messages."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def warnings(self) -> list[str]:
        """Reasons why the answers so far may be incomplete, such as a store that cannot be read."""
        ...

    def runs(
        self, statuses: Sequence[str] = (), name: str = "", most: int | None = None, environment: str = ""
    ) -> list[RunRow]:
        """Runs with one of these statuses, `name` in their workflow's name, and of this environment, newest first."""
        ...

    def run(self, word: str, *, destroys: bool = False) -> RunView:
        """The current view of a run. With `destroys`, raises LatestAmbiguous if `latest` may not be what was meant."""
        ...

    def environments(self) -> tuple[EnvironmentLine, ...]:
        """Every environment, ordered by name."""
        ...

    def destroy_plan(self, word: str, *, wait: float) -> PlanView:
        """What destroying an environment would do. Raises PlanRefused with diagnostics, EnvironmentBusy."""
        ...

    def destroy(self, word: str, plan: PlanView, *, wait: float) -> tuple[str, Progress]:
        """Begin a run of that plan. Gives its id. Raises PlanChanged, EnvironmentRefused."""
        ...

    def environment(self, word: str) -> EnvironmentView:
        """What an environment has, and which run may change it now."""
        ...

    def drift(self, word: str) -> EnvironmentDrift:
        """What an environment has, compared now with what its runs asked for."""
        ...

    def steps(self, word: str) -> tuple[StepLine, ...]:
        """Every step of a run."""
        ...

    def events(self, word: str) -> Iterator[tuple[int, AnyEvent]]:
        """The events of a run in order, each with its number."""
        ...

    def follow(self, word: str, after: int | None = None) -> Iterator[ProgressUpdate]:
        """The updates of a run, after this event or from now, until it has ended or no process drives it."""
        ...

    def explain(self, word: str, step: str) -> Explanation:
        """Why a step ran, waited, was skipped, retried or undone. Raises StepNotFound."""
        ...

    def stats(self, since: str | None) -> Stats:
        """All runs in numbers, or those created within `since` (90s, 30m, 24h, 7d)."""
        ...

    def checks(self, word: str) -> RunHealth:
        """Look now whether a run's task services, and what its checks look at, are well."""
        ...

    def rollback_preview(self, word: str) -> tuple[PlannedUndo, ...]:
        """What a rollback would do, in order. Raises NotAllowed when it would be refused."""
        ...

    def act(self, word: str, verb: Verb, *, force: bool = False, answers: ResumeAnswers = NO_ANSWERS) -> Progress:
        """Pause, resume, cancel or roll back a run: its driver is asked; if there is none, this client drives it.

        Raises LatestAmbiguous for a rollback or a forced cancel, and NotAllowed and RunHeld, at once or with the first
        update, before anything is changed.
        """
        ...

    def approvals(self, word: str = "") -> tuple[OpenQuestion, ...]:
        """What one run asks people now, or what all runs ask: the newest run first."""
        ...

    def cannot_answer(self, question: OpenQuestion) -> str:
        """Why the caller may not answer a question, as far as that is known here; empty if they may."""
        ...

    def answer(self, word: str, request: AnswerRequest) -> RunView:
        """Answer a question of a run; gives the run once its driver has heard it, or after a few seconds.

        Raises ApprovalLate, ApprovalOutdated, ApproverRefused, NotAllowed, StepNotFound, UsageError.
        """
        ...

    @property
    def proposals(self) -> ProposalClient:
        """Proposed changes."""
        ...

    def deliveries(self, word: str = "") -> tuple[DeliveryLine, ...]:
        """What webhooks were told about one run, or about all: the newest run first."""
        ...

    def resend(self, word: str, event: int, *, failed: bool) -> tuple[DeliveryLine, ...]:
        """Send messages again: all about a run, one event's if it is not 0, or those given up. Raises WebhookNotFound.

        Local stores send now and give what became of it; a service sends soon and gives what is to be sent.
        """
        ...

    def undelivered(self, word: str) -> tuple[DeliveryLine, ...]:
        """Wait a few seconds for the webhooks of a run that this process drove; gives those with something left."""
        ...

    def leases(self) -> tuple[LeaseLine, ...]:
        """Who holds each run that has not ended, and its environment: the newest run first."""
        ...

    def lanes(self) -> tuple[LaneLine, ...]:
        """What the lanes of the service do now. Raises ServiceUnavailable where none serves."""
        ...

    def servers(self, provider: str, simulation: SimulationSettings | None) -> FoundServers:
        """All servers as the providers show them now, of one provider if it is named."""
        ...

    def destroy_server(self, ref: str, *, anyway: bool, simulation: SimulationSettings | None) -> ServerDestroyResult:
        """Destroy one server until it is gone; `anyway`: even if its run has not ended. Raises NotAllowed."""
        ...

    def sweep_orphans(self, word: str, *, remove: bool) -> GcResult:
        """Find what carries a run's label but is not in its journal; with `remove`, remove it. Raises NotAllowed."""
        ...
