"""The runs and servers of a service: the same views that client/local.py makes from the stores, decoded from answers.

It uses the standard library's HTTP client, because a larger one would take longer to load than a quick command runs. No
proxy is used and no redirect is followed: the token goes only to the named address.
"""

from __future__ import annotations

import ssl
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from socket import gaierror
from types import TracebackType
from typing import Any, TypeVar, cast
from urllib.parse import urlencode, urlsplit

import msgspec
from msgspec import Struct

from batchwright.app.live_servers import FoundServers
from batchwright.app.orphan_sweep import GcResult
from batchwright.app.server_destroy import ServerDestroyResult
from batchwright.client import local_socket
from batchwright.client.base import RunRow, Verb
from batchwright.client.http_problems import GATEWAY, bounded, decoded, problem_in, reason, refusal
from batchwright.client.progress import Progress, WatchedProgress
from batchwright.client.sse import ServerSentEvent, server_sent_events
from batchwright.engine.rollback_preview import PlannedUndo
from batchwright.errors import EnvironmentNotFound, NotAllowed, RunHeld, ServiceUnavailable, UsageError
from batchwright.model.environment import REAL, SIMULATED, EnvironmentKey
from batchwright.model.environment_names import LATEST, WORD, environment_not_found, refuse_latest, run_not_found
from batchwright.model.events import AnyEvent, RunCreated
from batchwright.model.lifecycle import RUN_ENDED, RunState
from batchwright.model.run import Run
from batchwright.model.scalar import SimulationSettings
from batchwright.redaction import masked
from batchwright.views.environment import EnvironmentLine, EnvironmentView
from batchwright.views.explain import Explanation
from batchwright.views.run import RunView
from batchwright.views.run_stats import Stats
from batchwright.views.steps import StepLine, step_lines
from batchwright.views.taskserv_status import TaskservStatuses
from batchwright.views.update import Update

RUNS = "/v1/workflows/batch"
ENVIRONMENTS = "/v1/environments"
RESERVED = frozenset({"submit", "validate", "plan", "stats"})  # what comes after RUNS and is no run
ANSWER_SECONDS = 60.0  # for one answer; a workflow is planned within it
CHECK_SECONDS = 600.0  # for an answer that all servers of a run are asked for
SILENCE_SECONDS = 15.0  # of a stream, which says something every two, until the connection counts as lost
TRIES = 120  # connections in a row that may fail before a stream is given up
PAUSE_SECONDS = 1.0  # between two of them
ANSWER_TRIES = 30  # for an answer after a lost one: the request may have been carried out
SIMULATE = [("simulate", "true")]
SILENT_SIGNS = 4  # of life without a word, until it is asked whether anybody still drives the run
PAGE = 500  # runs or events asked for at a time

HEARD = {  # the state of a run that carried out each request
    "pause": frozenset({RunState.PAUSED}),
    "resume": frozenset({RunState.RUNNING, RunState.ROLLING_BACK}),
    "cancel": frozenset({RunState.CANCELLED}),
    "rollback": frozenset({RunState.ROLLING_BACK, RunState.ROLLED_BACK, RunState.ROLLBACK_INCOMPLETE}),
}

T = TypeVar("T")
Query = Sequence[tuple[str, str]]


class ServiceHealthView(Struct, frozen=True):
    """What a client needs to know of `/health`. `state` tells which state folder it serves."""

    state: str = ""


class _Rows(Struct, frozen=True):
    items: tuple[RunRow, ...]
    next_cursor: str | None = None


class _Environments(Struct, frozen=True):
    items: tuple[EnvironmentLine, ...]


class _Events(Struct, frozen=True):
    items: list[msgspec.Raw]
    next_after: int | None = None


class _Numbered(Struct, frozen=True):
    seq: int


class _Undo(Struct, frozen=True):
    undo: tuple[PlannedUndo, ...]


class _Lost(Exception):
    """The answer was lost on the way: it is not known whether the service received the request."""


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
    ) -> None:
        self._socket = socket
        try:
            parts = urlsplit(url.rstrip("/"))
            self._place = (parts.hostname or "", parts.port)
        except ValueError:  # brackets, or a port that is none
            message = f"{masked(url)} is not the address of a service"
            raise UsageError(message, hint="Write it as http://HOST:PORT; ports go to 65535.") from None
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or "@" in parts.netloc:
            raise UsageError(f"{masked(url)} is not the address of a service", hint="Write it as http://HOST:PORT.")
        self.url = url.rstrip("/")
        self._secure = parts.scheme == "https"
        self._base = parts.path
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._seconds = seconds
        self._tries = tries

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

    # -- what can be asked --------------------------------------------------------------------------------------

    def health(self) -> ServiceHealthView:
        """Whether the service answers, and which state folder it serves."""
        return self._get("/health", ServiceHealthView)

    def submit(self, workflow: Mapping[str, Any], simulation: Mapping[str, Any] | None, wait: float = 0.0) -> RunView:
        """Start a run of an evaluated workflow; sent again after a broken connection, it starts no second run."""
        query = [("simulate", "true")] if simulation is not None else []
        query += [("sim", f"{key}={_plain(value)}") for key, value in (simulation or {}).items()]
        query += [("wait", f"{wait:g}")] if wait else []
        headers = {"Content-Type": "application/json"}
        body = msgspec.json.encode({"batch_workflow": workflow})
        return cast(
            RunView,
            decoded(self._ask("POST", f"{RUNS}/submit", query, headers, body, wait and self._seconds + wait), RunView),
        )

    def run(self, word: str, *, destroys: bool = False) -> RunView:
        if destroys and word.lower() == LATEST:
            spaces = {True: SIMULATED, False: REAL}
            refuse_latest({EnvironmentKey(spaces[line.simulated], line.name) for line in self.environments()})
        return self._get(self._path(word), RunView)

    def environments(self) -> tuple[EnvironmentLine, ...]:
        return self._get(ENVIRONMENTS, _Environments).items

    def environment(self, word: str) -> EnvironmentView:
        if not WORD.fullmatch(word):
            raise environment_not_found(word)
        space, _, name = word.rpartition(":")
        query = [("simulated", _plain(space == SIMULATED))] if space else []
        return self._get(f"{ENVIRONMENTS}/{name}", EnvironmentView, query)

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
            page = self._get(RUNS, _Rows, [*query, ("limit", str(size)), *after])
            rows += page.items
            cursor = page.next_cursor
            if not cursor:
                break
        return rows

    def stats(self, since: str | None) -> Stats:
        return self._get(f"{RUNS}/stats", Stats, [("since", since)] if since else [])

    def explain(self, word: str, step: str) -> Explanation:
        return self._get(self._path(word, "explain"), Explanation, [("step", step)])

    def events(self, word: str) -> Iterator[tuple[int, AnyEvent]]:
        after: int | None = 0
        while after is not None:
            page = self._get(self._path(word, "events"), _Events, [("after", str(after)), ("limit", str(PAGE))])
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

    def checks(self, word: str) -> TaskservStatuses:
        return self._done(self._path(word, "checks"), TaskservStatuses)

    def servers(self, provider: str, simulation: SimulationSettings | None) -> FoundServers:
        query = [("provider", provider)] * bool(provider) + SIMULATE * (simulation is not None)
        return self._done("/v1/servers/look", FoundServers, query)

    def destroy_server(self, ref: str, *, anyway: bool, simulation: SimulationSettings | None) -> ServerDestroyResult:
        query = [("ref", ref), *[("anyway", "true")] * anyway, *SIMULATE * (simulation is not None)]
        return self._done("/v1/servers/destroy", ServerDestroyResult, query)

    def sweep_orphans(self, word: str, *, remove: bool) -> GcResult:
        return self._done(self._path(word, "gc"), GcResult, [("remove", "true")] * remove)

    def rollback_preview(self, word: str) -> tuple[PlannedUndo, ...]:
        return self._get(self._path(word, "rollback"), _Undo).undo

    def act(
        self, word: str, verb: Verb, *, force: bool = False, redo: Sequence[str] = (), skip: Sequence[str] = ()
    ) -> Progress:
        """As `Client.act`. A request repeated after a lost answer may be refused if the first was carried out.

        In that case the run shows its effect.
        """
        tag: list[str] = []
        before: RunView = decoded(self._ask("GET", self._path(word), tag=tag), RunView)
        after = (
            int(tag[0].strip('"').rpartition("-")[2]) if tag else None
        )  # so that its effects are shown from the first
        query = [("force", "true")] if force else []
        query += [("redo", step) for step in redo] + [("skip", step) for step in skip]
        lost: list[str] = []
        try:
            self._ask("POST", self._path(before.run, verb), query, lost=lost)
        except (NotAllowed, RunHeld):
            if not lost or self.run(before.run).status not in HEARD[verb]:
                raise
        return WatchedProgress(self.follow(before.run, after), self.url if before.driven else "")

    def follow(self, word: str, after: int | None = None) -> Iterator[Update]:
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
                for message in self._stream(self._path(word, "progress"), last):
                    failures = 0
                    last = message.number or last
                    silent = silent + 1 if message.kind == "" else 0
                    match message.kind:
                        case "problem":
                            raise refusal(self.url, 503, message.data)
                        case "event":
                            seq = decoded(message.data, _Numbered).seq
                            yield Update(view, (decoded(message.data, AnyEvent),), seq)
                            continue
                        case "snapshot" | "progress" | "end":
                            now: RunView = decoded(message.data, RunView)
                        case _ if silent >= SILENT_SIGNS:  # does anybody still drive it?
                            silent, now = 0, self.run(word)
                        case _:
                            if silent < SILENT_SIGNS - 1:
                                yield Update(view)
                            continue
                    view = partial(lambda seen: seen, now)
                    yield Update(view)
                    if message.kind == "end" or not (now.driven or now.status in RUN_ENDED):
                        return
                why = "the stream ended early"
            except (OSError, HTTPException, _Lost) as error:
                why = reason(error)
            failures += 1
            if failures > TRIES:
                raise ServiceUnavailable(f"the connection to {self.url} was lost: {why}")
            if failures == 2:
                yield Update(view, lost=why)
            if failures > 1:
                time.sleep(PAUSE_SECONDS)

    # -- HTTP ---------------------------------------------------------------------------------------------------

    def _path(self, word: str, *rest: str) -> str:
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

    def _done(self, path: str, kind: type[T], query: Query = ()) -> T:
        return cast(T, decoded(self._ask("POST", path, query, seconds=CHECK_SECONDS), kind))

    def _get(self, path: str, kind: type[T], query: Query = (), seconds: float = 0.0) -> T:
        return cast(T, decoded(self._ask("GET", path, query, seconds=seconds), kind))

    def _ask(
        self,
        method: str,
        path: str,
        query: Query = (),
        headers: Mapping[str, str] = {},
        body: bytes = b"",
        seconds: float = 0.0,
        lost: list[str] | None = None,
        tag: list[str] | None = None,
    ) -> bytes:
        """The body of the answer. `lost` gets the reason of each lost answer, `tag` the ETag of the last.

        Every request may be sent again: a submission has an Idempotency-Key, and an action changes nothing more the
        second time. A lost answer leaves open whether the request was received, so it is sent again until there is an
        answer. Only a refused connection certainly carried no request.
        """
        lost = [] if lost is None else lost
        if method != "GET":
            headers = {"Idempotency-Key": str(uuid.uuid4()), **headers}
        while True:
            try:
                with self._open(method, path, query, headers, body, seconds or self._seconds) as response:
                    answer = bounded(response)
                    self._check_gateway(response, answer)
            except (OSError, HTTPException, _Lost) as error:
                why = reason(error)
                if not lost and isinstance(error, ConnectionRefusedError | ssl.SSLError | gaierror):
                    raise ServiceUnavailable(f"no service can be reached at {self.url}: {why}") from error
                self._give_up(method, [*lost, why], error)
                lost.append(why)
                time.sleep(PAUSE_SECONDS if len(lost) > 1 else 0.0)
                continue
            if response.status >= 300:
                raise refusal(self.url, response.status, answer)
            if tag is not None and (found := response.headers.get("ETag")):
                tag.append(found)
            return answer

    def _give_up(self, method: str, lost: Sequence[str], error: Exception) -> None:
        """Raise ServiceUnavailable if it was tried often enough; a silent service is asked only once for a look."""
        if len(lost) < self._tries and not (method == "GET" and isinstance(error, TimeoutError)):
            return
        if method == "GET":
            raise ServiceUnavailable(f"no service can be reached at {self.url}: {lost[-1]}") from error
        raise ServiceUnavailable(
            f"{self.url} did not answer {len(lost)} attempts; it may have carried out the request: {lost[-1]}",
            hint="Check before you try again: batchwright list",
        ) from error

    def _check_gateway(self, response: HTTPResponse, answer: bytes) -> None:
        """Raise _Lost if a proxy says that the service did not answer; the service's own refusals have a code."""
        if response.status in GATEWAY and problem_in(answer) is None:
            raise _Lost(f"a proxy answered {response.status} {response.reason}".rstrip())

    def _stream(self, path: str, last: str) -> Iterator[ServerSentEvent]:
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last} if last else {})
        with self._open("GET", path, (), headers, b"", SILENCE_SECONDS) as response:
            if response.status >= 300:
                answer = bounded(response)
                self._check_gateway(response, answer)
                raise refusal(self.url, response.status, answer)
            yield from server_sent_events(response)

    @contextmanager
    def _open(
        self, method: str, path: str, query: Query, headers: Mapping[str, str], body: bytes, seconds: float
    ) -> Iterator[HTTPResponse]:
        host, port = self._place
        connection: HTTPConnection
        if self._socket is not None:
            connection = local_socket.OverSocket(self._socket, seconds)
        else:
            connection = (HTTPSConnection if self._secure else HTTPConnection)(host, port, timeout=seconds)
        try:
            target = self._base + path + (f"?{urlencode(query)}" if query else "")
            connection.request(method, target, body or None, {**self._headers, **headers})
            yield connection.getresponse()
        finally:
            connection.close()


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
