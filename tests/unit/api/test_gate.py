"""Before and after every request: its line in the audit trail, and the headers of its answer."""

from __future__ import annotations

import asyncio
import base64
import errno
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from batchwright.api.security_headers import SAFE, page_policy
from batchwright.app.access_tokens import Tokens
from batchwright.app.settings import Settings
from batchwright.model.role import Role
from batchwright.service import audit
from batchwright.service.security_summary import SecuritySummary
from tests.support.service_in_loop import RUNS, Serving, serving, workflow


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "audit.jsonl").read_text().splitlines()]


async def raw(service: Serving, said: bytes) -> bytes:
    """The whole answer to bytes, after which nothing more is sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(service.url.rpartition(":")[2]))
    writer.write(said)
    answer = await reader.read()
    writer.close()
    return answer


def test_every_answer_has_the_headers_that_keep_pages_apart(tmp_path: Path) -> None:
    """A7: refusals, errors, what is no path, what is no HTTP, and the pages too."""

    async def main() -> list[bytes]:
        async with serving(tmp_path) as service:
            host = b"Host: localhost\r\nConnection: close\r\n\r\n"
            paths = (RUNS, "/docs", "/openapi.json", "/health", "/metrics", "/nowhere", f"{RUNS}/zzzz", "/health/live")
            asked = [b"GET %b HTTP/1.1\r\n%b" % (path.encode(), host) for path in paths]
            asked += [b"%b %b HTTP/1.1\r\n%b" % (verb, RUNS.encode(), host) for verb in (b"HEAD", b"OPTIONS", b"PUT")]
            asked += [b"GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n", b"nonsense\r\n\r\n"]
            asked += [b"POST %b/submit HTTP/1.1\r\n%b" % (RUNS.encode(), host)]
            asked += [b"GET / HTTP/1.1\r\nX: %b\r\n%b" % (b"x" * 60_000, host)]
            return [await raw(service, one) for one in asked]

    for answer in asyncio.run(main()):
        head = answer.partition(b"\r\n\r\n")[0].lower()
        for name, _ in SAFE:
            assert head.count(name + b": ") == 1, answer[:400]


@pytest.mark.parametrize("path", ["", "/swagger", "/redoc", "/elements", "/rapidoc", "/openapi.yaml", "/scalar"])
def test_there_are_no_pages_with_scripts_of_others(path: str, tmp_path: Path) -> None:
    """A7: the framework would add them."""

    async def main() -> list[int]:
        async with serving(tmp_path) as service:
            return [(await service.get(base + path)).status for base in ("/openapi", "/schema")]

    assert asyncio.run(main()) == [404, 404]


def test_our_own_page_runs_only_its_own_script() -> None:
    """A7: by its hash, so that nothing that is written into it runs."""
    page = b"<style>a</style><script>one()</script><p onclick='x'><script>two()</script>"
    policy = page_policy(page)
    for script in (b"one()", b"two()"):
        assert f"'sha256-{base64.b64encode(hashlib.sha256(script).digest()).decode()}'" in policy
    assert "unsafe" not in policy
    assert re.search("default-src 'none'", policy)


def test_each_change_asked_for_is_one_line_refused_ones_too(tmp_path: Path) -> None:
    """A8: 401, 403, 404, 405, 422 and what was done, with the parameters."""
    tokens = Tokens(Settings(tmp_path))
    viewer, operator = (tokens.create(role, role, 0.0, None)[1] for role in (Role.VIEWER, Role.OPERATOR))

    async def main() -> str:
        async with serving(tmp_path) as service:

            async def post(path: str, secret: str, **how: Any) -> Any:
                headers = {"Authorization": f"Bearer {secret}"} if secret else {}
                return await service.post(path, headers=headers, **how)

            await post(f"{RUNS}/submit?simulate=true", "", json=workflow())
            await post(f"{RUNS}/submit", "bw_wrong", json=workflow())
            await post(f"{RUNS}/latest/cancel?force=true&note=hush", viewer)
            await post(f"{RUNS}/submit", operator, json={"batch_workflow": {}})
            await post(f"{RUNS}/zzzz/rollback", operator)
            await post("/nowhere", operator)
            await service.ask("DELETE", f"{RUNS}/zzzz", headers={"Authorization": f"Bearer {operator}"})
            done = await post(f"{RUNS}/submit?simulate=true&sim=time_scale=0", operator, json=workflow())
            await post(f"{RUNS}/validate", operator, json=workflow())
            await service.get(RUNS, headers={"Authorization": f"Bearer {operator}"})
            return str(done.json["run"])

    run = asyncio.run(main())
    found = [(one["who"], one["status"], one["code"], one["query"]) for one in lines(tmp_path)]
    assert found == [
        ("nobody", 401, "unauthorized", "simulate=true"),
        ("nobody", 401, "unauthorized", ""),
        ("viewer", 403, "forbidden", "force=true&note=..."),
        ("operator", 422, "workflow-invalid", ""),
        ("operator", 404, "run-not-found", ""),
        ("operator", 404, "no-such-resource", ""),
        ("operator", 405, "method-not-allowed", ""),
        ("operator", 202, "", "simulate=true&sim=time_scale=0"),
    ]
    assert lines(tmp_path)[-1]["run"] == run


def test_what_cannot_be_written_down_is_not_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A8: the line comes before the act."""

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    async def main() -> tuple[Any, Any]:
        async with serving(tmp_path) as service:
            with monkeypatch.context() as patched:
                patched.setattr(audit, "_write", full)
                answer = await service.submit(workflow())
            return answer, (await service.get(RUNS)).json["items"]

    answer, runs = asyncio.run(main())
    assert (answer.status, answer.json["code"], runs) == (503, "audit-unwritable", [])
    assert str(tmp_path) not in answer.body.decode()
    assert (tmp_path / "audit.jsonl").read_bytes() == b""


def test_a_client_that_leaves_is_no_bug(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A8: it has its line, and the log no trace."""

    async def main() -> None:
        async with serving(tmp_path) as service:
            _, writer = await asyncio.open_connection("127.0.0.1", int(service.url.rpartition(":")[2]))
            head = f"POST {RUNS}/submit HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            writer.write(f"{head}Content-Length: 500\r\n\r\n{{".encode())
            while not (tmp_path / "audit.jsonl").exists() or not (tmp_path / "audit.jsonl").stat().st_size:
                await asyncio.sleep(0.01)
            writer.close()
            while not lines(tmp_path)[0]["status"]:
                await asyncio.sleep(0.01)

    asyncio.run(main())
    assert [(one["status"], one["code"]) for one in lines(tmp_path)] == [(499, "client-gone")]
    assert not [one for one in caplog.records if one.levelname == "ERROR"]


def test_strangers_cannot_fill_the_disk_with_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A8: beyond a rate they are refused without one; nothing is done for them either way."""
    monkeypatch.setattr("batchwright.api.admission_control.STRANGERS_BURST", 3)
    monkeypatch.setattr("batchwright.api.admission_control.STRANGERS_RATE", 0.001)
    Tokens(Settings(tmp_path)).create("ci", Role.VIEWER, 0.0, None)

    async def main() -> list[int]:
        async with serving(tmp_path) as service:
            return [(await service.post(f"{RUNS}/zzzz/cancel")).status for _ in range(5)]

    assert asyncio.run(main()) == [401, 401, 401, 429, 429]
    assert len(lines(tmp_path)) == 3


def test_viewers_cannot_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A8: a viewer may change nothing, and a full disk would keep everybody else from changing anything."""
    monkeypatch.setattr("batchwright.api.admission_control.STRANGERS_BURST", 3)
    monkeypatch.setattr("batchwright.api.admission_control.STRANGERS_RATE", 0.001)
    tokens = Tokens(Settings(tmp_path))
    viewer, operator = (
        {"Authorization": f"Bearer {tokens.create(role, role, 0.0, None)[1]}"} for role in (Role.VIEWER, Role.OPERATOR)
    )

    async def main() -> list[int]:
        async with serving(tmp_path) as service:
            asked = [*[viewer] * 5, *[operator] * 5]
            return [(await service.post(f"{RUNS}/zzzz/cancel", headers=who)).status for who in asked]

    assert asyncio.run(main()) == [403, 403, 403, 429, 429, *[404] * 5]
    assert len(lines(tmp_path)) == 8


def test_websockets_are_closed(tmp_path: Path) -> None:
    """A2, A7: there are none: the request is answered like any other, headers included."""

    async def main() -> bytes:
        async with serving(tmp_path) as service:
            upgrade = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            key = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            return await raw(service, b"GET %b HTTP/1.1\r\nHost: localhost\r\n%b%b" % (RUNS.encode(), upgrade, key))

    answer = asyncio.run(main())
    assert answer.split()[1] == b"200"
    assert b"content-security-policy" in answer.lower()


def test_what_is_allowed_is_shown(tmp_path: Path) -> None:
    """Who may do what stands in `health`, for those who may look."""

    async def main() -> list[Any]:
        async with serving(tmp_path, commands=True) as service:
            before = (await service.get("/health")).json["access"]
            secret = Tokens(Settings(tmp_path)).create("ci", Role.VIEWER, 0.0, None)[1]
            after = await service.get("/health", headers={"Authorization": f"Bearer {secret}"})
            return [before, after.json["access"]]

    before, after = asyncio.run(main())
    assert (before["tokens"], before["commands"]) == (0, "over its own socket")
    assert (after["tokens"], after["without_token"]) == (1, "only over its own socket")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            SecuritySummary(),
            "tokens: none; without a token: nobody; commands: refused; secrets from clients: refused",
        ),
        (SecuritySummary(2, commands="over its own socket, or with a token"), "tokens: 2"),
        (SecuritySummary(-1), "tokens: cannot be read"),
        (
            SecuritySummary(confined="no: Landlock is missing"),
            "untrusted evaluation confined: no: Landlock is missing",
        ),
    ],
)
def test_a_service_says_in_one_line_who_may_do_what(given: SecuritySummary, words: str) -> None:
    """Nothing of it has to be guessed."""
    assert words in given.line()
    assert "\n" not in given.line()


def test_user_data_is_not_shown_over_http(tmp_path: Path) -> None:
    """A11: neither in pages of events nor in the live stream, nor in any other answer about the run."""
    definition = workflow()
    definition["batch_workflow"]["operations"][0]["server_configs"][0]["user_data"] = "#!/bin/sh\necho canary-secret\n"

    async def main() -> list[bytes]:
        async with serving(tmp_path) as service:
            run = (await service.submit(definition)).json["run"]
            await service.until(run, "Completed")
            paths = ("", "/events", "/logs", "/progress", "/servers", "/explain?step=0000", "/rollback")
            seen = [(await service.get(f"{RUNS}/{run}{path}")).body for path in paths]
            stream = {"Accept": "text/event-stream", "Last-Event-ID": "0"}
            return [*seen, (await service.get(f"{RUNS}/{run}/progress", headers=stream)).body]

    answers = asyncio.run(main())
    assert not [one for one in answers if b"canary-secret" in one]
    assert sum(b"29 bytes, sha256" in one for one in answers) == 2


@pytest.mark.parametrize(
    "framing", [b"Transfer-Encoding: chunked\r\nContent-Length: 5", b"content-length: 5\r\nTRANSFER-ENCODING: chunked"]
)
def test_a_body_whose_length_is_told_in_two_ways_is_the_last(framing: bytes, tmp_path: Path) -> None:
    """A7: a proxy in front may see another request begin in it; none of what follows is answered."""
    chunks = b"0\r\n\r\nGET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"

    async def main() -> bytes:
        async with serving(tmp_path) as service:
            head = b"POST %b/validate HTTP/1.1\r\nHost: localhost\r\n%b\r\n\r\n" % (RUNS.encode(), framing)
            return await raw(service, head + chunks)

    answer = asyncio.run(main())
    assert answer.split()[1] == b"400"
    assert answer.count(b"HTTP/1.1") == 1
    assert b"connection: close" in answer.lower()


def test_a_body_in_an_encoding_is_refused(tmp_path: Path) -> None:
    """C2: what a header says of the body is not ignored."""

    async def main() -> list[int]:
        async with serving(tmp_path) as service:
            return [
                (await service.post(f"{RUNS}/validate", json=workflow(), headers={"Content-Encoding": coding})).status
                for coding in ("identity", "x-none")
            ]

    assert asyncio.run(main()) == [200, 415]
