"""The runs and servers of a service: the same views that client/local.py makes from the stores, as it sends them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from http.client import HTTPException
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, TypeVar, cast

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from batchwright.app.approvals import AnswerRequest
from batchwright.app.live_servers import FoundServers
from batchwright.app.orphan_sweep import GcResult
from batchwright.app.planned import PlanAnswer
from batchwright.app.server_destroy import ServerDestroyResult
from batchwright.client import http_transport
from batchwright.client.base import ANSWER_SECONDS, RunRow, Verb
from batchwright.client.http_problems import decoded, reason, refusal
from batchwright.client.http_transport import ANSWER_TRIES, CHECK_SECONDS, HttpAnswerLost, HttpTransport
from batchwright.client.progress import Progress, WatchedProgress
from batchwright.client.proposals import HttpProposals
from batchwright.engine.manual_resolution import NO_ANSWERS, ResumeAnswers
from batchwright.engine.rollback_preview import PlannedUndo
from batchwright.errors import EnvironmentNotFound, NotAllowed, RunHeld, ServiceUnavailable
from batchwright.model.environment import REAL, SIMULATED, EnvironmentKey
from batchwright.model.environment_selector import LATEST, WORD, environment_not_found, refuse_latest, run_not_found
from batchwright.model.events import AnyEvent, RunCreated
from batchwright.model.lifecycle import RUN_ENDED, RunState
from batchwright.model.run import Run
from batchwright.model.scalar import SimulationSettings
from batchwright.views.approvals import OpenQuestion
from batchwright.views.drift import EnvironmentDrift
from batchwright.views.environment import EnvironmentLine, EnvironmentView
from batchwright.views.lanes import LaneLine
from batchwright.views.leases import LeaseLine
from batchwright.views.plan import PlanView
from batchwright.views.progress_update import ProgressUpdate
from batchwright.views.run import RunView
from batchwright.views.stats_over_runs import Stats
from batchwright.views.step_explanation import Explanation
from batchwright.views.steps import StepLine, step_lines
from batchwright.views.webhook_message import DeliveryLine
from batchwright.views.workload_health import RunHealth

T = TypeVar("T")

RUNS = "/v1/workflows/batch"
ENVIRONMENTS = "/v1/environments"
WEBHOOKS = "/v1/webhooks"
APPROVALS = "/v1/approvals"
RESERVED = frozenset({"submit", "validate", "plan", "stats"})  # what comes after RUNS and is no run
TRIES = 120  # connections in a row that may fail before a stream is given up
SIMULATE = [("simulate", "true")]
SILENT_SIGNS = 4  # of life without a word, until it is asked whether anybody still drives the run
PAGE = 500  # runs or events asked for at a time

HEARD = {  # the state of a run that carried out each request
    "pause": frozenset({RunState.PAUSED}),
    "resume": frozenset({RunState.RUNNING, RunState.ROLLING_BACK}),
    "cancel": frozenset({RunState.CANCELLED}),
    "rollback": frozenset({RunState.ROLLING_BACK, RunState.ROLLED_BACK, RunState.ROLLBACK_INCOMPLETE}),
}


class ServiceHealthView(Struct, frozen=True):
    """What a client needs to know of `/health`. `state` tells which state folder it serves."""

    state: str = ""


class OpenedPageView(Struct, frozen=True):
    """Where the page of a service is; `code` signs a browser in, once, within `seconds`; "" if it need not sign in."""

    url: str
    code: str = ""
    seconds: float = 0.0


class _Items(Struct, Generic[T], frozen=True):
    items: tuple[T, ...]


class _Rows(Struct, frozen=True):
    items: tuple[RunRow, ...]
    next_cursor: str | None = None


class _Events(Struct, frozen=True):
    items: list[msgspec.Raw]
    next_after: int | None = None


class _Numbered(Struct, frozen=True):
    seq: int


class _Undo(Struct, frozen=True):
    undo: tuple[PlannedUndo, ...]


class HttpClient:
    """The Client port over the REST API of a service; `Client` documents the methods.

    Every method raises ServiceUnavailable, and the error that the service answers with. With `socket`, requests go over
    that Unix socket in the service's state folder, and `url` is only its name. `tries` is how often a request is sent
    whose answer is lost.
    """

    def __init__(
        self,
        url: str,
        token: str = "",
        *,
        seconds: float = ANSWER_SECONDS,
        socket: Path | None = None,
        tries: int = ANSWER_TRIES,
        transport: HttpTransport | None = None,
    ) -> None:
        self._http = transport or HttpTransport(url, token, seconds=seconds, socket=socket, tries=tries)
        self.url = self._http.url
        self._socket = socket

    def __enter__(self) -> HttpClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to release: no connection is kept between requests."""

    @property
    def place(self) -> str:
        """The address of the service."""
        return self.url

    def warnings(self) -> list[str]:
        """What the service itself reports as missing in its `/health`."""
        return []

    def health(self) -> ServiceHealthView:
        """Whether the service answers, and which state folder it serves."""
        return self._http.get("/health", ServiceHealthView)

    def opened_page(self) -> OpenedPageView:
        """The address of the page, and a code that signs a browser in as this caller."""
        page = self._http.done("/session/code", OpenedPageView)
        return page if self._socket is not None else replace(page, url=self.url)

    def submit(
        self,
        workflow: Mapping[str, Any],
        simulation: Mapping[str, Any] | None,
        wait: float = 0.0,
        *,
        retire: bool = False,
    ) -> RunView:
        """Start a run of an evaluated workflow; sent again after a broken connection, it starts no second run."""
        query = [("simulate", "true")] if simulation is not None else []
        query += [("sim", f"{key}={_plain(value)}") for key, value in (simulation or {}).items()]
        query += [("wait", f"{wait:g}")] if wait else []
        query += [("retire", "true")] if retire else []
        headers, seconds = {"Content-Type": "application/json"}, wait and self._http.seconds + wait
        body = msgspec.json.encode({"batch_workflow": workflow})
        answer = self._http.ask("POST", f"{RUNS}/submit", query, headers, body, seconds)
        return cast(RunView, decoded(answer, RunView))

    def destroy_plan(self, word: str, *, wait: float) -> PlanView:
        query = [("environment", word), *([("wait", f"{wait:g}")] if wait else [])]
        seconds = wait and self._http.seconds + wait
        plan: PlanView | None = decoded(
            self._http.ask("POST", f"{ENVIRONMENTS}/destroy/plan", query, {}, b"", seconds), PlanAnswer
        ).plan
        assert plan is not None
        return plan

    def destroy(self, word: str, plan: PlanView, *, wait: float) -> tuple[str, Progress]:
        query = [("environment", word), ("plan_hash", plan.hash), *([("wait", f"{wait:g}")] if wait else [])]
        seconds = wait and self._http.seconds + wait
        run = decoded(self._http.ask("POST", f"{ENVIRONMENTS}/destroy", query, {}, b"", seconds), RunView).run
        return run, WatchedProgress(self.follow(run, 1), "")

    def read(self, path: str, kind: type[T], query: Sequence[tuple[str, str]] = ()) -> T:
        """The answer to a GET."""
        return self._http.get(path, kind, query)

    def run(self, word: str, *, destroys: bool = False) -> RunView:
        if destroys:
            self._refuse_latest(word)
        return self._http.get(self.run_path(word), RunView)

    def _refuse_latest(self, word: str) -> None:
        if word.lower() == LATEST:
            spaces = {True: SIMULATED, False: REAL}
            refuse_latest({EnvironmentKey(spaces[line.simulated], line.name) for line in self.environments()})

    def environments(self) -> tuple[EnvironmentLine, ...]:
        return self._http.get(ENVIRONMENTS, _Items[EnvironmentLine]).items

    def environment(self, word: str) -> EnvironmentView:
        if not WORD.fullmatch(word):
            raise environment_not_found(word)
        space, _, name = word.rpartition(":")
        query = [("simulated", _plain(space == SIMULATED))] if space else []
        return self._http.get(f"{ENVIRONMENTS}/{name}", EnvironmentView, query)

    def runs(
        self, statuses: Sequence[str] = (), name: str = "", most: int | None = None, environment: str = ""
    ) -> list[RunRow]:
        query = [("status", status) for status in statuses] + ([("name", name)] if name else [])
        query += [("environment", environment)] if environment else []
        rows: list[RunRow] = []
        cursor: str | None = None
        while most is None or len(rows) < most:
            size = PAGE if most is None else min(PAGE, most - len(rows))
            after = [("cursor", cursor)] if cursor else []
            page = self._http.get(RUNS, _Rows, [*query, ("limit", str(size)), *after])
            rows += page.items
            cursor = page.next_cursor
            if not cursor:
                break
        return rows

    def stats(self, since: str | None) -> Stats:
        return self._http.get(f"{RUNS}/stats", Stats, [("since", since)] if since else [])

    def explain(self, word: str, step: str) -> Explanation:
        return self._http.get(self.run_path(word, "explain"), Explanation, [("step", step)])

    def events(self, word: str) -> Iterator[tuple[int, AnyEvent]]:
        after: int | None = 0
        while after is not None:
            page = self._http.get(self.run_path(word, "events"), _Events, [("after", str(after)), ("limit", str(PAGE))])
            for item in page.items:
                yield decoded(item, _Numbered).seq, decoded(item, AnyEvent)
            after = page.next_after

    def steps(self, word: str) -> tuple[StepLine, ...]:
        """As `Client.steps`, from the same fold that the service has."""
        run: Run | None = None
        for _, event in self.events(word):
            if run is not None:
                run.apply(event)
            elif isinstance(event, RunCreated):
                run = Run(event)
        if run is None:
            raise ServiceUnavailable(f"the service at {self.url} sent a run without its first event")
        return step_lines(run, time.time())

    def drift(self, word: str) -> EnvironmentDrift:
        return self._http.get("/v1/drift", EnvironmentDrift, [("environment", word)], CHECK_SECONDS)

    def checks(self, word: str) -> RunHealth:
        return self._http.done(self.run_path(word, "checks"), RunHealth)

    def approvals(self, word: str = "") -> tuple[OpenQuestion, ...]:
        return self._http.get(APPROVALS, _Items[OpenQuestion], [("run", word)] if word else []).items

    def cannot_answer(self, _question: OpenQuestion) -> str:
        return ""  # the service knows, and says so when it is answered

    def answer(self, word: str, request: AnswerRequest) -> RunView:
        query = [(name, value) for name in ("step", "comment", "hash") if (value := getattr(request, name))]
        query += [("ask", str(request.ask))] if request.ask else []
        answer = self._http.ask("POST", self.run_path(word, "approve" if request.yes else "refuse"), query)
        return cast(RunView, decoded(answer, RunView))

    @property
    def proposals(self) -> HttpProposals:
        return HttpProposals(self._http, self.run_path)

    def deliveries(self, word: str = "") -> tuple[DeliveryLine, ...]:
        return self._http.get(WEBHOOKS, _Items[DeliveryLine], [("run", word)] if word else []).items

    def resend(self, word: str, event: int, *, failed: bool) -> tuple[DeliveryLine, ...]:
        query = [("run", word)] * bool(word) + [("event", str(event))] * bool(event) + [("failed", "true")] * failed
        return self._http.done(f"{WEBHOOKS}/resend", _Items[DeliveryLine], query).items

    def undelivered(self, _word: str) -> tuple[DeliveryLine, ...]:
        return ()  # the service delivers

    def leases(self) -> tuple[LeaseLine, ...]:
        return self._http.get("/v1/leases", _Items[LeaseLine]).items

    def lanes(self) -> tuple[LaneLine, ...]:
        return self._http.get("/v1/lanes", _Items[LaneLine]).items

    def servers(self, provider: str, simulation: SimulationSettings | None) -> FoundServers:
        query = [("provider", provider)] * bool(provider) + SIMULATE * (simulation is not None)
        return self._http.done("/v1/servers/look", FoundServers, query)

    def destroy_server(self, ref: str, *, anyway: bool, simulation: SimulationSettings | None) -> ServerDestroyResult:
        query = [("ref", ref), *[("anyway", "true")] * anyway, *SIMULATE * (simulation is not None)]
        return self._http.done("/v1/servers/destroy", ServerDestroyResult, query)

    def sweep_orphans(self, word: str, *, remove: bool) -> GcResult:
        return self._http.done(self.run_path(word, "gc"), GcResult, [("remove", "true")] * remove)

    def rollback_preview(self, word: str) -> tuple[PlannedUndo, ...]:
        return self._http.get(self.run_path(word, "rollback"), _Undo).undo

    def act(self, word: str, verb: Verb, *, force: bool = False, answers: ResumeAnswers = NO_ANSWERS) -> Progress:
        """As `Client.act`. A request repeated after a lost answer may be refused if the first was carried out.

        In that case the run shows its effect.
        """
        if verb == "rollback" or force:
            self._refuse_latest(word)
        tag: list[str] = []
        before: RunView = decoded(self._http.ask("GET", self.run_path(word), tag=tag), RunView)
        after = (
            int(tag[0].strip('"').rpartition("-")[2]) if tag else None
        )  # so that its effects are shown from the first
        query = [("force", "true")] if force else []
        query += [("redo", step) for step in answers.redo] + [("skip", step) for step in answers.skip]
        query += [("forget", lane) for lane in answers.forget] + [("output", text) for text in answers.outputs]
        lost: list[str] = []
        try:
            self._http.ask("POST", self.run_path(before.run, verb), query, lost=lost)
        except (NotAllowed, RunHeld):
            if not lost or self.run(before.run).status not in HEARD[verb]:
                raise
        return WatchedProgress(self.follow(before.run, after), self.url if before.driven else "")

    def follow(self, word: str, after: int | None = None) -> Iterator[ProgressUpdate]:
        """As `Client.follow`. A stream that breaks is resumed at the same place.

        If that does not work at once, one update gives the reason.
        """
        last = "" if after is None else str(after)
        failures = 0
        view = partial(self.run, word)
        while True:
            silent = (
                SILENT_SIGNS - 2
            )  # the first sign of life says that the stream is there, the next that nothing is due
            try:
                for message in self._http.stream(self.run_path(word, "progress"), last):
                    failures = 0
                    last = message.number or last
                    silent = silent + 1 if message.kind == "" else 0
                    match message.kind:
                        case "problem":
                            raise refusal(self.url, 503, message.data)
                        case "event":
                            seq = decoded(message.data, _Numbered).seq
                            yield ProgressUpdate(view, (decoded(message.data, AnyEvent),), seq)
                            continue
                        case "snapshot" | "progress" | "end":
                            now: RunView = decoded(message.data, RunView)
                        case _ if silent >= SILENT_SIGNS:  # does anybody still drive it?
                            silent, now = 0, self.run(word)
                        case _:
                            if silent < SILENT_SIGNS - 1:
                                yield ProgressUpdate(view)
                            continue
                    view = partial(lambda seen: seen, now)
                    yield ProgressUpdate(view)
                    if message.kind == "end" or not (now.driven or now.status in RUN_ENDED):
                        return
                why = "the stream ended early"
            except (OSError, HTTPException, HttpAnswerLost) as error:
                why = reason(error)
            failures += 1
            if failures > TRIES:
                raise ServiceUnavailable(f"the connection to {self.url} was lost: {why}")
            if failures == 2:
                yield ProgressUpdate(view, lost=why)
            if failures > 1:
                time.sleep(http_transport.PAUSE_SECONDS)

    # -- HTTP ---------------------------------------------------------------------------------------------------

    def run_path(self, word: str, *rest: str) -> str:
        """The path of a run. The environment of a name that cannot stand in a path is asked for its newest run."""
        if not WORD.fullmatch(word):
            raise run_not_found(word)
        if word.lower() == LATEST:
            return "/".join((RUNS, LATEST, *rest))
        if "/" in word or word.lower() in RESERVED:
            try:
                word = self.environment(word).run
            except EnvironmentNotFound as error:
                near = error.hint if error.hint != EnvironmentNotFound.hint else None
                raise run_not_found(word, hint=near) from error
        return "/".join((RUNS, word, *rest))


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
