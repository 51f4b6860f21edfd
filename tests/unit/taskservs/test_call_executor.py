"""One call on one server: its order, its time limit on the virtual clock, and what each trouble becomes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from batchwright.errors import SecretMissing
from batchwright.model.call_outcome import Applied, Rejected, Unknown
from batchwright.model.fault import Fault, FaultClass
from batchwright.model.secret_reference import SecretReference
from batchwright.model.ssh_access import SshAccess
from batchwright.model.taskserv import Output, Taskserv, TaskservCheck
from batchwright.operations.taskserv_batch import Cluster, TaskservRequest
from batchwright.taskservs.base import Target, TaskservCall
from batchwright.taskservs.runner import call_executor as module
from batchwright.taskservs.runner.call_executor import ServerExecutor
from batchwright.taskservs.runner.child_process import ChildDied
from batchwright.taskservs.runner.child_protocol import Done, Verb
from batchwright.taskservs.runner.server_readiness import FirstScript
from batchwright.taskservs.runner.ssh_connection import ScriptResult, Unreachable
from batchwright.testing.virtual_clock import VirtualClock, run_virtual

ENTRY = Taskserv("redis", "7.0", "x", 1.0, check=(TaskservCheck("ping", "ping it", retries=2, every=5.0),))
REQUEST = TaskservRequest("redis", "7.0", "default", {"password": SecretReference(env="X")})
DOWN = Unreachable(Fault(FaultClass.TRANSIENT, "connection refused"), lasting=True)


class Place:
    """Servers as scripts see them: `answers` by a word of the script, else success without a word."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **answers: ScriptResult | list[ScriptResult]) -> None:
        self.answers: dict[str, ScriptResult | list[ScriptResult]] = {
            "os-release": ScriptResult(0, "platform debian 12\n"),
            **answers,
        }
        self.scripts: list[str] = []
        self.down: Unreachable | None = None
        monkeypatch.setattr(asyncio, "to_thread", _here)  # the virtual clock does not wait for threads
        monkeypatch.setattr(module, "ready", self.ready)
        monkeypatch.setattr(module, "ready_with", self.ready_with)
        monkeypatch.setattr(module, "connected", self.ready)

    @contextlib.asynccontextmanager
    async def ready(self, access: SshAccess, *_: object) -> AsyncIterator[Place]:
        if self.down is not None:
            raise self.down
        yield self

    @contextlib.asynccontextmanager
    async def ready_with(
        self, script: FirstScript, access: SshAccess, *_: object
    ) -> AsyncIterator[tuple[Place, ScriptResult]]:
        async with self.ready(access):
            script.sent(True)
            yield self, await self.script(script.text, script.seconds)

    async def script(self, text: str, _seconds: float) -> ScriptResult:
        if self.down is not None:
            raise self.down  # connections that were open are lost
        if "batchwright_passed=0" in text:
            return self._checked(text)
        self.scripts.append(text)
        if "kill -TERM" in text and "os-release" not in text:
            return ScriptResult(0, "ended 0\n")
        return self._answer(text)

    def _answer(self, text: str) -> ScriptResult:
        for word, answer in self.answers.items():
            if word.replace("_", " ") in text:
                return answer.pop(0) if isinstance(answer, list) else answer
        return ScriptResult(0, "")

    def _checked(self, text: str) -> ScriptResult:
        """All checks in one script, which notes the install if all pass."""
        checks, _, noted = text.rpartition("echo $batchwright_passed\n")
        passed = checks.count("batchwright_code=$?")
        self.scripts.append(checks)
        if passed and self._answer(checks).code:
            return ScriptResult(0, "0\n")
        self.scripts.append(noted)
        answer = self._answer(noted)
        return ScriptResult(answer.code, f"{passed}\n{answer.output}")

    def ran(self, word: str) -> int:
        return sum(word in text for text in self.scripts)


async def _here(work: Callable[..., Any], *given: Any) -> Any:
    return work(*given)


async def changed(_visit: ServerExecutor) -> Done:
    return Done(ok=True, operations=3, changes=("one",))


def applied(
    verb: Verb = Verb.INSTALL,
    deploy: Callable[[ServerExecutor], Awaitable[Done]] = changed,
    *,
    seconds: float = 60.0,
    entry: Taskserv = ENTRY,
    request: TaskservRequest = REQUEST,
    told: list[str] | None = None,
    **rest: Any,
) -> Applied | Rejected | Unknown:
    target = Target("local", "ref", "one", "127.77.0.5", SshAccess("127.77.0.5"))
    job = TaskservCall("token", seconds, rest.get("leader"), (told if told is not None else []).append)
    call = ServerExecutor(entry, request, target, job, rest.get("reveal", lambda _: "s3cret"), VirtualClock())

    async def main() -> Applied | Rejected | Unknown:
        return await call.apply(verb, seconds, lambda _server: deploy(call))

    return run_virtual(main())


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(monkeypatch)


def test_an_install_is_checked_then_marked(place: Place) -> None:
    told: list[str] = []
    assert applied(told=told) == Applied(True)
    steps = ("os-release", "ping it", "taskservs/redis.json")
    assert [step for text in place.scripts for step in steps if step in text] == list(steps)
    assert told == ["check ping: ok", "changed by 1 of 3 operations: one"]


def test_what_takes_too_long_is_ended_on_the_server(place: Place) -> None:
    async def slow(_visit: ServerExecutor) -> Done:
        _visit.tell("half of it with s3cret")
        await asyncio.sleep(300)
        raise AssertionError

    answer = applied(deploy=slow, seconds=5.0)
    assert isinstance(answer, Rejected)
    assert answer.fault.kind is FaultClass.TIMEOUT
    assert answer.fault.message == (
        "it took over 5 s and was stopped, on the server too; its last output was: half of it with ***"
    )
    assert place.ran("kill -TERM") == 2  # leftovers before it, itself after it


def test_what_cannot_be_ended_is_not_known(place: Place) -> None:
    async def slow(_visit: ServerExecutor) -> Done:
        place.down = DOWN
        await asyncio.sleep(300)
        raise AssertionError

    answer = applied(deploy=slow, seconds=5.0)
    assert answer == Unknown("it took over 5 s and may still be running: connection refused")


def test_a_call_that_is_cancelled_ends_what_it_began(place: Place) -> None:
    async def cancelled(_visit: ServerExecutor) -> Done:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        applied(deploy=cancelled)
    assert place.ran("kill -TERM") == 2


def test_a_check_is_tried_again_and_its_last_words_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(monkeypatch, ping_it=ScriptResult(1, "no PONG, but s3cret\n"))
    answer = applied()
    assert answer == Rejected(
        Fault(FaultClass.PERMANENT, "redis: the check ping fails: no PONG, but ***", "check-failed")
    )
    assert place.ran("ping it") == 4  # with the others, then by itself with its retries
    assert place.ran("taskservs/redis.json") == 0


def test_a_check_may_need_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(monkeypatch, ping_it=[ScriptResult(1, "not yet"), ScriptResult(0, "")])
    assert applied() == Applied(True)
    assert place.ran("ping it") == 2


def test_a_server_out_of_reach_is_certain_before_the_deploy_and_not_after_it(place: Place) -> None:
    place.down = DOWN
    assert applied() == Rejected(DOWN.fault)
    place.down = None

    async def broken(_visit: ServerExecutor) -> Done:
        place.down = DOWN
        return await changed(_visit)

    assert applied(deploy=broken) == Unknown("connection refused")


def test_a_child_that_died_leaves_it_unknown(place: Place) -> None:
    async def dies(_visit: ServerExecutor) -> Done:
        raise ChildDied("it exited with code -9: s3cret")

    assert applied(deploy=dies) == Unknown("it exited with code -9: ***")


def test_a_secret_that_is_missing_is_told_before_anything_is_done(place: Place) -> None:
    def missing(secret: SecretReference) -> str:
        raise SecretMissing(f"the secret in {secret} is empty or missing")

    answer = applied(reveal=missing)
    assert isinstance(answer, Rejected)
    assert (answer.fault.kind, answer.fault.code) == (FaultClass.PERMANENT, "secret-missing")
    assert place.scripts == []


@pytest.mark.parametrize(("was_marked", "changes", "expected"), [
    (True, (), True), (False, (), False), (False, ("x",), True),
])  # fmt: skip
def test_a_removal_takes_the_mark_away(
    monkeypatch: pytest.MonkeyPatch, was_marked: bool, changes: tuple[str, ...], expected: bool
) -> None:
    async def deploy(_visit: ServerExecutor) -> Done:
        return Done(ok=True, changes=changes)

    place = Place(monkeypatch, **{"taskservs/redis.json": ScriptResult(0, "gone\n" if was_marked else "")})
    assert applied(Verb.REMOVE, deploy) == Applied(expected)
    assert place.ran("ping it") == 0


def test_what_the_leader_tells_reaches_the_others_and_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    Place(monkeypatch, tell_the_token=ScriptResult(0, "join-me\n"))
    seen: list[dict[str, str]] = []

    async def joins(call: ServerExecutor) -> Done:
        assert call.host is not None
        seen.append(call.host.outputs)
        call.tell("kubeadm join with join-me")
        return await changed(call)

    told: list[str] = []
    entry = Taskserv("redis", "7.0", "x", 1.0, outputs={"token": Output("tell the token")})
    request = TaskservRequest("redis", "7.0", "default", cluster=Cluster("servers/first", 1, 3))
    leader = Target("local", "first", "first", "127.77.0.4", SshAccess("127.77.0.4"))
    assert applied(deploy=joins, entry=entry, request=request, leader=leader, told=told) == Applied(True)
    assert seen == [{"token": "join-me"}]
    assert told[0] == "kubeadm join with ***"


def test_a_server_may_say_half_of_what_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A word without its value is none: that is no bug."""
    Place(monkeypatch, **{"os-release": ScriptResult(0, "temp\nplatform debian 12\n")})
    assert applied() == Applied(True)


def test_what_a_server_says_when_it_cannot_be_made_ready_is_shown_without_secrets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Place(monkeypatch, **{"os-release": ScriptResult(1, "no room for s3\x1b[1mcret\x1b[2J")})
    answer = applied()
    assert isinstance(answer, Rejected)
    assert answer.fault.message == "the server could not be prepared (exit code 1): no room for ***"
