"""Checks: planned, looked at until they are well, failed with what was seen last, killed and resumed, rolled back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from tests.unit.engine.stage import Stage

from batchwright.commands.base import Launch
from batchwright.engine.rollback_preview import preview_rollback
from batchwright.model import events as ev
from batchwright.model.actions import Action, Undo
from batchwright.model.call_outcome import Applied, CheckResult, Rejected, Unknown
from batchwright.model.environment_fold import turn_changes
from batchwright.model.fault import Fault, FaultClass
from batchwright.model.lifecycle import RunState, StepState
from batchwright.model.plan import Plan
from batchwright.model.run import Run, changed_something
from batchwright.model.secret_reference import SecretReference
from batchwright.model.ssh_access import SshAccess
from batchwright.model.workflow import Workflow
from batchwright.operations.check import CheckRequest, HttpCheck, TcpCheck, own_addresses
from batchwright.operations.command import CommandRequest
from batchwright.operations.registry import dec_hook
from batchwright.plan import build
from batchwright.probes.base import ProbeContext
from batchwright.testing.plans import check, empty_world, plan_of, servers, workflow
from batchwright.testing.virtual_clock import run_virtual
from batchwright.views.definition import definition
from batchwright.views.plan import plan_view
from batchwright.views.planned_changes import is_unchanged

UP = servers("up", "web-01", "web-02")
WEB = check("web", http=HttpCheck("http://web-01:8080/health", contains="fine"), every=1.0, timeout=10.0, times=2)
PORT = check("port", tcp=TcpCheck("db-01", 5432), every=2.0, timeout=5.0)
WELL, ILL = CheckResult("tcp", True, "accepts connections"), CheckResult("tcp", False, "connection refused")


class Looks:
    """A prober that sees these one after the other, then the last one again. `contexts` are those of the looks."""

    def __init__(self, *seen: CheckResult | Rejected | Exception) -> None:
        self.seen = list(seen)
        self.contexts: list[ProbeContext] = []

    async def probe(self, request: CheckRequest, context: ProbeContext) -> CheckResult | Rejected:
        self.contexts.append(context)
        seen = self.seen.pop(0) if len(self.seen) > 1 else self.seen[0]
        if isinstance(seen, Exception):
            raise seen
        return seen


class Programs:
    """A launcher whose programs end so, one after the other."""

    def __init__(self, *ends: Applied | Rejected | Unknown) -> None:
        self.ends = list(ends)
        self.launches: list[tuple[CommandRequest, Launch]] = []

    async def launch(self, request: CommandRequest, launch: Launch) -> Applied | Rejected | Unknown:
        self.launches.append((request, launch))
        return self.ends.pop(0) if len(self.ends) > 1 else self.ends[0]


class CheckStage(Stage):
    """A stage whose checks see what the test says. `client`: who submitted the workflow was one."""

    def __init__(self, plan: Plan, looks: Looks, programs: Programs | None = None, *, client: bool = False) -> None:
        super().__init__(plan=plan)
        self.looks, self.programs, self.client = looks, programs, client

    async def driver(self) -> Any:
        driver = await super().driver()
        context = driver._performer._context
        context.prober = self.looks
        if self.programs is not None:
            context.launchers[""] = self.programs
        driver.run.created = replace(driver.run.created, client=self.client)
        return driver


def drive(stage: Callable[[], CheckStage]) -> tuple[Run, CheckStage, float]:
    """Drive to the end; gives the run, and the seconds that it took."""

    async def play() -> tuple[Run, CheckStage, float]:
        made = stage()
        began = made.clock.monotonic()
        run = await made.drive()
        return run, made, made.clock.monotonic() - began

    return run_virtual(play())


def looked(looks: Looks, *operations: Any, **rest: Any) -> tuple[Run, CheckStage, float]:
    return drive(lambda: CheckStage(plan_of(workflow(*operations), {}), looks, **rest))


def failure(run: Run, step: str) -> Fault:
    fault = run.record(step).fault
    assert fault is not None
    return fault


def test_it_is_a_step_of_this_machine_that_nothing_undoes() -> None:
    [step] = plan_of(workflow(WEB), {}).steps
    assert (step.id, step.action, step.undo, step.server, step.provider) == (
        "web/check",
        Action.CHECK,
        Undo.NOTHING,
        "",
        "",
    )
    assert step.request == CheckRequest("web", WEB.http, every=1.0, times=2)


def test_a_program_is_looked_at_on_each_target() -> None:
    plan = plan_of(workflow(UP, check("disk", run=("df", "/"), targets=("up",), after=["up"])), {})
    steps = [step for step in plan.steps if step.action is Action.CHECK]
    assert [(one.id, one.server) for one in steps] == [("disk/web-01", "up/web-01"), ("disk/web-02", "up/web-02")]
    assert steps[0].request.program.run == ("df", "/")  # type: ignore[attr-defined]


def test_the_plan_says_what_is_looked_at_and_that_nothing_changes() -> None:
    view = plan_view(plan_of(workflow(WEB, PORT, check("all", run=("true",))), {}))
    assert [(one.does, one.undoes) for one in view.steps] == [
        (
            'look at http://web-01:8080/health until it is well (answers 200, with "fine", 2 times in a row)',
            "nothing: a check changes nothing",
        ),
        ("look at db-01:5432 until it is well (accepts a connection)", "nothing: a check changes nothing"),
        ("look at true until it is well (exit code 0)", "nothing: a check changes nothing"),
    ]
    assert is_unchanged(view.difference)
    assert [line.what for line in view.lines][1] == "db-01:5432 on this machine"


def test_it_is_read_back_and_written_as_a_file_has_it() -> None:
    headers: dict[str, str | SecretReference] = {"Accept": "text/plain", "Authorization": SecretReference(env="TOKEN")}
    flow = workflow(
        replace(WEB, http=HttpCheck("https://a.example/", headers=headers)),
        check("p", run=("true",), env={"A": "b"}, timeout=7.0),
    )
    assert msgspec.json.decode(msgspec.json.encode(flow), type=Workflow, dec_hook=dec_hook) == flow
    plan = plan_of(flow, {})
    assert msgspec.json.decode(msgspec.json.encode(plan), type=Plan, dec_hook=dec_hook) == plan
    web, program = definition(flow)["operations"]
    assert not {"retry", "timeout", "run", "env"} & web.keys()
    assert (program["run"], program["env"], program["within"]) == (["true"], {"A": "b"}, 7.0)


@pytest.mark.parametrize(
    ("http", "code", "field"),
    [
        (HttpCheck("http://2130706433/"), "check-url", "http.url"),
        (HttpCheck("http://a.example:99999/"), "check-url", "http.url"),
        (HttpCheck("http://a.example/", headers={"cookie": "x=y"}), "check-secret-in-clear", "http.headers.cookie"),
        (HttpCheck("http://a.example/", headers={"X-Api-Key": "x"}), "check-secret-in-clear", "http.headers.X-Api-Key"),
    ],
)  # fmt: skip
def test_what_is_refused_with_its_place(http: HttpCheck, code: str, field: str) -> None:
    flow = workflow(check("web", http=http))
    [found] = build(flow, {}, empty_world(flow)).diagnostics
    assert (found.code, found.where, found.field, bool(found.hint)) == (code, "web", field, True)


def test_a_host_that_is_known_only_in_the_run_is_not_judged_before() -> None:
    http = HttpCheck("http://${servers.a.address}:80/")
    assert plan_of(workflow(servers("up", "a"), check("web", http=http, after=["up"])), {})


def test_it_looks_until_it_was_well_so_many_times_in_a_row() -> None:
    looks = Looks(ILL, WELL, ILL, WELL, WELL)
    run, _, seconds = looked(looks, WEB)
    assert run.status is RunState.COMPLETED
    assert (len(looks.contexts), seconds) == (5, 4.0)
    assert looks.contexts[0] == ProbeContext("web/check", run.token(0), 10.0, False, frozenset())


def test_what_is_seen_is_told_once_while_it_stays_the_same() -> None:
    async def play() -> list[str]:
        stage = CheckStage(plan_of(workflow(WEB), {}), Looks(ILL, ILL, ILL, WELL, WELL))
        await stage.drive()
        return [line for event in await stage.events(ev.StepOutput) for line in event.lines]

    assert run_virtual(play()) == ["connection refused", "accepts connections"]


def test_a_failure_says_what_was_seen_last_and_is_not_tried_again() -> None:
    looks = Looks(CheckResult("tcp", False, "no answer"), ILL)
    run, _, seconds = looked(looks, PORT, servers("next", "a", after=["port"]))
    assert (run.status, run.record("next/a").state) == (RunState.FAILED, StepState.SKIPPED)
    told = failure(run, "port/check")
    assert told.kind is FaultClass.TIMEOUT
    assert told.message == "db-01:5432 was not well within 5 s; seen last: connection refused"
    assert (run.record("port/check").attempt, len(looks.contexts), seconds) == (1, 4, 5.0)


def test_a_look_without_an_answer_is_one_that_was_not_well() -> None:
    run, _, _ = looked(Looks(RuntimeError("broken"), WELL), PORT)
    assert run.status is RunState.COMPLETED


def test_what_looking_again_cannot_mend_fails_at_once() -> None:
    looks = Looks(Rejected(Fault(FaultClass.INVALID, "a workflow of a client may not look at it")))
    run, _, seconds = looked(looks, PORT)
    assert failure(run, "port/check").message == "a workflow of a client may not look at it"
    assert (len(looks.contexts), seconds) == (1, 0.0)


def test_a_program_is_run_until_it_ends_well() -> None:
    ill = Rejected(Fault(FaultClass.EXIT, "df exited with code 1: full"))
    programs = Programs(ill, Unknown("df did not end within 9 s"), Applied())
    operation = check("disk", run=("df", "/"), env={"LANG": "C"}, every=2.0, timeout=9.0)
    run, _, _ = looked(Looks(WELL), operation, programs=programs)
    assert run.status is RunState.COMPLETED
    assert [launch.seconds for _, launch in programs.launches] == [9.0, 7.0, 5.0]
    assert [launch.again for _, launch in programs.launches] == [False, True, True]
    assert programs.launches[0][0].env == {"LANG": "C"}


def test_a_program_that_never_ends_well() -> None:
    programs = Programs(Rejected(Fault(FaultClass.EXIT, "df exited with code 1: full")))
    run, _, _ = looked(Looks(WELL), check("disk", run=("df",), every=2.0, timeout=5.0), programs=programs)
    assert failure(run, "disk/check").message == "df was not well within 5 s; seen last: df exited with code 1: full"


@pytest.mark.parametrize("client", [True, False])
def test_for_a_client_only_checked_addresses_and_the_runs_own_servers(client: bool) -> None:
    looks = Looks(WELL)
    plan = plan_of(workflow(servers("up", "a"), check("port", tcp=PORT.tcp, after=["up"])), {})
    run, _, _ = drive(lambda: CheckStage(plan, looks, client=client))
    [context] = looks.contexts
    assert context.restricted is client
    assert context.servers == ({run.record("up/a").address} if client else frozenset())


def test_a_server_whose_address_the_file_gives_is_not_the_runs_own() -> None:
    run, _, _ = looked(Looks(WELL), servers("up", "a"), PORT)
    assert own_addresses(run) == {run.record("up/a").address}
    given = replace(run.plan.steps[0].request, access=SshAccess(run.record("up/a").address))  # type: ignore[type-var]
    run.plan = replace(run.plan, steps=(replace(run.plan.steps[0], request=given), *run.plan.steps[1:]))
    assert own_addresses(run) == set()


def test_a_run_of_checks_alone_changed_nothing() -> None:
    run, _, _ = looked(Looks(WELL), PORT)
    assert not changed_something(run, 0)
    changes = turn_changes({}, run, run.turn)
    assert (changes.resources, changes.contributed) == ({}, False)


def test_killed_in_the_midst_it_looks_again_with_all_of_its_time() -> None:
    async def play() -> tuple[Run, CheckStage]:
        looks = Looks(ILL)
        stage = CheckStage(plan_of(workflow(PORT), {}), looks)
        driver = await stage.driver()
        driving = asyncio.ensure_future(driver.drive(None))
        await stage.clock.sleep(4.5)
        driving.cancel()
        await asyncio.gather(driving, return_exceptions=True)
        await stage.journal.release(driver._lease)
        looks.seen = [ILL, ILL, WELL]
        return await stage.drive(), stage

    run, stage = run_virtual(play())
    assert run.status is RunState.COMPLETED
    assert [context.seconds for context in stage.looks.contexts] == [5.0, 3.0, 1.0, 5.0, 3.0, 1.0]
    assert run.record("port/check").attempt == 1


def test_a_rollback_passes_it_by() -> None:
    async def play() -> tuple[Run, list[str]]:
        stage = CheckStage(
            plan_of(workflow(servers("up", "a"), check("port", tcp=PORT.tcp, after=["up"])), {}), Looks(WELL)
        )
        run = await stage.drive()
        preview = [line.step for line in preview_rollback(run)]
        return await stage.drive(lambda machine, now: machine.rollback(now, "user")), preview

    run, preview = run_virtual(play())
    assert preview == ["up/a"]
    assert run.status is RunState.ROLLED_BACK
    assert [run.record(step).state for step in ("up/a", "port/check")] == [StepState.UNDONE, StepState.SUCCEEDED]


def test_a_check_that_waits_keeps_no_other_from_looking() -> None:
    async def play() -> list[int]:
        stage, busy = CheckStage(plan_of(workflow(PORT), {}), Looks(ILL)), []

        async def look(_: object) -> None:
            lane = stage.limits.lanes["checks"]
            for _second in range(4):
                await stage.clock.sleep(1.0)
                busy.append(lane.in_flight)

        await stage.drive(meanwhile=look)
        return busy

    assert run_virtual(play()) == [0, 0, 0, 0]
