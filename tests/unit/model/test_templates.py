"""C3: what `${` means, and that `$${` is a literal one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwright.model.templates import filled, literal, references
from batchwright.model.workflow import ServerConfig, Workflow
from batchwright.operations.command import Command
from batchwright.operations.server_batch import ServerBatch
from batchwright.operations.taskserv_batch import TaskservBatch, TaskservUse

TEXTS = st.text(st.sampled_from("${}. axh"), max_size=20)


@pytest.mark.parametrize(
    ("text", "strict", "shell"),
    [
        ("${HOME}", ["${HOME}"], []),
        ("${servers.db-1.address}", ["${servers.db-1.address}"], ["${servers.db-1.address}"]),
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
def test_references(text: str, strict: list[str], shell: list[str]) -> None:
    """C3: a shell has no dots in its names, so a name with a dot is never the shell's."""
    assert [one.written for one in references(text, script=False)] == strict
    assert [one.written for one in references(text, script=True)] == shell


@given(TEXTS)
def test_an_escaped_text_has_no_reference_and_comes_out_as_it_was(text: str) -> None:
    """C3: whatever a text is, `$${` in place of each `${` makes it literal."""
    escaped = text.replace("${", "$${")
    assert list(references(escaped, script=False)) == []
    assert filled(escaped, {}) == text


@given(TEXTS)
def test_the_shell_is_left_no_more_than_there_is(text: str) -> None:
    """C3: what is refused in a script is refused elsewhere."""
    everywhere = [one.written for one in references(text, script=False)]
    assert all(one.written in everywhere for one in references(text, script=True))


def test_every_text_of_a_workflow_becomes_literal_and_nothing_else_changes() -> None:
    """C3: commands, environments, first-boot data, labels and a plug-in's own options."""
    server = ServerConfig("a", "p", "z", user_data="$${x}", labels={"t": "$${y}"}, options={"o": ["$${z}", 1]})
    command = Command("c", ("sh", "$${a.b}", "${HOME}"), env={"A": "$${n}"})
    made = literal(Workflow("w", "1", (ServerBatch("s", "local", (server,)), command)))
    batch, run = made.operations
    assert isinstance(batch, ServerBatch)
    assert isinstance(run, Command)
    assert batch.server_configs[0] == ServerConfig(
        "a", "p", "z", user_data="${x}", labels={"t": "${y}"}, options={"o": ["${z}", 1]}
    )
    assert (run.run, run.env) == (("sh", "${a.b}", "${HOME}"), {"A": "${n}"})
    assert literal(made) == made


def test_variables_are_filled_in_once_and_only_where_they_are_used() -> None:
    """C3: a value that looks like a reference is no reference, and an escaped one is never filled in."""
    text = "${server.name} $${server.name} ${server.address} ${HOME}"
    values = {"server.name": "${server.address}", "server.address": "10.0.0.1"}
    assert filled(text, values) == "${server.address} ${server.name} 10.0.0.1 ${HOME}"
    use = TaskservUse("nginx", {"page": "$${server.name}"})
    whole = Workflow("w", "1", (TaskservBatch("t", "local", (use,)),))
    assert literal(whole) == whole
