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
from batchwright.app.access_tokens import AccessToken, Tokens
from batchwright.app.settings import Settings
from batchwright.errors import AddressRefused, AuditUnwritable, TokensUnreadable, Unauthorized, UsageError
from batchwright.model.role import Role
from batchwright.service.peer_credentials import is_loopback
from tests.support.needs import missing
from tests.support.service_in_loop import RUNS, serving, workflow

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
                    (
                        await service.post(
                            f"{RUNS}/submit?simulate=true", json=workflow(f"of{len(seen)}"), headers=headers
                        )
                    ).status,
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


async def _raw(url: str, *lines: str) -> int:
    """The status of a request that is written by hand."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    writer.write("".join(f"{line}\r\n" for line in (*lines, "Connection: close", "")).encode())
    answer = await reader.read()
    writer.close()
    return int(answer.split()[1])


HARMS: dict[str, Any] = {
    "gone": lambda file: file.unlink(),
    "none": lambda file: file.write_text("[]"),
    "broken": lambda file: file.write_text("[]]"),
    "dangling": lambda file: (file.unlink(), file.symlink_to("nowhere")),
    "loop": lambda file: (file.unlink(), file.symlink_to(file.name)),
    "readable": lambda file: file.chmod(0o644),
    "foreign": lambda file: os.chown(file, 4242, 4242),
    "moved": lambda file: file.parent.rename(file.parent.with_name("away")),
    "folder": lambda file: (file.unlink(), file.mkdir()),
}


@pytest.mark.parametrize("harm", HARMS)
def test_a_service_that_had_tokens_stays_closed_whatever_becomes_of_the_file(harm: str, tmp_path: Path) -> None:
    """A2: no token is accepted any more, nobody becomes an administrator, and no path is shown to strangers."""
    if harm == "foreign" and os.geteuid() != 0:
        missing("only root can give a file to somebody else")
    state = tmp_path / "state"
    secret = Tokens(Settings(state)).create("ci", Role.ADMIN, NOW, None)[1]

    async def main() -> list[Any]:
        async with serving(state) as service:
            own = {"Authorization": f"Bearer {secret}"}
            before = await service.get("/health/ready", headers=own)
            HARMS[harm](state / "tokens.json")
            seen = [await service.get(RUNS), await service.get(RUNS, headers={"Host": "localhost"})]
            seen += [await service.get(RUNS, headers=own), await service.get("/health/live")]
            if harm == "moved":
                state.with_name("away").rename(state)
            return [before, *seen]

    before, plain, local, token, live = asyncio.run(main())
    assert (before.status, plain.status, local.status, live.status) == (200, 401, 401, 200)
    assert token.status in (401, 503)
    assert all(str(tmp_path) not in one.body.decode() for one in (plain, local, token))


@pytest.mark.parametrize("harm", ["none", "broken", "dangling", "readable"])
def test_a_file_of_tokens_that_cannot_be_trusted_opens_nothing(harm: str, tmp_path: Path) -> None:
    """A2: also where it is like that from the beginning; only an empty one says that there are no tokens."""
    Tokens(Settings(tmp_path)).create("ci", Role.VIEWER, NOW, None)
    HARMS[harm](tmp_path / "tokens.json")
    if harm != "none":
        with pytest.raises(TokensUnreadable):
            listening(Settings(tmp_path), ServeOptions(port=0))

    async def main() -> int:
        async with serving(tmp_path) as service:
            return (await service.get(RUNS)).status

    assert asyncio.run(main()) == (200 if harm == "none" else 401)


def test_a_service_that_listens_elsewhere_too_is_closed_from_the_beginning(tmp_path: Path) -> None:
    """A2: for such a one `Host: localhost` and the peer's own address prove nothing."""

    async def main() -> list[int]:
        async with serving(tmp_path, closed=True) as service:
            return [(await service.get(RUNS)).status, (await service.get(RUNS, headers={"Host": "localhost"})).status]

    assert asyncio.run(main()) == [401, 401]


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
def test_a_state_folder_that_others_can_write_is_not_served(mode: int, tmp_path: Path) -> None:
    """A2: who can write it can put tokens and plans into it."""
    tmp_path.chmod(mode)
    with pytest.raises(AddressRefused, match="others can write to"):
        listening(Settings(tmp_path), ServeOptions(port=0))


@pytest.mark.parametrize("host", ["127.1", "localhost", "::1", "127.0.0.2"])
def test_what_is_this_machine_is_known_by_the_address_that_is_listened_on(host: str, tmp_path: Path) -> None:
    """A2: names and short forms of addresses are looked up first."""
    with listening(Settings(tmp_path), ServeOptions(host, 0)) as sock:
        assert is_loopback(sock.getsockname()[0])


def test_headers_that_are_given_twice_decide_nothing(tmp_path: Path) -> None:
    """A2, A5: no second Host or Authorization is looked for, and none of a proxy is believed."""
    secret = Tokens(Settings(tmp_path / "closed")).create("ci", Role.ADMIN, NOW, None)[1]

    async def main() -> list[int]:
        async with serving(tmp_path / "closed") as service:
            first = f"GET {RUNS} HTTP/1.1", "Host: localhost"
            right, wrong = f"Authorization: Bearer {secret}", "Authorization: Bearer bw_wrong"
            seen = [await _raw(service.url, *first, *more) for more in ((right,), (wrong, right), (right, wrong))]
            seen.append(await _raw(service.url, *first, f"Authorization: Bearer {secret.swapcase()}"))
            seen.append(await _raw(service.url, *first, f"Authorization: bEaReR {secret}"))
            seen.append(await _raw(service.url, *first, "X-Forwarded-For: 127.0.0.1", "Forwarded: for=127.0.0.1"))
        async with serving(tmp_path / "open") as service:
            seen.append(await _raw(service.url, f"GET {RUNS} HTTP/1.1", "Host: localhost", "Host: evil.example"))
            seen.append(await _raw(service.url, "GET //v1/workflows/batch HTTP/1.1", "Host: evil.example"))
            seen.append(await _raw(service.url, f"GET http://evil.example{RUNS} HTTP/1.1", "Host: evil.example"))
        return seen

    assert asyncio.run(main()) == [200, 403, 403, 401, 200, 401, 400, 403, 403]


def test_a_stream_ends_when_its_token_is_revoked(tmp_path: Path) -> None:
    """A2: an admitted caller stays admitted until the token goes."""
    tokens = Tokens(Settings(tmp_path))
    made, secret = tokens.create("ci", Role.OPERATOR, NOW, None)
    own = {"Authorization": f"Bearer {secret}"}

    async def main() -> bytes:
        async with serving(tmp_path) as service:
            sim = [("simulate", "true"), ("sim", "answer_seconds=3600")]
            told = await service.post(f"{RUNS}/submit", params=sim, json=workflow(), headers=own)
            path = f"{service.url}{RUNS}/{told.json['run']}/progress"
            async with service.session.get(path, headers={**own, "Accept": "text/event-stream"}) as stream:
                await stream.content.readany()
                tokens.revoke(made.id, NOW)
                return await stream.content.read()

    last = asyncio.run(main()).decode()
    assert "event: problem" in last
    assert "unauthorized" in last


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


@pytest.mark.parametrize("name", ["local", "nobody", "", "a b", "x\u202ey", "a\x1b[31m", "a\nb", "-x", "a" * 65])
def test_a_token_is_named_by_a_plain_word_that_nobody_else_has(name: str, tmp_path: Path) -> None:
    """A8: the audit trail has `local` and `nobody` for who has no token, and a name is shown as it is."""
    tokens = Tokens(Settings(tmp_path))
    with pytest.raises(UsageError, match="is not a valid token name"):
        tokens.create(name, Role.VIEWER, NOW, None)
    assert tokens.all() == ()


def test_a_token_that_cannot_be_written_into_the_trail_is_not_made_or_revoked(tmp_path: Path) -> None:
    """A8: every change is one whole line, or it fails before anything is changed."""
    tokens = Tokens(Settings(tmp_path))

    def record(_: AccessToken) -> None:
        raise AuditUnwritable("the disk is full")

    with pytest.raises(AuditUnwritable):
        tokens.create("ci", Role.VIEWER, NOW, None, record)
    assert tokens.all() == ()
    tokens.create("ci", Role.VIEWER, NOW, None)
    with pytest.raises(AuditUnwritable):
        tokens.revoke("ci", NOW, record)
    assert tokens.valid(NOW) == 1


def test_a_pipe_in_the_place_of_the_tokens_stalls_nobody(tmp_path: Path) -> None:
    """A2, B3: it is refused at once, and nobody gets in."""
    tokens = Tokens(Settings(tmp_path))
    _, secret = tokens.create("ci", Role.ADMIN, NOW, None)
    (tmp_path / "tokens.json").unlink()
    os.mkfifo(tmp_path / "tokens.json", 0o600)
    with pytest.raises(TokensUnreadable, match="not a regular file"):
        tokens.of(secret, NOW)
