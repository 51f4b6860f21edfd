"""Who may do what: without tokens only this machine, with tokens by role, and everything that changes is recorded."""

from __future__ import annotations

import asyncio
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from batchwright.api.server import ServeOptions, listening
from batchwright.app.settings import Settings
from batchwright.app.tokens import Role, Tokens
from batchwright.errors import AddressRefused, TokensUnreadable, Unauthorized, UsageError
from tests.serving import RUNS, serving, workflow

NOW = 1_000.0


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:9090"}, 200),
        ({"Host": "[::1]:9090"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example"}, 403),
        ({"Host": "127.0.0.1", "Origin": "http://127.0.0.1"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "localhost:1", "Origin": "http://localhost:2"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Host": "["}, 403),
    ],
)
def test_without_tokens_only_this_machine_and_its_own_pages_are_answered(
    headers: dict[str, str], status: int, tmp_path: Path
) -> None:
    async def main() -> int:
        async with serving(tmp_path) as service:
            answer = await service.post(f"{RUNS}/validate", json=workflow(), headers=headers)
            return answer.status

    assert asyncio.run(main()) == status


def test_roles(tmp_path: Path) -> None:
    tokens = Tokens(Settings(tmp_path))
    secrets = {role: tokens.create(role, role, NOW, None)[1] for role in Role}

    async def main() -> dict[str, list[int]]:
        seen = {}
        async with serving(tmp_path) as service:
            for who in ("", "bw_wrong", *secrets.values()):
                headers = {"Authorization": f"Bearer {who}"} if who else {}
                seen[who] = [
                    (await service.get("/health/live", headers=headers)).status,
                    (await service.get(RUNS, headers=headers)).status,
                    (await service.post(f"{RUNS}/submit?simulate=true", json=workflow(), headers=headers)).status,
                ]
        return seen

    seen = asyncio.run(main())
    assert seen[""] == [200, 401, 401]
    assert seen["bw_wrong"] == [401, 401, 401]
    assert seen[secrets[Role.VIEWER]] == [200, 200, 403]
    assert seen[secrets[Role.OPERATOR]] == [200, 200, 202]
    assert seen[secrets[Role.ADMIN]] == [200, 200, 202]


def test_the_first_token_closes_a_service_that_runs_and_a_revoked_one_is_refused_at_once(tmp_path: Path) -> None:
    tokens = Tokens(Settings(tmp_path))

    async def main() -> list[int]:
        async with serving(tmp_path) as service:
            seen = [(await service.get(RUNS)).status]
            made, secret = tokens.create("ci", Role.VIEWER, NOW, None)
            headers = {"Authorization": f"Bearer {secret}"}
            seen += [(await service.get(RUNS)).status, (await service.get(RUNS, headers=headers)).status]
            tokens.revoke(made.id, NOW)
            return [*seen, (await service.get(RUNS, headers=headers)).status]

    assert asyncio.run(main()) == [200, 401, 200, 401]


def test_tokens_are_kept_as_hashes_in_a_private_file_and_expire(tmp_path: Path) -> None:
    tokens = Tokens(Settings(tmp_path))
    made, secret = tokens.create("ci", Role.OPERATOR, NOW, 60.0)
    file = tmp_path / "tokens.json"
    assert secret not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert tokens.of(secret, NOW + 59) == made
    with pytest.raises(Unauthorized, match="expired"):
        tokens.of(secret, NOW + 60)
    with pytest.raises(UsageError, match="already"):
        tokens.create("ci", Role.VIEWER, NOW, None)
    with pytest.raises(UsageError, match="no token"):
        tokens.revoke("other", NOW)


@pytest.mark.parametrize("harm", ["mode", "content"])
def test_a_token_file_that_cannot_be_trusted_opens_nothing(harm: str, tmp_path: Path) -> None:
    tokens = Tokens(Settings(tmp_path))
    tokens.create("ci", Role.VIEWER, NOW, None)
    file = tmp_path / "tokens.json"
    if harm == "mode":
        file.chmod(0o644)
        os.utime(file, (1, 1))
    else:
        file.write_text("[]]")
    with pytest.raises(TokensUnreadable):
        tokens.all()

    async def main() -> int:
        async with serving(tmp_path) as service:
            return (await service.get(RUNS)).status

    assert asyncio.run(main()) == 500


def test_elsewhere_is_listened_on_only_with_a_token(tmp_path: Path) -> None:
    settings, options = Settings(tmp_path), ServeOptions("0.0.0.0", 0)
    with pytest.raises(AddressRefused, match=r"not on 0\.0\.0\.0"):
        listening(settings, options)


def test_an_address_that_is_taken_is_told(tmp_path: Path) -> None:
    settings = Settings(tmp_path)
    first = listening(settings, ServeOptions(port=0))
    first.listen()
    with first, pytest.raises(AddressRefused, match="cannot listen"):
        listening(settings, ServeOptions(port=first.getsockname()[1]))


def test_every_change_is_recorded_with_who_and_what_came_of_it(tmp_path: Path) -> None:
    secret = Tokens(Settings(tmp_path)).create("ada", Role.OPERATOR, NOW, None)[1]
    headers = {"Authorization": f"Bearer {secret}"}

    async def main() -> Any:
        async with serving(tmp_path) as service:
            answer = await service.post(f"{RUNS}/submit?simulate=true", json=workflow(), headers=headers)
            await service.post(f"{RUNS}/zzzz/pause", headers=headers)
            await service.post(f"{RUNS}/validate", json=workflow(), headers=headers)
            await service.get(RUNS, headers=headers)
            return answer.json

    run = asyncio.run(main())["run"]
    file = tmp_path / "audit.jsonl"
    deeds = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(one["who"], one["role"], one["run"], one["status"], one["code"]) for one in deeds] == [
        ("ada", "operator", run, 202, ""),
        ("ada", "operator", "zzzz", 404, "run-not-found"),
    ]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert secret not in file.read_text()
