"""A browser signs in with a code or a token, and its session ends with the token."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from batchwright.app.access_tokens import Tokens
from batchwright.app.browser_sessions import CODE_SECONDS, SESSION_SECONDS, BrowserGrant, BrowserSessions
from batchwright.app.settings import Settings
from batchwright.app.system_clock import SystemClock
from batchwright.model.role import Role
from tests.support.service_in_loop import RUNS, Answer, Serving, serving, workflow

NOW = SystemClock().now()


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def cookie(answer: Answer) -> dict[str, str]:
    """The header that sends back what an answer set."""
    return {"Cookie": answer.headers["set-cookie"].partition(";")[0]}


async def signed_in(service: Serving, secret: str) -> dict[str, str]:
    code = (await service.post("/session/code", headers=bearer(secret))).json["code"]
    answer = await service.post("/session", json={"code": code})
    assert answer.status == 200, answer.body
    assert "HttpOnly" in answer.headers["set-cookie"]
    assert "SameSite=Strict" in answer.headers["set-cookie"]
    return cookie(answer)


def test_a_code_signs_in_once_with_the_tokens_role_and_revoking_the_token_ends_it(tmp_path: Path) -> None:
    tokens = Tokens(Settings(tmp_path))
    _, secret = tokens.create("grafana", Role.VIEWER, NOW, None)

    async def main() -> None:
        async with serving(tmp_path) as service:
            code = (await service.post("/session/code", headers=bearer(secret))).json["code"]
            first = await service.post("/session", json={"code": code})
            assert first.json == {
                "name": "grafana", "role": "viewer", "signed_in": True, "submits_simulated": False,
            }  # fmt: skip
            assert (await service.post("/session", json={"code": code})).status == 401
            browser = cookie(first)
            assert (await service.get(RUNS, headers=browser)).status == 200
            same = {**browser, "Sec-Fetch-Site": "same-origin"}
            assert (await service.post(f"{RUNS}/submit", json=workflow(), headers=same)).status == 403
            tokens.revoke("grafana", NOW)
            assert (await service.get(RUNS, headers=browser)).status == 401

    asyncio.run(main())


def test_a_token_signs_in_too_and_signing_out_ends_the_session(tmp_path: Path) -> None:
    _, secret = Tokens(Settings(tmp_path)).create("ops", Role.OPERATOR, NOW, None)

    async def main() -> None:
        async with serving(tmp_path) as service:
            assert (await service.post("/session", json={"token": "bw_wrong"})).status == 401
            answer = await service.post("/session", json={"token": secret})
            browser = {**cookie(answer), "Sec-Fetch-Site": "same-origin", "Content-Type": "application/json"}
            assert (await service.get("/session", headers=browser)).json["name"] == "ops"
            assert (await service.ask("DELETE", "/session", headers=browser)).status == 200
            assert (await service.get("/session", headers=browser)).status == 401

    asyncio.run(main())


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, 202),
        ({"Sec-Fetch-Site": "same-origin", "Host": "inner:1", "Origin": "https://batch.example"}, 202),  # by a proxy
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Host": "batch.example", "Origin": "https://batch.example"}, 202),
        ({"Host": "batch.example", "Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({}, 403),
        ({"Sec-Fetch-Site": "same-origin", "Content-Type": "text/plain"}, 403),
        ({"Sec-Fetch-Site": "same-origin", "Content-Type": "application/x-www-form-urlencoded; a=b"}, 403),
    ],
)
def test_only_pages_of_the_service_change_something_with_its_session(
    headers: dict[str, str], status: int, tmp_path: Path
) -> None:
    _, secret = Tokens(Settings(tmp_path)).create("ops", Role.OPERATOR, NOW, None)

    async def main() -> int:
        async with serving(tmp_path) as service:
            browser = await signed_in(service, secret)
            query = {"simulate": "true"}
            answer = await service.post(f"{RUNS}/submit", json=workflow(), params=query, headers={**browser, **headers})
            return answer.status

    assert asyncio.run(main()) == status


def test_without_tokens_nobody_signs_in(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path, address="http://here:1") as service:
            assert (await service.post("/session/code")).json == {"url": "http://here:1", "code": "", "seconds": 0.0}
            assert (await service.get("/session")).json["signed_in"] is False

    asyncio.run(main())


def test_what_is_kept_signs_nobody_in_and_everything_ends(tmp_path: Path) -> None:
    sessions = BrowserSessions(Settings(tmp_path))
    code = sessions.code(BrowserGrant("t1"), 0.0)
    assert sessions.take(code, CODE_SECONDS) is None
    secret = sessions.begin(BrowserGrant("t1"), 0.0)
    kept = (tmp_path / "sessions.json").read_text()
    assert secret not in kept
    found = BrowserSessions(Settings(tmp_path)).of(secret, SESSION_SECONDS - 1)  # after a restart too
    assert found is not None
    assert found.grant.token == "t1"
    assert sessions.of(secret, SESSION_SECONDS) is None
    assert not sessions.holds(found.id, SESSION_SECONDS)
