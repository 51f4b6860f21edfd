"""References that are right, and those that are doubtful. What is wrong stands in tests/mistakes/values.ncl."""

from __future__ import annotations

from typing import Any

import pytest

from batchwright.loader.reference_checks import mistaken

SERVERS: dict[str, Any] = {"id": "db", "server_configs": [{"name": "db-1"}, {"name": "db-2"}]}


def codes(*operations: dict[str, Any]) -> list[str]:
    return [one.diagnostic.code for one in mistaken([SERVERS, *operations])]


def after(*names: str, **rest: Any) -> dict[str, Any]:
    edges = [{"id": name, "kind": "hard", **rest} for name in names]
    return {"id": "use", "type": "command", "dependencies": edges}


@pytest.mark.parametrize(
    "fields",
    [
        {"run": ["x", "${servers.db-1.address} ${servers.db-2.provider} ${HOME}"]},
        {
            "run": ["x"],
            "undo": ["${operations.db.names}"],
            "unless": ["${run.id}"],
            "env": {"A": "${workflow.version}"},
        },
        {"run": ["x", "${server.name}"], "targets": ["db"]},
        {"http": {"url": "http://${servers.db-1.address}/", "headers": {"X": "${run.id}"}, "contains": "${run.id}"}},
        {"tcp": {"host": "${servers.db-1.address}", "port": 1}},
        {"ask": "Is ${servers.db-1.address} well?"},
        {"taskservs": [{"name": "x", "variables": {"a": {"b": {"c": "${servers.db-1.name}"}}, "file": "${run.id}"}}]},
        {"taskservs": [{"name": "x", "variables": {"a": ["${servers.db-1.name}"], "b": "${operations.db.addresses}"}}]},
        {"server_configs": [{"name": "web", "user_data": "${servers.db-1.address} ${x:-y}"}]},
        {"otherwise": [{"zone": "x"}, {"user_data": "${servers.db-1.address}"}]},
        {"run": ["x", "$${nonsense.x} $${"]},
        {"run": [None, {"broken": "${run.id}"}], "targets": "broken", "taskservs": None},
    ],
)
def test_where_references_may_stand(fields: dict[str, Any]) -> None:
    found = codes({**after("db"), **fields})
    assert [one for one in found if one != "reference-changes"] == (
        ["reference-misplaced"] if "broken" in str(fields) else []
    )


def test_the_way_may_lead_over_other_operations() -> None:
    middle = {"id": "middle", "dependencies": [{"id": "db"}]}
    use = {**after("middle"), "run": ["${servers.db-1.address}"]}
    assert codes(middle, use) == []
    assert codes({**middle, "dependencies": [{"id": "db", "kind": "soft"}]}, use) == ["reference-not-depended-on"]
    assert codes({**middle, "dependencies": [{"id": "use"}]}, use) == ["reference-not-depended-on"]  # a cycle


def test_a_dependency_of_each_server_on_its_own_gives_no_other_server() -> None:
    services = {**after("db", per="server"), "taskservs": [{"name": "x", "variables": {"a": "${server.address}"}}]}
    assert codes(services) == []
    services["taskservs"] = [{"name": "x", "variables": {"a": "${servers.db-1.address}"}}]
    assert codes(services) == ["reference-not-depended-on"]


def test_outputs_are_of_a_command_with_one_server_at_most() -> None:
    give = {"id": "give", "outputs": ["url"], "dependencies": [{"id": "db"}]}
    use = {**after("give"), "run": ["${outputs.give.url}"]}
    assert codes(give, use) == []
    assert codes({**give, "targets": ["db-1"]}, use) == []
    assert codes({**give, "targets": ["db"]}, use) == ["reference-ambiguous"]


def test_a_server_that_may_be_missing_is_told() -> None:
    some = {"id": "some", "server_configs": [{"name": "s"}], "min_success": "90%"}
    use = {**after("some"), "run": ["${servers.s.address}", "${operations.some.names}"]}
    assert codes(some, use) == ["reference-may-be-missing"]


@pytest.mark.parametrize("secret", [{"env": "${run.id}"}, {"file": "/${run.id}"}, {"command": ["x", "${run.id}"]}])
def test_what_names_a_secret_holds_no_reference(secret: dict[str, Any]) -> None:
    for fields in (
        {"run": ["x"], "env": {"A": secret}},
        {"http": {"url": "http://x/", "headers": {"A": secret}}},
        {"taskservs": [{"name": "x", "variables": {"a": secret}}]},
        {"taskservs": [{"name": "x", "variables": {"a": {"b": secret}}}]},
    ):
        assert codes({**after("db"), **fields}) == ["reference-misplaced"]
