"""The runner's small parts: what is kept out of sight, filled in, judged, and put on the wire."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwright.model.call_outcome import CheckResult
from batchwright.model.fault import FaultClass
from batchwright.model.secret_reference import SecretReference
from batchwright.model.taskserv import Platform, Taskserv
from batchwright.operations.taskserv_batch import TaskservRequest
from batchwright.redaction import Redactor
from batchwright.taskservs.base import Target
from batchwright.taskservs.runner.child_protocol import (
    ChildJob,
    Done,
    Host,
    Member,
    OutputLine,
    RunCommand,
    Verb,
    job_decoder,
    word_decoder,
    written,
)
from batchwright.taskservs.runner.outcomes import failed, tell_changes, unhealthy, unsupported
from batchwright.taskservs.runner.variables import environment, fill

TARGET = Target("local", "ref", "web-1", "127.77.0.5")
NOTHING = Redactor(())


# -- variables ------------------------------------------------------------------------------------------------------


def test_places_are_filled_in_and_secrets_revealed() -> None:
    given_values = {
        "bind": "${server.address}:1",
        "node": "${server.name}",
        "port": 6379,
        "peers": ("${server.name}", 2, "$${x}"),
        "web": "${operations.web.names}",
        "all": "on ${operations.web.names}",
        "key": SecretReference(env="KEY"),
    }
    request = TaskservRequest("redis", "7.0", "default", given_values, values={"operations.web.names": ("a", "b${x}")})
    filled = asyncio.run(fill(request, TARGET, lambda secret: f"of {secret}${{server.name}}"))
    assert filled.values == {
        "bind": "127.77.0.5:1",
        "node": "web-1",
        "port": 6379,
        "peers": ("web-1", 2, "${x}"),
        "web": ("a", "b${x}"),
        "all": "on a,b${x}",
        "key": "of the variable KEY${server.name}",  # a secret is taken as it is
    }
    assert filled.secrets == ("of the variable KEY${server.name}",)


def test_what_checks_find_in_their_environment() -> None:
    request = TaskservRequest("redis", "7.0", "default")
    found = environment({"on": True, "port": 1, "peers": ("a", 2)}, request, TARGET, Member(1, 3, "127.77.0.4"))
    assert found == {
        "on": "true",
        "port": "1",
        "peers": "a\n2",
        "name": "redis",
        "version": "7.0",
        "server_name": "web-1",
        "server_address": "127.77.0.5",
        "cluster_number": "1",
        "cluster_size": "3",
        "cluster_leader": "127.77.0.4",
    }


# -- verdicts -------------------------------------------------------------------------------------------------------


def test_a_failed_deploy_says_which_operation_and_the_end_of_its_output_without_secrets() -> None:
    done = Done(ok=False, failed="write it", fault="an operation failed", tail=("first", "it is s3cret"))
    fault = failed("redis", done, Redactor(["s3cret"])).fault
    assert fault.message == "redis: write it\nfirst\nit is ***"
    assert fault.kind is FaultClass.TRANSIENT


def test_a_deploy_that_is_wrong_is_not_tried_again() -> None:
    done = Done(ok=False, fault="deploy.py of x: line 3: NameError: name 'y' is not defined", bug=True)
    fault = failed("x", done, NOTHING).fault
    assert (fault.kind, fault.message) == (FaultClass.PERMANENT, f"x: {done.fault}")


def test_a_failing_check_shows_the_last_lines_of_its_output() -> None:
    output = "\n".join(f"line {number}" for number in range(40))
    message = unhealthy("redis", CheckResult("ping", False, output)).fault.message
    assert message.startswith("redis: the check ping fails: line 28\n")
    assert message.endswith("line 39")


@pytest.mark.parametrize(("os", "release", "fits"), [
    ("debian", "12", True), ("debian", "11", False), ("ubuntu", "24.04", True), ("alpine", "3", False),
])  # fmt: skip
def test_platforms(os: str, release: str, fits: bool) -> None:
    entry = Taskserv("x", "1", "x", 1.0, platforms=(Platform("debian", ("12", "13")), Platform("ubuntu")))
    refused = unsupported(entry, os, release)
    assert (refused is None) is fits
    if refused is not None:
        expected = f"x cannot be installed on {os} {release}, only on debian 12 or 13, ubuntu"
        assert (refused.fault.kind, refused.fault.message) == (FaultClass.INVALID, expected)


def test_an_entry_without_platforms_goes_anywhere() -> None:
    assert unsupported(Taskserv("x", "1", "x", 1.0), "plan9", "") is None


def test_changes_are_told_and_so_is_that_there_were_none() -> None:
    told: list[str] = []
    tell_changes(Done(ok=True, operations=9, changes=tuple("abcdefg")), told.append)
    tell_changes(Done(ok=True, operations=9), told.append)
    assert told == ["changed by 7 of 9 operations: a, b, c, d, e and 2 more", "nothing changed"]


# -- the wire -------------------------------------------------------------------------------------------------------


@given(st.text(), st.dictionaries(st.text(), st.one_of(st.text(), st.integers(-(2**60), 2**60), st.booleans())))
def test_a_job_is_one_line_and_comes_out_as_it_went_in(name: str, variables: dict[str, str | int | bool]) -> None:
    host = Host(name, "127.77.0.5", "token", "default", variables, {"join": name}, cluster=Member(1, 2, "x"))
    job = ChildJob("redis", "7.0", "/folder", Verb.REMOVE, host)
    line = written(job)
    assert line.count(b"\n") == 1
    assert job_decoder.decode(line) == job


@pytest.mark.parametrize(
    "word", [OutputLine("a\nb\u2028c"), Done(ok=True, changes=("x",)), RunCommand("x", b"\xff\n", seconds=1)]
)
def test_words_come_out_as_they_went_in(word: OutputLine | Done | RunCommand) -> None:
    line = written(word)
    assert line.count(b"\n") == 1
    assert word_decoder.decode(line) == word
