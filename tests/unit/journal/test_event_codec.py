"""Events come back as they went; old journals are raised, newer and damaged ones are refused clearly."""

from typing import Any

import msgspec
import pytest

from batchwright.errors import EventUnreadable
from batchwright.journal import event_codec
from batchwright.model.actions import Action, Undo
from batchwright.model.events import AnyEvent, RunCreated, RunStarted, StepFailed, StepStarted, StepSucceeded
from batchwright.model.fault import Fault, FaultClass
from batchwright.model.plan import Plan, Step
from batchwright.model.ssh_access import SshAccess
from batchwright.operations.server_batch import ServerRequest

EVENTS: list[AnyEvent] = [
    RunStarted(1.5),
    StepStarted(2.25, "web/a", 1, "token"),
    StepFailed(
        1_700_000_000.123456, "web/\u00fc\n", 2, Fault(FaultClass.QUOTA, "no more", retry_after=0.5), doubt=True
    ),
]


@pytest.fixture
def second_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """In version 1, what is now the step's `step` was called `name`."""

    def renamed(raw: dict[str, Any]) -> dict[str, Any]:
        return {**{key: value for key, value in raw.items() if key != "name"}, "step": raw["name"]}

    monkeypatch.setattr(event_codec, "VERSION", 2)
    monkeypatch.setattr(event_codec, "UPCASTERS", {("step_started", 1): renamed})


def test_one_event_comes_back() -> None:
    for event in EVENTS:
        assert event_codec.decode(event_codec.encode(event)) == event


def test_a_page_of_events_comes_back_in_order() -> None:
    assert event_codec.decode_page(event_codec.encode_page(EVENTS)) == EVENTS
    assert event_codec.decode_page(event_codec.encode_page([])) == []


OLD = b'{"type":"step_started","at":1.0,"name":"web/a","attempt":1,"token":"t"}'
RAISED = StepStarted(1.0, "web/a", 1, "t")


def test_a_plan_of_version_1_has_the_access_of_its_servers_in_a_text() -> None:
    access = SshAccess("10.0.0.5", "admin", jump=SshAccess("10.0.0.1"))
    request, other = ServerRequest("web", "", "", access=access), ServerRequest("db", "s", "z", resolved={"id": "7"})
    steps = tuple(Step(f"up/{one.name}", "up", "static", Action.CREATE, Undo.RELEASE, one) for one in (request, other))
    event = RunCreated(1.0, "run", Plan("w", "1", "filesystem", 1, True, (), steps))
    old = msgspec.json.decode(event_codec.encode(event))
    text = msgspec.json.encode(old["plan"]["steps"][0]["request"].pop("access")).decode()
    old["plan"]["steps"][0]["request"]["resolved"] = {"access": text, "address": "10.0.0.5", "memory_mb": "512"}
    assert event_codec.decode(msgspec.json.encode(old), 1) == event


@pytest.mark.usefixtures("second_version")
def test_an_old_event_is_raised_to_the_shape_of_today() -> None:
    assert event_codec.decode(OLD, 1) == RAISED
    started = b'{"type":"run_started","at":1.5}'  # no upcaster: it has not changed
    assert event_codec.decode_page(b"[" + OLD + b"," + started + b"]", 1) == [RAISED, RunStarted(1.5)]


@pytest.mark.usefixtures("second_version")
def test_an_event_of_today_is_not_raised() -> None:
    assert event_codec.decode(event_codec.encode(RAISED), 2) == RAISED
    assert event_codec.decode_page(event_codec.encode_page([RAISED]), 2) == [RAISED]


def test_each_version_on_the_way_has_its_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_codec, "VERSION", 3)
    monkeypatch.setitem(event_codec.UPCASTERS, ("step_succeeded", 1), lambda raw: {**raw, "ref": raw["id"]})
    monkeypatch.setitem(event_codec.UPCASTERS, ("step_succeeded", 2), lambda raw: {**raw, "ref": raw["ref"].upper()})
    old = b'{"type":"step_succeeded","at":1.0,"step":"web/a","id":"srv-1"}'
    assert event_codec.decode(old, 1) == StepSucceeded(1.0, "web/a", "SRV-1")


@pytest.mark.parametrize("decode", [event_codec.decode, event_codec.decode_page])
def test_an_event_of_a_newer_version_is_refused(decode: Any) -> None:
    with pytest.raises(EventUnreadable, match=f"knows up to {event_codec.VERSION}") as caught:
        decode(b"not even looked at", event_codec.VERSION + 1)
    assert caught.value.hint == "Install a newer Batchwright."


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b'{"at":1.0}', b'{"type":"step_started","at":1.0}', b'{"type":"no_such","at":1.0}',
     b'{"type":"run_started","at":"soon"}', b'{"type":"run_paused","at":1.0,"by":"\xff"}'],
)  # fmt: skip
def test_a_damaged_event_is_refused(body: bytes) -> None:
    with pytest.raises(EventUnreadable, match="damaged"):
        event_codec.decode(body)
    with pytest.raises(EventUnreadable, match="damaged"):
        event_codec.decode_page(b"[" + body + b",")


@pytest.mark.usefixtures("second_version")
def test_a_damaged_old_event_is_refused_whatever_its_upcaster_makes_of_it() -> None:
    for body in (b'{"type":"step_started","at":1.0}', b'{"type":"step_started","name":1}', b"["):
        with pytest.raises(EventUnreadable, match="damaged"):
            event_codec.decode(body, 1)
        with pytest.raises(EventUnreadable, match="damaged"):
            event_codec.decode_page(b"[" + body + b"]", 1)


def test_a_version_that_never_was_is_refused() -> None:
    with pytest.raises(EventUnreadable, match="version 0"):
        event_codec.decode(event_codec.encode(RunStarted(1.0)), 0)
