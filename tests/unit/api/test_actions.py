"""Pause, resume, cancel, rollback: through the driver of this process, another one's, or by driving."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from batchwright.app.multi_store import Stores
from batchwright.app.settings import Settings
from batchwright.app.system_clock import SystemClock
from tests.support.service_in_loop import RUNS, Serving, serving, workflow

SLOW = {"boot_seconds": "0.3", "spread": "0"}


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"] for event in events]


async def act(service: Serving, run: str, verb: str, **how: Any) -> Any:
    return await service.post(f"{RUNS}/{run}/{verb}", **how)


def test_pause_resume_cancel_and_rollback(tmp_path: Path) -> None:
    async def main() -> list[Any]:
        async with serving(tmp_path) as service:
            run = (await service.submit(workflow(count=6, parallel_limit=2), **SLOW)).json["run"]
            await service.until(run, "Running")
            seen = [await act(service, run, "pause")]
            seen.append(await act(service, run, "pause"))
            seen.append(await act(service, run, "resume"))
            seen.append(await act(service, run, "cancel"))
            await service.until(run, "Cancelled")
            seen.append(await service.get(f"{RUNS}/{run}/rollback"))
            seen.append(await act(service, run, "rollback"))
            await service.until(run, "RolledBack")
            seen.append(await act(service, run, "rollback"))
            return seen

    paused, again, resumed, _, preview, back, gone = asyncio.run(main())
    assert (paused.status, paused.json["status"]) == (202, "Paused")
    assert (again.status, again.json["code"]) == (409, "not-allowed")
    assert resumed.json["status"] == "Running"
    assert all(one["what"] == "destroy" for one in preview.json["undo"])
    assert back.json["status"] in ("RollingBack", "RolledBack")
    assert (gone.status, gone.json["code"]) == (409, "not-allowed")


def test_actions_at_the_same_time_never_start_two_drivers(tmp_path: Path) -> None:
    async def main() -> tuple[list[Any], list[dict[str, Any]]]:
        async with serving(tmp_path) as service:
            run = (await service.submit(workflow(count=4))).json["run"]
            await service.until(run, "Completed")
            answers = await asyncio.gather(*(act(service, run, "rollback") for _ in range(8)))
            await service.until(run, "RolledBack")
            return answers, await service.events(run)

    answers, events = asyncio.run(main())
    assert sorted(one.status for one in answers) == [202] + [409] * 7
    assert kinds(events).count("rollback_started") == 1
    assert kinds(events).count("driver_started") == 2


def test_an_action_on_a_state_that_has_passed_is_refused(tmp_path: Path) -> None:
    async def main() -> list[Any]:
        async with serving(tmp_path) as service:
            first = await service.submit(workflow())
            run = first.json["run"]
            await service.until(run, "Completed")
            now = await service.get(f"{RUNS}/{run}")
            return [
                await act(service, run, "rollback", headers={"If-Match": first.headers["etag"]}),
                await act(service, run, "rollback", headers={"If-Match": now.headers["etag"]}),
            ]

    stale, fresh = asyncio.run(main())
    assert (stale.status, stale.json["code"]) == (412, "run-changed")
    assert fresh.status == 202


def test_what_another_process_drives_is_asked_through_the_store(tmp_path: Path) -> None:
    async def main() -> tuple[list[Any], list[Any]]:
        settings, clock = Settings(tmp_path), SystemClock()
        async with serving(tmp_path) as service:
            run = (await service.submit(workflow(count=50, parallel_limit=1), **SLOW)).json["run"]
            await service.until(run, "Running")
        async with Stores(settings) as stores:
            journal = await stores.get("filesystem")
            await journal.acquire(run, "elsewhere:1:1", clock.now(), 3600.0)
            async with serving(tmp_path) as service:
                seen = [await act(service, run, verb) for verb in ("pause", "rollback")]
                seen.append(await service.get(f"{RUNS}/{run}"))
            return seen, await journal.signals(run)

    (paused, back, view), signals = asyncio.run(main())
    assert paused.status == 202
    assert back.status == 409
    assert (view.json["driven"], view.json["status"]) == (True, "Running")
    assert [signal.kind for _, signal in signals] == ["pause"]


def test_an_unknown_run_and_an_unknown_path(tmp_path: Path) -> None:
    async def main() -> list[Any]:
        async with serving(tmp_path) as service:
            paths = [f"{RUNS}/zzzz", f"{RUNS}/latest", "/nowhere"]
            return [(await service.get(path)) for path in paths] + [await service.ask("PUT", RUNS)]

    found = [(one.status, one.json["code"]) for one in asyncio.run(main())]
    assert found == [
        (404, "run-not-found"),
        (404, "run-not-found"),
        (404, "no-such-resource"),
        (405, "method-not-allowed"),
    ]


def test_what_is_refused_changes_nothing_of_the_services_health(tmp_path: Path) -> None:
    """D10: whatever is refused, in whatever state, leaves no trouble, no signal and no event."""
    asked = [
        *("resume?redo=bogus", "resume?skip=bogus", "resume?redo=op/s-000&skip=op/s-000", "resume?skip=op/s-000"),
        *("resume?forget=upcloud", "resume?forget=upcloud&redo=bogus", "resume?output=a=b"),
        *("resume", "pause", "cancel", "cancel?force=true", "rollback"),
    ]

    async def main() -> list[tuple[str, str, int, Any]]:
        seen: list[tuple[str, str, int, Any]] = []
        async with serving(tmp_path) as service:
            done = (await service.submit(workflow("done", 1))).json["run"]
            gone = (await service.submit(workflow("gone", 1))).json["run"]
            none = (await service.submit(workflow("none", 1), fail="*=invalid")).json["run"]
            for run, state in ((done, "Completed"), (gone, "Completed"), (none, "Failed")):
                await service.until(run, state)
            await act(service, gone, "rollback")
            await service.until(gone, "RolledBack")
            journal = await service.supervisor.stores.get("filesystem")
            for run, leave in ((done, ("rollback",)), (gone, ()), (none, ("resume",))):
                before = len(await service.events(run))
                for verb in asked:
                    if verb not in leave:
                        answer = await act(service, run, verb)
                        seen.append((run, verb, answer.status, answer.json))
                assert len(await service.events(run)) == before
                assert await journal.signals(run) == []
            await service.supervisor._adopt()
            health = (await service.get("/health")).json
            assert (health["status"], service.supervisor.troubles) == ("ok", {})
            assert service.supervisor.driven == service.supervisor.undriven == {}
        return seen

    for run, verb, status, body in asyncio.run(main()):
        assert 400 <= status < 500, (run, verb, body)
