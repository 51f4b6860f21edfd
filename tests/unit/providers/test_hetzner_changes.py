"""What Hetzner's records and actions say about a change in place."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from batchwright.emulators.hetzner.catalog import TYPES
from batchwright.model.call_outcome import Going, Observed, Rejected, ServerState, Unknown
from batchwright.model.fault import FaultClass
from batchwright.model.update_behavior import ChangeWay
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.hetzner.server_changes import HetznerChange, ways
from batchwright.providers.server_change import STOP_SECONDS

NOW = 1_900_000_000.0
SMALL, LARGE = ServerRequest("web", "cx23", "fsn1"), ServerRequest("web", "cx33", "fsn1")
KINDS = {row["name"]: row for row in TYPES}


def row(status: str, plan: str = "cx23") -> dict[str, Any]:
    return {"id": 7, "status": status, "server_type": {"name": plan}, "labels": {"batchwright-run": "r"}}


def action(command: str, status: str = "success", ago: float = 1.0, **error: str) -> dict[str, Any]:
    began = datetime.fromtimestamp(NOW - ago, UTC).isoformat()
    return {"id": int(NOW - ago), "command": command, "status": status, "started": began, "error": error or None}


def stepped(
    status: str, actions: list[dict[str, Any]], plan: str = "cx23"
) -> tuple[Going | Rejected | Unknown | None, list[str]]:
    sent: list[str] = []

    async def send(method: str, path: str, _body: object) -> Rejected | Unknown | None:
        sent.append(f"{method} {path.removeprefix('/servers/7')}")
        return None

    change = HetznerChange(send, NOW, row(status, plan), actions, LARGE, SMALL)
    return asyncio.run(change.step()), sent


@pytest.mark.parametrize(
    ("status", "actions", "sent"),
    [
        ("running", [], ["POST /actions/shutdown"]),
        ("running", [action("start_server")], ["POST /actions/shutdown"]),
        ("running", [action("start_server", "running")], []),
        ("running", [action("shutdown_server")], []),  # asked for, by whatever process, and not heeded yet
        ("running", [action("shutdown_server", ago=STOP_SECONDS + 1)], ["POST /actions/poweroff"]),
        (
            "running",  # the order of the list does not count
            [action("shutdown_server", ago=STOP_SECONDS + 9), action("start_server", ago=STOP_SECONDS)],
            ["POST /actions/shutdown"],
        ),
        ("stopping", [], []),
        ("migrating", [action("change_server_type", "running")], []),
        ("off", [action("change_server_type", "running")], []),
        ("off", [action("shutdown_server")], ["POST /actions/change_type", "POST /actions/poweron"]),
        ("off", [], ["POST /actions/change_type", "POST /actions/poweron"]),
    ],
)
def test_the_step_follows_from_the_status_and_the_last_action(
    status: str, actions: list[dict[str, Any]], sent: list[str]
) -> None:
    outcome, calls = stepped(status, actions)
    assert isinstance(outcome, Going)
    assert calls == sent


def test_a_type_that_failed_after_it_was_accepted_is_a_refusal_and_the_server_is_started() -> None:
    failed = action("change_server_type", "error", code="resource_unavailable", message="no room")
    outcome, sent = stepped("off", [failed, action("shutdown_server", ago=9)])
    assert isinstance(outcome, Rejected)
    assert (outcome.fault.kind, outcome.fault.message) == (FaultClass.CAPACITY, "Hetzner: no room")
    assert sent == ["POST /actions/poweron"]
    again, calls = stepped("off", [action("shutdown_server"), failed | {"id": 1}])
    assert isinstance(again, Going)
    assert calls == ["POST /actions/change_type", "POST /actions/poweron"]


def test_a_server_with_its_type_is_left_alone_and_a_stopped_one_started() -> None:
    assert stepped("running", [action("start_server")], "cx33") == (None, [])
    outcome, sent = stepped("off", [action("change_server_type")], "cx33")
    assert isinstance(outcome, Going)
    assert sent == ["POST /actions/poweron"]


@pytest.mark.parametrize(
    ("plan", "disk", "wanted", "way", "note"),
    [
        ("cx23", 40, "cx33", ChangeWay.STOPPED, "its disk keeps its 40 GB: a new cx33 has 80 GB"),
        ("cx33", 40, "cx23", ChangeWay.STOPPED, ""),  # it was a cx23 before
        ("cx33", 80, "cx23", ChangeWay.REPLACE, "the disk of cx23 (40 GB) is smaller than its own (80 GB)"),
        ("cx33", 0, "cx23", ChangeWay.REPLACE, "the disk of cx23 (40 GB) is smaller than its own (80 GB)"),
        ("cx23", 40, "cax11", ChangeWay.REPLACE, "cax11 has another processor architecture (arm) than cx23"),
        ("cx11", 20, "cx23", ChangeWay.STOPPED, "its disk keeps its 20 GB: a new cx23 has 40 GB"),  # no longer sold
    ],
)
def test_a_type_that_does_not_fit_needs_a_new_server(
    plan: str, disk: int, wanted: str, way: ChangeWay, note: str
) -> None:
    seen = Observed("7", ServerState.READY, plan=plan, disk_gb=disk)
    found = ways(seen, ServerRequest("web", wanted, "fsn1"), KINDS)
    assert (found["plan"].way, found["plan"].note, found["labels"].way) == (way, note, ChangeWay.LIVE)
