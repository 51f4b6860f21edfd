"""Tokens and the audit trail of several services on one PostgreSQL store: one list, one chained trail."""

from __future__ import annotations

import json
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import psycopg
import pytest
from tests.e2e.test_two_services import Services
from tests.support.command_line import Command
from tests.support.fleet import LOOKS, RUNS

from batchwright.journal.postgres import PostgresAddress


def ask(url: str, token: str, path: str, body: Any = None) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    try:
        with urllib.request.urlopen(urllib.request.Request(url + path, data, headers), timeout=60) as answer:
            return answer.status, json.loads(answer.read())
    except HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def until_status(url: str, token: str, wanted: int) -> None:
    for _ in range(LOOKS):
        if ask(url, token, RUNS)[0] == wanted:
            return
    raise AssertionError(f"{url} never answered {wanted}")


def test_a_token_of_one_service_holds_at_all_and_every_request_is_in_one_trail(
    postgres: PostgresAddress, tmp_path: Path
) -> None:
    def typed(name: str) -> Command:
        state = str(tmp_path / name / "state")
        return Command(tmp_path / name, BATCHWRIGHT_POSTGRES_URL=postgres.url, BATCHWRIGHT_STATE_DIR=state)

    with ExitStack() as stack:
        services = Services(tmp_path, postgres, stack)
        one, two = services.begin("one"), services.begin("two")
        here, there = typed("one"), typed("two")
        ada = here("token", "create", "--role", "admin", "--name", "ada").stdout.split()[0]
        bob = there("token", "create", "--role", "operator", "--name", "bob").stdout.split()[0]
        for url in (one, two):
            for token in (ada, bob):
                until_status(url, token, 200)
        taken = there("token", "create", "--role", "viewer", "--name", "ada", code=None)
        assert "already exists" in taken.stderr
        assert ask(one, ada, f"{RUNS}/zzzz/pause", {})[0] == 404
        assert ask(two, bob, f"{RUNS}/zzzz/cancel", {})[0] == 404

        here("token", "revoke", "bob")
        for url in (one, two):  # within two seconds at services on other machines
            until_status(url, bob, 401)
        assert ask(two, ada, RUNS)[0] == 200
        assert {one["name"]: bool(one["revoked_at"]) for one in there.json("token", "list")["tokens"]} == {
            "ada": False,
            "bob": True,
        }

        trail = there.json("audit")["audit"]
        asked = [(entry["who"], entry["what"].partition(" (")[0], entry["status"]) for entry in reversed(trail)]
        root = asked[0][0]
        assert asked == [
            (root, "token create ada", 0),
            (root, "token create bob", 0),
            ("ada", f"POST {RUNS}/zzzz/pause", 404),
            ("bob", f"POST {RUNS}/zzzz/cancel", 404),
            (root, "token revoke bob", 0),
        ]
        pages = []
        before = ""
        while before is not None:
            _, page = ask(one, ada, f"/v1/audit?limit=2{f'&before={before}' if before else ''}")
            pages.append(page["items"])
            before = page["before"]
        assert [entry for page in pages for entry in page] == trail
    assert typed("one")("store", "check").stdout


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            "UPDATE audit SET body = convert_to(replace(convert_from(body, 'UTF8'), 'ada', 'eve'), 'UTF8')",
            "row 1 of the audit trail",
        ),
        ("DELETE FROM audit WHERE number = 1", "lacks its rows 1 to 1"),
        ("DELETE FROM audit WHERE number = 2", "ends at row 1, not at row 2"),
    ],
)
def test_a_trail_that_was_changed_is_found(change: str, said: str, postgres: PostgresAddress, tmp_path: Path) -> None:
    typed = Command(tmp_path, BATCHWRIGHT_POSTGRES_URL=postgres.url)
    for name in ("ada", "bob"):
        typed("token", "create", "--role", "viewer", "--name", name)
    typed("store", "check")
    with psycopg.connect(postgres.url, options="-c search_path=batchwright") as connection:
        connection.execute(change.encode())
    found = typed("store", "check", code=None)
    assert found.returncode != 0
    assert said in found.stdout + found.stderr


def test_tokens_from_before_there_was_a_store_are_shared(postgres: PostgresAddress, tmp_path: Path) -> None:
    Command(tmp_path)("token", "create", "--role", "viewer", "--name", "old")
    typed = Command(tmp_path, BATCHWRIGHT_POSTGRES_URL=postgres.url)
    assert [one["name"] for one in typed.json("token", "list")["tokens"]] == ["old"]
    (tmp_path / "elsewhere").mkdir()
    other = Command(tmp_path / "elsewhere", BATCHWRIGHT_POSTGRES_URL=postgres.url)
    assert [one["name"] for one in other.json("token", "list")["tokens"]] == ["old"]
