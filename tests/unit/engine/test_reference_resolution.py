"""What references stand for: found once per operation, the same for all its steps, and journaled before they start."""

from __future__ import annotations

import re
from typing import Any

import pytest
from msgspec.structs import replace

from batchwright.engine import effects
from batchwright.engine.machine import Machine
from batchwright.engine.manual_resolution import resume_questions
from batchwright.engine.reference_resolution import OPERATION_BYTES, VALUE_BYTES, Missing, OperationValues
from batchwright.engine.rollback_preview import preview_rollback
from batchwright.errors import NotAllowed
from batchwright.model import events as ev
from batchwright.model.call_outcome import Applied, Created, Rejected, Unknown
from batchwright.model.fault import Fault, FaultClass
from batchwright.model.lifecycle import RunState
from batchwright.model.run import Run
from batchwright.model.run_snapshot import encode_snapshot, restore_run
from batchwright.model.workflow import Dependency, OnFailure, ServerConfig
from batchwright.operations.approval import Approval
from batchwright.operations.server_batch import ServerBatch
from batchwright.testing.plans import command, plan_of, servers, workflow
from tests.unit.engine.hand import Hand

DB = servers("db", "db-1", "db-2")
REFERENCES = ("${servers.db-2.address}", "${operations.db.names}", "${run.id} ${workflow.name} ${workflow.version}")
EXITED = Rejected(Fault(FaultClass.EXIT, "it exited with code 1"))


def hand(*operations: Any, **rest: Any) -> Hand:
    return Hand(plan_of(workflow(*operations, **rest), {}))


def made(one: Hand) -> Hand:
    """After its servers were made."""
    one.answer("db/db-1", Created("ref-1", ready=True, address="10.0.0.1"))
    one.answer("db/db-2", Created("ref-2", ready=True, address="10.0.0.2"))
    return one


def opened(one: Hand) -> list[ev.OperationOpened]:
    return one.events(ev.OperationOpened)


def test_values_are_journaled_right_before_the_first_step_that_uses_them() -> None:
    one = hand(DB, command("use", "echo", *REFERENCES, after=["db"], targets=("db",)))
    assert opened(one) == []
    made(one)
    kinds = [(type(event).__name__, getattr(event, "step", "")) for event in one.history[-3:]]
    assert kinds == [("OperationOpened", ""), ("StepStarted", "use/db-1"), ("StepStarted", "use/db-2")]
    assert opened(one)[0].values == {
        "servers.db-2.address": "10.0.0.2",
        "operations.db.names": ("db-1", "db-2"),
        "run.id": "run",
        "workflow.name": "tested",
        "workflow.version": "1.0.0",
    }
    assert one.run.request(2).values == opened(one)[0].values


def test_an_operation_without_references_has_no_such_event() -> None:
    one = made(hand(DB, command("plain", "echo", "${HOME} $${run.id}", after=["db"])))
    assert opened(one) == []
    only_own = made(hand(DB, command("own", "echo", "${server.name}", after=["db"], targets=("db",))))
    assert opened(only_own) == []
    assert len(only_own.events(ev.StepStarted)) == 4


def test_first_boot_data_may_name_a_server_made_before() -> None:
    config = ServerConfig("web-1", "1xCPU-2GB", "de-fra1", user_data="#!/bin/sh\necho ${servers.db-1.address}\n")
    web = ServerBatch("web", "upcloud", (config,), servers("x", "y", after=["db"]).dependencies)
    one = made(hand(DB, web))
    assert opened(one)[0].operation == "web"
    request = one.run.request(one.run.step("web/web-1"))
    assert (request.user_data, request.written().user_data) == (  # type: ignore[attr-defined]
        config.user_data, "#!/bin/sh\necho 10.0.0.1\n"
    )  # fmt: skip


def test_outputs_of_a_command_are_values() -> None:
    give = command("give", "migrate", outputs=("url",))
    one = hand(give, command("use", "echo", "${outputs.give.url}", after=["give"], undo=("rm", "${outputs.give.url}")))
    one.answer("give/run", Applied(outputs={"url": "pg://x"}))
    assert one.run.record("give/run").outputs == {"url": "pg://x"}
    assert opened(one)[0].values == {"outputs.give.url": "pg://x"}


def test_a_retry_a_crash_and_an_undo_use_the_same_values() -> None:
    """I10: whatever became of their source."""
    one = made(hand(DB, command("use", "echo", after=["db"], undo=("rm", "${servers.db-1.address}"), idempotent=True)))
    one.answer("use/run", EXITED)
    one.later(1_000)
    one = one.crash()
    one.decide()
    one.answer("use/run", Applied())
    one.swept()
    assert one.run.status is RunState.COMPLETED
    assert len(opened(one)) == 1
    assert preview_rollback(one.run)[0].ref == "rm 10.0.0.1"
    one.take(one.machine.rollback(one.now, "ada"))
    one.decide()
    request = one.run.request(one.run.step("use/run"))
    assert one.taken(effects.UndoStep) == [effects.UndoStep(2, 1)]
    assert request.values == {"servers.db-1.address": "10.0.0.1"}


@pytest.mark.parametrize(("first", "openings"), [(EXITED, 2), (Applied(), 1)])
def test_a_reopened_run_looks_again_only_where_nothing_succeeded(first: Applied | Rejected, openings: int) -> None:
    """What is there keeps its values: what changed meanwhile is the next run's difference."""
    use = command("use", "echo", "${operations.db.addresses}", after=["db"], targets=("db",))
    one = made(hand(DB, use))
    one.answer("use/db-1", first)
    one.answer("use/db-2", EXITED)
    one.swept()
    assert one.run.status is RunState.FAILED
    one.take(one.machine.reopen(one.now, "ada"))
    assert one.run.values["use"] == {"operations.db.addresses": ("10.0.0.1", "10.0.0.2")}  # an undo still has them
    one.decide()
    assert len(opened(one)) == openings


GIVE = command("give", "migrate", outputs=("url", "port"))
USE = command("use", "echo", "${outputs.give.url}", after=["give"])


def lost(*operations: Any) -> Hand:
    """After a process died while the command `give` ran, and nobody knows how far it got."""
    one = hand(*operations)
    one.answer("give/run", Unknown("the connection was lost"))
    assert one.run.status is RunState.FAILED
    return one


def test_a_resume_asks_about_commands_in_doubt_and_what_they_gave() -> None:
    told = resume_questions(lost(GIVE, USE).run)
    (question,) = told.commands
    assert (question.step, question.operation, question.skippable) == ("give/run", "give", True)
    assert (question.message, question.outputs) == ("the connection was lost", ("url", "port"))
    assert told.lanes == ()
    assert resume_questions(hand(GIVE).run).commands[0].message == "it was running when its process ended"


def test_a_command_that_is_taken_as_done_gives_what_a_person_says() -> None:
    one = lost(GIVE, USE)
    texts = ["url=a=b", "give.port=80"]
    one.take(one.machine.reopen(one.now, "ada", skip=["give/run"], outputs=texts))
    one.decide()
    assert opened(one)[0].values == {"outputs.give.url": "a=b"}
    assert one.crash().run.record("give/run").outputs == {"url": "a=b", "port": "80"}


@pytest.mark.parametrize(
    ("texts", "words", "hint"),
    [
        ([], "step give/run was to give url, port", "--skip give/run --output give.url=VALUE --output give.port=VALUE"),
        (["url=1"], "step give/run was to give port", "--output give.port=VALUE"),
        (["url=1", "port=2", "x=3"], "'x' does not name one output", "the skipped commands give: give.url, give.port"),
        (["use.url=1"], "'use.url' does not name one output", "OPERATION.KEY=VALUE"),
        (["url"], "the output 'url' has no value", "OPERATION.KEY=VALUE"),
        (["url=1", "port=2", "give.url=3"], "the output give.url is given twice", "once"),
        (["url=1\n2", "port=1"], "the output url must be one line", ""),
    ],
)
def test_it_must_be_said_for_each_value(texts: list[str], words: str, hint: str) -> None:
    one = lost(GIVE, USE)
    with pytest.raises(NotAllowed, match=re.escape(words)) as caught:
        one.machine.reopen(one.now, "ada", skip=["give/run"], outputs=texts)
    assert hint in caught.value.hint


def test_a_producer_that_is_run_again_gives_anew() -> None:
    one = lost(GIVE, USE)
    one.take(one.machine.reopen(one.now, "ada", redo=["give/run"]))
    one.decide()
    one.answer("give/run", Applied(outputs={"url": "new", "port": "1"}))
    assert opened(one)[0].values == {"outputs.give.url": "new"}


def test_a_snapshot_keeps_them() -> None:
    one = made(hand(DB, command("use", "echo", *REFERENCES, after=["db"])))
    again = restore_run(one.run.created, encode_snapshot(one.run))
    assert (again.values, again.opened) == (one.run.values, one.run.opened)
    assert again.values["use"]["operations.db.names"] == ("db-1", "db-2")


@pytest.mark.parametrize(("size", "keys"), [(VALUE_BYTES + 1, 1), (VALUE_BYTES, OPERATION_BYTES // VALUE_BYTES + 1)])
@pytest.mark.parametrize("policy", list(OnFailure))
def test_values_that_are_too_large_fail_the_operation_before_anything_starts(
    size: int, keys: int, policy: OnFailure
) -> None:
    give = command("give", "x", outputs=tuple(f"k{n}" for n in range(keys)))
    words = [f"${{outputs.give.k{n}}}" for n in range(keys)]
    use = command("use", "echo", *words, after=["db", "give"], targets=("db",), on_failure=policy)
    one = made(hand(DB, give, use, command("other", "y", after=["db", "give"])))
    one.answer("give/run", Applied(outputs={f"k{n}": "x" * size for n in range(keys)}))
    (failed,) = one.events(ev.StepFailed)
    assert (failed.step, failed.attempt, failed.fault.code) == ("use/db-1", 0, "value-too-large")
    assert opened(one) == []
    assert one.state("other/run") == "started"
    skipped = [event.step for event in one.events(ev.StepSkipped)]
    assert skipped == (["use/db-2"] if policy is OnFailure.CONTINUE else [])
    assert len(one.events(ev.RunStopping)) == (policy is not OnFailure.CONTINUE)


def test_the_rest_of_an_operation_whose_values_are_too_large_is_skipped_also_by_the_next_process() -> None:
    """Also what could not start yet: no step of it may start later without the values of the others."""
    give = command("give", "x", outputs=("k",))
    use = command("use", "echo", "${outputs.give.k}", after=["db", "give"], targets=("db",), parallel_limit=1)
    one = made(hand(DB, give, use))
    one.answer("give/run", Applied(outputs={"k": "x" * (VALUE_BYTES + 1)}))
    assert (one.state("use/db-1"), one.state("use/db-2")) == ("failed", "skipped")
    failed = one.history.index(one.events(ev.StepFailed)[0])
    again = Machine(Run.replay(one.history[: failed + 1]))
    assert again.decide(one.now, {"commands": 9}, None) == one.events(ev.StepSkipped)


@pytest.mark.parametrize("policy", list(OnFailure))
def test_a_question_whose_values_are_too_large_fails(policy: OnFailure) -> None:
    """It is not skipped: what depends on it is, and `on_failure` acts."""
    ask = Approval("ask", "Is ${outputs.give.k} right?", dependencies=(Dependency("give"),), on_failure=policy)
    one = hand(command("give", "x", outputs=("k",)), ask, command("then", "y", after=["ask"]))
    one.answer("give/run", Applied(outputs={"k": "x" * (VALUE_BYTES + 1)}))
    (failed,) = one.events(ev.StepFailed)
    assert (failed.step, failed.fault.code) == ("ask/ask", "value-too-large")
    assert one.events(ev.HoldAsked) == one.events(ev.OperationOpened) == []
    assert len(one.events(ev.RunStopping)) == (policy is not OnFailure.CONTINUE)
    assert one.run.status is (RunState.ROLLED_BACK if policy is OnFailure.ROLLBACK else RunState.FAILED)


def test_a_value_of_exactly_the_limit_is_possible() -> None:
    give = command("give", "x", outputs=("k",))
    one = hand(give, command("use", "echo", "${outputs.give.k}", after=["give"]))
    one.answer("give/run", Applied(outputs={"k": "x" * VALUE_BYTES}))
    assert one.state("use/run") == "started"


def test_what_is_not_there_is_said_by_the_step_that_did_not_give_it() -> None:
    plan = plan_of(workflow(DB, command("use", "echo", "${servers.db-1.address}", after=["db"])), {})
    run = Run(ev.RunCreated(1.0, "run", plan))
    values = OperationValues(run)
    assert values.due("use") == ("servers.db-1.address",)
    assert values.of(values.due("use")) == Missing("servers.db-1.address", "db/db-1")
    assert values.of(("operations.db.addresses",)) == {"operations.db.addresses": ()}


def test_steps_whose_values_are_missing_are_skipped_because_of_that() -> None:
    """After an operation that succeeded without one of its servers."""
    named = command("named", "echo", "${servers.db-2.address}", after=["db"])
    every = command("every", "echo", "${operations.db.names}", after=["db"])
    plan = plan_of(workflow(DB, named, every), {})
    one = Hand(replace(plan, operations=(replace(plan.operations[0], min_success="1"), *plan.operations[1:])))
    one.answer("db/db-1", Created("ref-1", ready=True, address="10.0.0.1"))
    one.answer("db/db-2", FaultClass.PERMANENT)
    (skipped,) = one.events(ev.StepSkipped)
    assert (skipped.step, skipped.because) == ("named/run", "db/db-2")
    assert "${servers.db-2.address} is not known" in skipped.reason
    assert [(event.operation, event.values) for event in opened(one)] == [("every", {"operations.db.names": ("db-1",)})]
