"""C3: what `${` means, and that `$${` is a literal one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwright.model.templates import Reference, alone, filled, joined, literal, malformed, named, references
from batchwright.model.workflow import ServerConfig, Workflow
from batchwright.operations.check import Check, CheckRequest, HttpCheck, TcpCheck
from batchwright.operations.command import Command, CommandRequest
from batchwright.operations.server_batch import ServerBatch, ServerRequest
from batchwright.operations.taskserv_batch import TaskservBatch, TaskservUse

TEXTS = st.text(st.sampled_from("${}. axh"), max_size=20)


@pytest.mark.parametrize(
    ("text", "strict", "shell"),
    [
        ("${HOME}", ["${HOME}"], []),
        ("${servers.db-1.address} ${run.id}", [], []),
        ("${servers..address}", ["${servers..address}"], ["${servers..address}"]),
        ("${servers.${run.id}.x}", ["${servers.${run.id}"], ["${servers.${run.id}"]),
        ("${servers}", ["${servers}"], []),
        ("a ${x.y} ${z}", ["${x.y}", "${z}"], ["${x.y}"]),
        ("${root.", ["${root."], ["${root."]),
        ("${ server.x }", ["${ server.x }"], ["${ server.x }"]),
        ("${ command.sh; }", ["${ command.sh; }"], []),
        ("${x:-a.b} ${x%.txt} ${#a[@]} ${!x} ${x-.y}", ["${x:-a.b}", "${x%.txt}", "${#a[@]}", "${!x}", "${x-.y}"], []),
        ("$${x.y} $$${x.y}", [], []),
        ("$$$${x.y}", [], []),
        ("$ {x} $x {x.y} ${", ["${"], []),
        ("${a\nb}", ["${a"], []),
        ("${}", ["${}"], []),
        ("${1.5}", ["${1.5}"], []),
    ],
)
def test_what_is_no_reference(text: str, strict: list[str], shell: list[str]) -> None:
    """C3: a shell has no dots in its names, so a name with a dot is never the shell's."""
    assert [one.written for one in malformed(text, script=False)] == strict
    assert [one.written for one in malformed(text, script=True)] == shell


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("${servers.db-1.address}", ["servers.db-1.address"]),
        ("a${run.id}${server.name}b", ["run.id", "server.name"]),
        ("$${run.id} $$${run.id}", []),
        ("${ run.id } ${run .id} ${run.} ${run} ${runs.id} ${run.id", []),
        ("${servers.${run.id}.address}", ["run.id"]),
        ("${outputs.a_B-1.KEY_2}", ["outputs.a_B-1.KEY_2"]),
    ],
)
def test_references(text: str, found: list[str]) -> None:
    assert [one.path for one in references(text)] == found
    assert named([text, text]) == tuple(sorted(found))


def test_a_reference_knows_what_it_is_about() -> None:
    one = Reference("operations.web.addresses")
    assert (one.root, one.segments, one.is_list, one.is_own) == ("operations", ("web", "addresses"), True, False)
    assert Reference("server.name").is_own
    assert alone("${operations.web.addresses}") == one
    assert (alone(" ${run.id}"), alone("${run.id}${run.id}"), alone("$${run.id}")) == (None, None, None)
    assert str(one) == "${operations.web.addresses}"


@given(st.lists(st.tuples(TEXTS.map(lambda text: text.replace("$", "")), st.sampled_from(["run.id", "server.name"]))))
def test_values_are_put_in_as_they_are_and_never_read_again(parts: list[tuple[str, str]]) -> None:
    """A value is data: what looks like a reference, also together with the text beside it, stays as it is."""
    values = {"run.id": "${server.name}$", "server.name": "{run.id}$${"}
    text = "".join(f"{plain}${{{name}}}" for plain, name in parts)
    assert filled(text, values) == "".join(plain + values[name] for plain, name in parts)


@given(TEXTS)
def test_nothing_but_references_and_escapes_changes(text: str) -> None:
    kept = filled(text, {})
    assert kept.count("{") == text.count("{")
    assert kept == text.replace("$${", "${") or "$$$" in text


def test_several_values_are_joined_with_commas() -> None:
    assert joined(("10.0.0.1", "10.0.0.2")) == "10.0.0.1,10.0.0.2"
    assert filled("[${operations.web.names}]", {"operations.web.names": ("a", "b")}) == "[a,b]"


@given(TEXTS)
def test_an_escaped_text_has_no_reference_and_comes_out_as_it_was(text: str) -> None:
    """C3: whatever a text is, `$${` in place of each `${` makes it literal."""
    escaped = text.replace("${", "$${")
    assert [*references(escaped), *malformed(escaped, script=False)] == []
    assert filled(escaped, {}) == text


@given(TEXTS)
def test_the_shell_is_left_no_more_than_there_is(text: str) -> None:
    """C3: what is refused in a script is refused elsewhere."""
    everywhere = [one.written for one in malformed(text, script=False)]
    assert all(one.written in everywhere for one in malformed(text, script=True))


def test_texts_without_references_become_literal_and_nothing_else_changes() -> None:
    """C3: labels and a plug-in's own options at once; what may hold references when its request is made."""
    server = ServerConfig("a", "p", "z", user_data="$${x}", labels={"t": "$${y}"}, options={"o": ["$${z}", 1]})
    command = Command("c", ("sh", "$${a.b}", "${HOME}"), env={"A": "$${n}"})
    made = literal(Workflow("w", "1", (ServerBatch("s", "local", (server,)), command)))
    batch, run = made.operations
    assert isinstance(batch, ServerBatch)
    assert isinstance(run, Command)
    assert batch.server_configs[0] == ServerConfig(
        "a", "p", "z", user_data="$${x}", labels={"t": "${y}"}, options={"o": ["${z}", 1]}
    )
    assert ServerRequest.of(batch.server_configs[0], "", {}).user_data == "${x}"
    request = CommandRequest.of(run, "sh")
    assert (request.run, request.env, request.references) == (("sh", "${a.b}", "${HOME}"), {"A": "${n}"}, ())
    assert request.written({}) is request
    assert literal(made) == made


def test_a_request_with_a_reference_keeps_its_templates_until_it_is_sent() -> None:
    """Then all of its values are put in at once, those of its own server among them."""
    command = Command("c", ("sh", "$${a.b} ${servers.db.address} ${server.name}"), ("rm", "$${x}"), {"A": "${run.id}"})
    request = CommandRequest.of(command, "sh")
    assert request.run == command.run
    assert request.references == ("run.id", "server.name", "servers.db.address")
    known = request.with_values({"servers.db.address": "${run.id}", "run.id": "r", "other.x": "y"})
    assert known.values == {"servers.db.address": "${run.id}", "run.id": "r"}
    sent = known.written({"server.name": "web-1"})
    assert (sent.run, sent.undo, sent.env) == (("sh", "${a.b} ${run.id} web-1"), ("rm", "${x}"), {"A": "r"})
    assert (sent.references, sent.values) == ((), {})
    server = ServerRequest.of(ServerConfig("a", user_data="$${x} ${run.id}"), "", {}).with_values({"run.id": "r"})
    assert (server.user_data, server.written().user_data) == ("$${x} ${run.id}", "${x} r")


def test_variables_are_filled_in_once_and_only_where_they_are_used() -> None:
    """C3: a value that looks like a reference is no reference, and an escaped one is never filled in."""
    text = "${server.name} $${server.name} ${server.address} ${HOME}"
    values = {"server.name": "${server.address}", "server.address": "10.0.0.1"}
    assert filled(text, values) == "${server.address} ${server.name} 10.0.0.1 ${HOME}"
    use = TaskservUse("nginx", {"page": "$${server.name}"})
    whole = Workflow("w", "1", (TaskservBatch("t", "local", (use,)),))
    assert literal(whole) == whole


def test_a_check_has_its_values_when_it_looks() -> None:
    check = Check("c", http=HttpCheck("http://${servers.a.address}/", contains="$${x}", headers={"Host": "${run.id}"}))
    request = CheckRequest.of(check, None).with_values({"servers.a.address": "10.0.0.1", "run.id": "r"})
    assert request.references == ("run.id", "servers.a.address")
    written = request.written({})
    assert written.http == HttpCheck("http://10.0.0.1/", contains="${x}", headers={"Host": "r"})
    assert CheckRequest.of(Check("c", tcp=TcpCheck("$${x}", 80)), None).tcp == TcpCheck("${x}", 80)
    program = CommandRequest.of(Command("c", ("curl", "${servers.a.address}", "${server.name}")), "curl")
    looks = CheckRequest.of(Check("c", run=program.run), program).with_values({"servers.a.address": "10.0.0.1"})
    assert looks.program == program
    ran = looks.written({"server.name": "web-1"}).program
    assert ran is not None
    assert ran.run == ("curl", "10.0.0.1", "web-1")
