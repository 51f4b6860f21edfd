"""Rollbacks and closing sweeps on a simulated world."""

from __future__ import annotations

import asyncio

from batchwright.engine.loop import Driver
from batchwright.engine.rollback_preview import preview_rollback
from batchwright.model import events as ev
from batchwright.model.actions import Undo
from batchwright.model.lifecycle import RunState
from batchwright.model.workflow import OnFailure
from batchwright.testing.virtual_clock import run_virtual
from tests.unit.engine.stage import Part, Stage, installs, keeps, servers, states, undo


def both() -> list[Part]:
    up, aws = servers("up", "a", "b"), servers("aws", "c", provider="aws", after=["up"])
    return [up, aws, installs("svc", up, "containerd", "redis", after=["up", "aws"])]


def test_a_completed_run_is_torn_down_exactly_as_the_preview_said() -> None:
    async def play() -> None:
        stage = Stage(*both())
        run = await stage.drive()
        assert (run.status, len(stage.world.installed())) == (RunState.COMPLETED, 2)
        preview, seq = preview_rollback(run), run.seq
        assert not stage.asked("destroy"), "a preview changes nothing"
        run = await stage.drive(undo)
        assert (run.status, set(states(run).values())) == (RunState.ROLLED_BACK, {"undone"})
        later = (await stage.history())[seq:]
        undone = [event.step for event in later if isinstance(event, ev.StepUndone)]
        assert sorted(undone) == sorted(line.step for line in preview)
        gone = [line.ref for line in preview if line.what == "destroy"]
        assert stage.asked("destroy")[0].about == gone[0] == "aws-000003"
        assert not stage.asked("remove"), "what is on a server goes with it"
        assert not await stage.names()

    run_virtual(play())


def test_a_rollback_goes_back_in_reverse() -> None:
    async def play() -> None:
        parts = servers("one", "a"), servers("two", "b", after=["one"]), servers("three", "c", after=["~two"])
        stage = Stage(*parts, settings={"destroy_seconds": 3.0})
        await stage.drive()
        run = await stage.drive(undo)
        begun = {event.step: event.at for event in await stage.events(ev.UndoStarted)}
        ended = {event.step: event.at for event in await stage.events(ev.StepUndone)}
        assert ended["three/c"] <= begun["two/b"] < ended["two/b"] <= begun["one/a"]
        assert run.status is RunState.ROLLED_BACK

    run_virtual(play())


def test_services_that_ask_for_it_are_removed_before_their_server() -> None:
    async def play() -> None:
        up = servers("up", "a")
        stage = Stage(up, installs("svc", up, "containerd", "redis", after=["up"], undo=Undo.REMOVE))
        await stage.drive()
        assert (await stage.drive(undo)).status is RunState.ROLLED_BACK
        back = [(call.method, call.about) for call in stage.calls if call.method in ("remove", "destroy")]
        assert [about for _, about in back[:2]] == ["redis@a", "containerd@a"]
        assert {method for method, _ in back[2:]} == {"destroy"}

    run_virtual(play())


def test_kept_servers_and_what_was_on_them_stay() -> None:
    async def play() -> None:
        kept = keeps("up", {"a": "kept-1"})
        stage = Stage(
            kept, installs("svc", kept, "containerd", "redis", after=["up"], undo=Undo.REMOVE), servers("new", "b")
        )
        stage.plant("kept-1", "a", run="an-earlier-run")
        stage.world.install("kept-1", "containerd", "1")
        run = await stage.drive()
        assert run.status is RunState.COMPLETED
        stays = [line.step for line in preview_rollback(run) if line.what == "stays"]
        assert stays == ["up/a", "svc/a/containerd"]
        run = await stage.drive(undo)
        assert run.status is RunState.ROLLED_BACK
        assert states(run) == {
            "up/a": "succeeded", "svc/a/containerd": "succeeded", "svc/a/redis": "undone", "new/b": "undone",
        }  # fmt: skip
        assert await stage.names() == {"a": 1}
        assert list(stage.world.installed_on("kept-1")) == ["containerd"]

    run_virtual(play())


def test_residue_is_named_and_a_second_rollback_completes() -> None:
    async def play() -> None:
        stage = Stage(servers("up", "a", "b"), settings={"fail_destroy": "a=permanent:1"})
        await stage.drive()
        run = await stage.drive(undo)
        assert run.status is RunState.ROLLBACK_INCOMPLETE
        assert len(run.residue) == 1
        assert run.residue[0].startswith("up/a: server upcloud-000001 on upcloud: simulated")
        assert await stage.names() == {"a": 1}
        assert [line.step for line in preview_rollback(run)] == ["up/a"]
        run = await stage.drive(undo)
        assert (run.status, run.residue) == (RunState.ROLLED_BACK, ())
        assert not await stage.names()

    run_virtual(play())


def test_a_rollback_that_was_killed_goes_on() -> None:
    async def play() -> None:
        stage = Stage(*both(), settings={"destroy_seconds": 2.0, "list_lag": 20.0})
        await stage.drive()
        dying = await stage.driver()
        driving = asyncio.ensure_future(dying.drive(undo))
        await stage.clock.sleep(1.0)
        driving.cancel()
        await asyncio.wait([driving])
        await stage.journal.release(dying._lease)
        began = stage.clock.now()
        assert (await stage.drive()).status is RunState.ROLLED_BACK
        assert stage.clock.now() - began < 20.0, "no create is in doubt, so nobody waits for one"
        assert not await stage.names()

    run_virtual(play())


def test_a_server_that_lost_its_label_is_residue_and_untouched() -> None:
    async def play() -> None:
        stage = Stage(servers("up", "a", "b"))
        run = await stage.drive()
        server = stage.world.server(run.record("up/a").ref)
        assert server is not None
        server.run = "somebody-else"
        run = await stage.drive(undo)
        assert run.status is RunState.ROLLBACK_INCOMPLETE
        assert "does not carry the labels of the run" in run.residue[0]
        assert await stage.names() == {"a": 1}

    run_virtual(play())


def test_the_closing_sweep_removes_a_duplicate_and_leaves_what_is_another_runs() -> None:
    async def play() -> None:
        stage = Stage(servers("up", "a"), settings={"boot_seconds": 5.0})

        async def meanwhile(driver: Driver) -> None:
            await stage.clock.sleep(2.0)
            stage.plant("twin", "a", token=driver.run.token(0))
            stage.plant("foreign", "f", run="another", token=driver.run.token(0))
            stage.plant("stranger", "s", run="")

        run = await stage.drive(meanwhile=meanwhile)
        assert (run.status, run.strays_found) == (RunState.COMPLETED, 1)
        assert await stage.names() == {"a": 1, "f": 1, "s": 1}
        left = {server.ref for server in stage.world.servers()}
        assert left == {run.records[0].ref, "foreign", "stranger"}

    run_virtual(play())


def test_a_rollback_sweeps_too() -> None:
    async def play() -> None:
        stage = Stage(servers("up", "a"))
        run = await stage.drive()
        stage.plant("twin", "a", token=run.token(0))
        stage.plant("foreign", "f", run="another")
        run = await stage.drive(undo)
        assert (run.status, run.strays_found) == (RunState.ROLLED_BACK, 1)
        assert await stage.names() == {"f": 1}

    run_virtual(play())


def test_an_automatic_rollback_undoes_what_the_run_made() -> None:
    async def play() -> None:
        parts = servers("up", "a", "b"), servers("bad", "c", after=["up"], on_failure=OnFailure.ROLLBACK)
        stage = Stage(*parts, settings={"fail": "c"})
        run = await stage.drive()
        assert (run.status, run.rolled_back_by) == (RunState.ROLLED_BACK, "on_failure")
        assert states(run) == {"up/a": "undone", "up/b": "undone", "bad/c": "failed"}
        assert not await stage.names()

    run_virtual(play())


def test_throttles_on_the_way_back_are_borne() -> None:
    async def play() -> None:
        stage = Stage(servers("up", *[f"s{i}" for i in range(20)]), settings={"rate": 3.0, "burst": 3})
        await stage.drive()
        run = await stage.drive(undo)
        assert (run.status, run.residue) == (RunState.ROLLED_BACK, ())

    run_virtual(play())
