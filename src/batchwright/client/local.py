"""The runs and servers of this machine's state folder, read from their journals: the counterpart of client/http.py."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator, Sequence
from functools import cached_property, partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from batchwright.app.environment_reader import all_environments, find_home, read_environment
from batchwright.app.multi_store import Stores
from batchwright.app.run_provenance import local_principal, user
from batchwright.app.run_reader import OpenedRun, all_runs, events_between, look
from batchwright.app.settings import Settings
from batchwright.app.system_clock import SystemClock
from batchwright.client.base import RunRow, Verb, run_row
from batchwright.engine.manual_resolution import NO_ANSWERS, ResumeAnswers
from batchwright.errors import ServiceUnavailable
from batchwright.journal.lease_holder import process_of
from batchwright.model.lifecycle import RunState
from batchwright.model.run_signal import SignalKind
from batchwright.views.approvals import OpenQuestion, open_questions
from batchwright.views.plan_index import plan_index
from batchwright.views.progress_update import ProgressUpdate
from batchwright.views.run import LIVE, RunView, run_view
from batchwright.views.run_list import matching
from batchwright.views.steps import StepLine, step_lines, step_named
from batchwright.views.text_format import span
from batchwright.views.wait_reasons import Circumstances

if TYPE_CHECKING:
    from batchwright.app.active_run import ActiveRun
    from batchwright.app.adapters import Adapters
    from batchwright.app.approvals import AnswerRequest
    from batchwright.app.live_servers import FoundServers
    from batchwright.app.orphan_sweep import GcResult
    from batchwright.app.plan_files import OpenedPlanFile
    from batchwright.app.planned import Planned
    from batchwright.app.runs import Runs
    from batchwright.app.server_destroy import ServerDestroyResult
    from batchwright.app.webhook_delivery import WebhookDeliverer
    from batchwright.app.workflow_source import Source
    from batchwright.client.progress import Progress
    from batchwright.client.proposals import LocalProposals
    from batchwright.engine.rollback_preview import PlannedUndo
    from batchwright.loader import Loaded
    from batchwright.model.delivery import Delivery
    from batchwright.model.events import AnyEvent
    from batchwright.model.plan import Plan
    from batchwright.model.run_provenance import RunInputs
    from batchwright.model.scalar import SimulationSettings
    from batchwright.views.drift import EnvironmentDrift
    from batchwright.views.environment import EnvironmentLine, EnvironmentView
    from batchwright.views.lanes import LaneLine
    from batchwright.views.leases import LeaseLine
    from batchwright.views.plan import PlanView
    from batchwright.views.stats_over_runs import Stats
    from batchwright.views.step_explanation import Explanation
    from batchwright.views.webhook_message import DeliveryLine
    from batchwright.views.workload_health import RunHealth

# Between two looks at a run that another process drives. It polls: neither SQLite nor an embedded SurrealDB tells
# others of a change, and a look is one indexed query: `monitor` takes 0.4 % of a core while nothing happens.
FOLLOW_SECONDS = 0.2
ANSWER_LOOKS = 25  # whether the driver of a run has heard an answer
RESEND_SECONDS = 30.0  # for all messages of a run that are sent again
FLUSH_SECONDS = 5.0  # for the last messages of webhooks, when a run that was driven here has ended

T = TypeVar("T")


class LocalClient:
    """The Client port over the stores of this machine; `Client` documents the methods.

    It opens each store when it is first needed and closes all of them on exit. It has its own event loop, which runs
    only during a call. What only some commands need is imported in their methods: all of it takes 0.2 s.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.clock = SystemClock()
        self.stores = Stores(settings)
        self._webhooks: WebhookDeliverer | None = None
        self._runner = asyncio.Runner()
        self._opened: OpenedRun | None = None
        self._destruction: Plan | None = None
        self._around: Adapters | None = None

    def __enter__(self) -> LocalClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._runner:
            if self._webhooks is not None:
                self.wait(self._webhooks.aclose())
            if self._around is not None:
                self.wait(self._around.__aexit__(None, None, None))
            self.wait(self.stores.__aexit__())

    @cached_property
    def runs_here(self) -> Runs:
        """The use cases of runs that this process drives."""
        from batchwright.app.runs import Runs

        return Runs(self.settings, self.stores, self.clock, webhooks=self._deliverer, shares=True)

    @property
    def place(self) -> str:
        """The path of the state folder."""
        return str(self.settings.state_dir)

    def warnings(self) -> list[str]:
        """The stores that could not be read, and whether a copy was read."""
        told = [f"the store {name} is left out: {error.message}" for name, error in self.stores.troubles.items()]
        copied = "the state folder is read-only: showing a recent copy"
        return [*told, copied] if self.stores.is_copy else told

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of the work. Raises KeyboardInterrupt when Ctrl-C comes first."""
        return self._runner.run(work)

    def look(self, word: str, *, destroys: bool = False) -> OpenedRun:
        """The run, up to date."""
        opened = self._opened
        if opened is not None and opened.run.id == word:
            self.wait(opened.refresh(self.clock.now()))
            return opened
        self._opened = self.wait(look(self.stores, word, self.clock, destroys=destroys))
        return self._opened

    def _deliverer(self) -> WebhookDeliverer:
        """Made when a run that this process drives has webhooks."""
        from batchwright.app.webhook_delivery import webhook_deliverer

        if self._webhooks is None:
            self._webhooks = webhook_deliverer(self.settings, self.stores, self.clock)
        return self._webhooks

    # -- looking --------------------------------------------------------------------------------------------------

    def _rows(self) -> list[RunRow]:
        rows, driven = self.wait(all_runs(self.stores, self.clock, partial=True))
        return [run_row(row, driven=row.run in driven) for row in rows]

    def runs(
        self, statuses: Sequence[str] = (), name: str = "", most: int | None = None, environment: str = ""
    ) -> list[RunRow]:
        return matching(self._rows(), statuses, name, environment)[:most]

    def environments(self) -> tuple[EnvironmentLine, ...]:
        return self.wait(all_environments(self.stores, self.clock))

    def environment(self, word: str) -> EnvironmentView:
        return self.wait(read_environment(self.stores, self.clock, word))

    def stats(self, since: str | None) -> Stats:
        from batchwright.views.stats_over_runs import stats_view

        return stats_view(self._rows(), self.clock.now() - span(since) if since else 0.0)

    def run(self, word: str, *, destroys: bool = False) -> RunView:
        opened = self.look(word, destroys=destroys)
        around = Circumstances(opened.driven)
        return run_view(opened.run, self.clock.now(), around=around, store=opened.journal.name)

    def steps(self, word: str) -> tuple[StepLine, ...]:
        return step_lines(self.look(word).run, self.clock.now())

    def events(self, word: str) -> Iterator[tuple[int, AnyEvent]]:
        opened, last = self.look(word), 0
        while page := self.wait(opened.journal.read(opened.run.id, last)):
            yield from page
            last = page[-1][0]

    def follow(self, word: str, after: int | None = None) -> Iterator[ProgressUpdate]:
        opened = self.look(word)
        run, shape = opened.run, plan_index(opened.run.plan)
        events = [] if after is None else self.wait(events_between(opened, after, run.seq))
        while True:
            ended = opened.over or not opened.driven
            draw = partial(
                run_view,
                run,
                self.clock.now(),
                around=Circumstances(opened.driven),
                store=opened.journal.name,
                shape=shape,
                bounds=None if ended else LIVE,
            )
            yield ProgressUpdate(draw, events, run.seq)
            if ended:
                return
            self.wait(asyncio.sleep(FOLLOW_SECONDS))
            events = self.wait(opened.refresh(self.clock.now()))

    def explain(self, word: str, step: str) -> Explanation:
        from batchwright.views.step_explanation import explain

        opened = self.look(word)
        named = step_named(opened.run, step)
        past = self.wait(events_between(opened, 0, opened.run.seq))
        return explain(opened.run, past, named, self.clock.now(), Circumstances(opened.driven))

    def checks(self, word: str) -> RunHealth:
        from batchwright.app.workload_health import check_run

        return self.wait(check_run(self.settings, self.clock, self.look(word).run))

    def rollback_preview(self, word: str) -> tuple[PlannedUndo, ...]:
        from batchwright.app.rollback_impact import planned_undo

        return tuple(self.wait(planned_undo(self.settings, self.clock, self.look(word).run)))

    # -- acting ---------------------------------------------------------------------------------------------------

    def act(self, word: str, verb: Verb, *, force: bool = False, answers: ResumeAnswers = NO_ANSWERS) -> Progress:
        from batchwright.app.active_run import LIVE_STATES
        from batchwright.app.run_refusals import nothing_to_pause, refuse_rollback
        from batchwright.app.runs import StoredRun
        from batchwright.client.progress import WatchedProgress

        opened = self.look(word, destroys=verb == "rollback" or force)
        run, stored, by = opened.run, StoredRun(opened.journal, opened.run.id, opened.run), user()
        kind = {"pause": SignalKind.PAUSE, "resume": SignalKind.RESUME}.get(
            verb, SignalKind.FORCE_CANCEL if force else SignalKind.CANCEL
        )
        if verb == "rollback":
            if opened.driver is not None:
                refuse_rollback(run, by, self.clock.now(), process_of(opened.driver))
            return self.drive(self.runs_here.rollback(stored, by))
        if verb == "resume" and not (opened.driven and run.status is RunState.PAUSED and answers == NO_ANSWERS):
            return self.drive(self.runs_here.resume(stored, by, answers, principal=local_principal().id))
        states = {"pause": LIVE_STATES[:2], "resume": (RunState.PAUSED,)}.get(verb, LIVE_STATES)
        if self.wait(self.runs_here.ask(stored, kind, by, states)):
            return WatchedProgress(self.follow(run.id), opened.driver or "another process")
        if verb == "pause":
            raise nothing_to_pause(run.id)
        if verb == "resume":
            return self.drive(self.runs_here.resume(stored, by, principal=local_principal().id))
        return self.drive(self.runs_here.cancel(stored, by, force=force))

    def approvals(self, word: str = "") -> tuple[OpenQuestion, ...]:
        if word:
            return open_questions(self.look(word).run)
        rows = [row for row in self.wait(self.stores.summaries(partial=True)) if row.asks]
        return tuple(question for row in rows for question in open_questions(self.look(row.run).run))

    def cannot_answer(self, question: OpenQuestion) -> str:
        from batchwright.app.approvals import unfit_for

        return unfit_for(self.settings, self.look(question.run).run, question.step, local_principal())

    def answer(self, word: str, request: AnswerRequest) -> RunView:
        run = self.look(word).run.id
        step, new = self.wait(self._answer(request))
        who = local_principal().id
        for _ in range(ANSWER_LOOKS if new else 0):
            opened = self.look(run)
            if not opened.driven or any(one.principal == who for one in opened.run.holds[step].answers):
                break
            self.wait(asyncio.sleep(FOLLOW_SECONDS))
        return self.run(run)

    async def _answer(self, request: AnswerRequest) -> tuple[str, bool]:
        from batchwright.app.approvals import answer

        assert self._opened is not None
        own = self._opened.journal, self._opened.run
        return await answer(*own, request, local_principal(), self.settings, self.clock.now())

    @property
    def proposals(self) -> LocalProposals:
        from batchwright.client.proposals import LocalProposals

        return LocalProposals(self.settings, self.clock)

    def plan(self, source: Source, loaded: Loaded, simulation: SimulationSettings | None) -> Planned:
        """The plan of a checked file. What it opens stays open for `start`."""
        from batchwright.app.plans import plan_source

        self._around = self.runs_here.adapters(simulation).loading(loaded.workflow)
        return self.wait(plan_source(self.settings, self.stores, self._around, source, loaded, simulation))

    def check_plan_file(self, file: OpenedPlanFile) -> Planned:
        """Whether the plan of a file holds here and now. What that opens stays open for `start`. Raises PlanChanged."""
        from batchwright.app.plan_files import check_plan_file

        self._around = self.runs_here.adapters(file.content.plan.simulation)
        return self.wait(check_plan_file(self.settings, self.stores, self._around, file))

    def drift(self, word: str) -> EnvironmentDrift:
        from batchwright.app.environment_drift import find_drift

        return self.wait(find_drift(self.settings, self.stores, self.clock, word))

    def destroy_plan(self, word: str, *, wait: float) -> PlanView:
        from batchwright.views.plan import plan_view

        self._destruction = plan = self.wait(self._plan_destroy(word, wait))
        return plan_view(plan)

    async def _plan_destroy(self, word: str, wait: float) -> Plan:
        from batchwright.app.environment_destroy import plan_destruction
        from batchwright.app.environment_turn_wait import wait_for_turn_of

        found = await find_home(self.stores, word, simulated=None)
        await wait_for_turn_of(found.journal, found.state.key, self.clock, wait)
        found = await find_home(self.stores, word, simulated=None)
        self._around = self.runs_here.adapters(found.plan.simulation)
        planned = await plan_destruction(self.settings, self._around, found)
        if planned.plan is None:
            raise planned.refusal()
        return planned.plan

    def destroy(self, word: str, plan: PlanView, *, wait: float) -> tuple[str, Progress]:
        from batchwright.app.plans import approve

        if self._destruction is None or self._destruction.hash() != plan.hash:
            self.destroy_plan(word, wait=wait)
        assert self._destruction is not None
        approve(self._destruction, plan.hash)
        return self.start(self._destruction, "")

    def start(self, plan: Plan, source: str, inputs: RunInputs | None = None) -> tuple[str, Progress]:
        """Record a run of this plan, to be driven here; `source` is the digest of the workflow it was planned from."""
        who = local_principal().id
        stored = self.wait(self.runs_here.create(plan, user(), source=source, inputs=inputs, principal=who))
        return stored.id, self.drive(self.runs_here.drive(stored, around=self._around))

    def drive(self, run: ActiveRun) -> Progress:
        """The updates of a run that this process drives."""
        from batchwright.client.driven_progress import DrivenProgress

        return DrivenProgress(self._runner, run, user())

    def deliveries(self, word: str = "") -> tuple[DeliveryLine, ...]:
        from batchwright.app.webhook_resend import deliveries
        from batchwright.views.webhook_message import delivery_line

        return tuple(map(delivery_line, self.wait(deliveries(self.stores, word))))

    def resend(self, word: str, event: int, *, failed: bool) -> tuple[DeliveryLine, ...]:
        from batchwright.views.webhook_message import delivery_line

        return tuple(map(delivery_line, self.wait(self._resend(word, event, failed))))

    async def _resend(self, word: str, event: int, failed: bool) -> list[Delivery]:
        from batchwright.app.webhook_resend import send_again

        found = await send_again(self.settings, self.stores, word, event, failed=failed)
        deliverer = self._deliverer()
        deliverer.start()
        runs = {row.run: journal for journal, row in found}
        for run in runs:
            deliverer.hint(run)
        for run, journal in runs.items():
            await deliverer.flush(journal, run, RESEND_SECONDS)
        changed = {(row.run, row.webhook) for _, row in found}
        rows = [row for run, journal in runs.items() for row in await journal.deliveries(run)]
        return [row for row in rows if (row.run, row.webhook) in changed]

    def undelivered(self, word: str) -> tuple[DeliveryLine, ...]:
        from batchwright.views.webhook_message import delivery_line

        if self._webhooks is None:
            return ()
        opened = self.look(word)
        return tuple(map(delivery_line, self.wait(self._webhooks.flush(opened.journal, opened.run.id, FLUSH_SECONDS))))

    def leases(self) -> tuple[LeaseLine, ...]:
        from batchwright.app.lease_list import leases

        return self.wait(leases(self.stores, self.clock))

    def lanes(self) -> tuple[LaneLine, ...]:
        raise ServiceUnavailable(
            f"no service serves {self.place}, and lanes are known only to the process that drives the runs",
            hint="Start one with batchwright serve; batchwright monitor RUN says what a run waits for.",
        )

    # -- servers --------------------------------------------------------------------------------------------------

    def servers(self, provider: str, simulation: SimulationSettings | None) -> FoundServers:
        from batchwright.app.live_servers import find_servers

        return self.wait(find_servers(self.settings, self.stores, self.clock, provider, simulation))

    def destroy_server(self, ref: str, *, anyway: bool, simulation: SimulationSettings | None) -> ServerDestroyResult:
        from batchwright.app.server_destroy import destroy_server

        return self.wait(destroy_server(self.settings, self.stores, self.clock, ref, simulation, anyway=anyway))

    def sweep_orphans(self, word: str, *, remove: bool) -> GcResult:
        from batchwright.app.orphan_sweep import sweep_orphans

        return self.wait(sweep_orphans(self.settings, self.stores, self.clock, word, remove=remove))
