"""The Hetzner adapter against the emulated Hetzner: names, refusals, the run's key, and what a project is called."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from tests.support.emulated import RunningHetzner

from batchwright.app.system_clock import SystemClock
from batchwright.emulators.hetzner import HetznerBehaviour
from batchwright.errors import ProviderUnavailable, UsageError
from batchwright.fault_injection.draw import NOTHING
from batchwright.model.call_outcome import Created, Rejected, ServerState, Unknown
from batchwright.model.fault import FaultClass
from batchwright.model.ids import Token, run_id, step_token
from batchwright.model.workflow import ServerConfig
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.hetzner import Hetzner
from batchwright.providers.hetzner.faults import REFUSALS
from batchwright.providers.hetzner.settings import HetznerSettings, project_of
from batchwright.providers.http import HttpReply

T = TypeVar("T")
RUN = run_id(b"a test of hetzner")
SCALE = 0.001


def token(name: str, generation: int = 0) -> Token:
    return Token(RUN, step_token(RUN, name, generation))


def visit(
    folder: Path,
    scenario: Callable[[Hetzner], Awaitable[T]],
    behaviour: HetznerBehaviour | None = None,
    before: Callable[[Any], object] = lambda _: None,
    **settings: Any,
) -> T:
    """Run a scenario with an open client of an emulated project."""

    async def main(environ: dict[str, str]) -> T:
        told = {"state_dir": str(folder), "settle_seconds": 0, "poll_seconds": 0.05, **settings}
        provider = Hetzner("hetzner", SystemClock(), told, environ)
        await provider.open()
        try:
            return await scenario(provider)
        finally:
            await provider.aclose()

    with RunningHetzner(behaviour or HetznerBehaviour(time_scale=SCALE)) as running:
        before(running.emulator.account)
        return asyncio.run(main(running.environ))


async def request(provider: Hetzner, name: str = "web") -> ServerRequest:
    (found,) = await provider.resolve([ServerConfig(name, "cx23", "fsn1")])
    assert isinstance(found, ServerRequest), found
    return found


def a_namesake(account: Any) -> None:
    asked = {"name": "web", "server_type": "cx23", "location": "fsn1", "image": 114690387, "labels": {"own": "er"}}
    account.make("servers", asked, NOTHING)


def test_a_name_that_somebody_elses_server_has_is_refused_when_planning(tmp_path: Path) -> None:
    async def scenario(provider: Hetzner) -> list[str]:
        (found,) = await provider.resolve([ServerConfig("web", "cx23", "fsn1")])
        assert isinstance(found, list)
        return [problem.code for problem in found]

    assert visit(tmp_path, scenario, before=a_namesake) == ["name-taken"]


def test_a_namesake_that_came_after_the_plan_is_never_taken(tmp_path: Path) -> None:
    accounts: list[Any] = []

    async def scenario(provider: Hetzner) -> object:
        asked = await request(provider)
        a_namesake(accounts[0])
        return await provider.create(asked, token("web"))

    answer = visit(tmp_path, scenario, before=accounts.append)
    assert isinstance(answer, Rejected)
    assert answer.fault.kind is FaultClass.CONFLICT
    assert "remove that server" in answer.fault.hint


def test_a_name_that_another_run_has_taken_is_told_with_that_run(tmp_path: Path) -> None:
    async def scenario(provider: Hetzner) -> object:
        asked = await request(provider)
        assert isinstance(await provider.create(asked, Token("aaaaaaaaaaaa", "theirs")), Created)
        return await provider.create(asked, token("web"))

    answer = visit(tmp_path, scenario)
    assert isinstance(answer, Rejected)
    assert (answer.fault.kind, answer.fault.code) == (FaultClass.CONFLICT, "server-exists")
    assert "aaaaaaaaaaaa" in answer.fault.message


def test_the_same_token_gets_the_server_that_it_made(tmp_path: Path) -> None:
    async def scenario(provider: Hetzner) -> tuple[object, object, object]:
        asked = await request(provider)
        first, again = [await provider.create(asked, token("web")) for _ in range(2)]
        assert isinstance(first, Created)
        await provider.destroy(first.ref)
        return first, again, await provider.create(asked, token("web", 1))

    first, again, next_one = visit(tmp_path, scenario, HetznerBehaviour(time_scale=SCALE, delete_seconds=600_000))
    assert first == again
    assert isinstance(next_one, Rejected)
    assert next_one.fault.kind is FaultClass.BUSY, "the name is free again when the server has gone"


def test_a_name_taken_by_what_is_not_visible_yet_is_in_doubt(tmp_path: Path) -> None:
    async def scenario(provider: Hetzner) -> object:
        asked = await request(provider)
        await provider.create(asked, token("web"))
        return await provider.create(asked, token("web"))

    assert isinstance(visit(tmp_path, scenario, HetznerBehaviour(time_scale=SCALE, list_lag=600_000)), Unknown)


@pytest.mark.parametrize(
    ("behaviour", "kind"),
    [
        (HetznerBehaviour(read_only=True), FaultClass.AUTH),
        (HetznerBehaviour(throttle=1.0, retry_after=7), FaultClass.THROTTLE),
        (HetznerBehaviour(lost_answers=1.0), FaultClass.TRANSIENT),  # of the key: no server was asked for
    ],
)
def test_without_the_runs_key_no_server_is_asked_for(
    behaviour: HetznerBehaviour, kind: FaultClass, tmp_path: Path
) -> None:
    async def scenario(provider: Hetzner) -> object:
        return await provider.create(await request(provider), token("web"))

    answer = visit(tmp_path, scenario, behaviour)
    assert isinstance(answer, Rejected)
    assert answer.fault.kind is kind
    assert answer.fault.retry_after == (7.0 if kind is FaultClass.THROTTLE else None)


def test_limits_are_told_as_what_they_are(tmp_path: Path) -> None:
    async def scenario(provider: Hetzner) -> FaultClass:
        await provider.create(await request(provider, "one"), token("one"))
        answer = await provider.create(await request(provider, "two"), token("two"))
        assert isinstance(answer, Rejected)
        return answer.fault.kind

    assert visit(tmp_path, scenario, HetznerBehaviour(quota_servers=1)) is FaultClass.QUOTA
    assert visit(tmp_path, scenario, HetznerBehaviour(capacity=1)) is FaultClass.CAPACITY


def test_a_key_that_was_taken_away_is_made_again(tmp_path: Path) -> None:
    accounts: list[Any] = []

    async def scenario(provider: Hetzner) -> tuple[object, object]:
        asked = await request(provider)
        await provider.create(await request(provider, "other"), token("other"))
        for key in accounts[0].all("ssh_keys"):
            accounts[0].delete("ssh_keys", key)
        return await provider.create(asked, token("web")), await provider.create(asked, token("web"))

    refused, made = visit(tmp_path, scenario, before=accounts.append)
    assert isinstance(refused, Rejected)
    assert refused.fault.kind is FaultClass.TRANSIENT
    assert isinstance(made, Created)


def test_what_is_not_batchwrights_is_left_alone(tmp_path: Path) -> None:
    accounts: list[Any] = []

    async def scenario(provider: Hetzner) -> object:
        a_namesake(accounts[0])
        assert await provider.find() == []
        return await provider.destroy(str(accounts[0].all("servers")[0].id))

    answer = visit(tmp_path, scenario, before=accounts.append)
    assert isinstance(answer, Rejected)
    assert answer.fault.kind is FaultClass.CONFLICT


def test_a_server_is_reached_with_the_host_key_it_was_given(tmp_path: Path) -> None:
    accounts: list[Any] = []

    async def scenario(provider: Hetzner) -> tuple[str, str]:
        made = await provider.create(await request(provider), token("web"))
        assert isinstance(made, Created)
        while (await provider.describe([made.ref]))[made.ref].state is not ServerState.READY:
            await asyncio.sleep(0.01)
        way = (await provider.access([made.ref]))[made.ref]
        return way.host_keys[0], accounts[0].all("servers")[0].asked["user_data"]

    shown, user_data = visit(tmp_path, scenario, before=accounts.append)
    assert shown in user_data


def test_a_project_is_called_as_the_settings_say_or_goes_with_its_token(tmp_path: Path) -> None:
    assert project_of(HetznerSettings(project="shop"), "t") == "shop"
    one, two = (project_of(HetznerSettings(), secret) for secret in ("secret-1", "secret-2"))
    assert one != two
    assert "secret" not in one
    assert visit(tmp_path, lambda p: p.account(), project="shop").startswith("shop@127.0.0.1:")


@pytest.mark.parametrize("environ", [{}, {"HCLOUD_TOKEN": "two words"}, {"HCLOUD_TOKEN": "t", "HCLOUD_ENDPOINT": "x"}])
def test_what_is_missing_is_told_when_it_is_opened(environ: dict[str, str], tmp_path: Path) -> None:
    provider = Hetzner("hetzner", SystemClock(), {"state_dir": str(tmp_path)}, environ)
    with pytest.raises(ProviderUnavailable):
        asyncio.run(provider.open())


def test_settings_are_checked() -> None:
    for wrong in ({"projct": "x"}, {"page": 0}, {"rate": "fast"}):
        with pytest.raises(UsageError):
            Hetzner("hetzner", SystemClock(), wrong, {})


@pytest.mark.parametrize(
    ("status", "body", "sure"),
    [
        (409, {"error": {"code": "uniqueness_error", "message": "m"}}, True),
        (500, {"error": {"code": "server_error", "message": "m"}}, False),
        (502, None, False),
        (404, None, False),
        (401, None, True),
    ],
)
def test_a_refusal_is_certain_only_in_hetzners_own_words(status: int, body: Any, sure: bool) -> None:
    reply = HttpReply(status, body)
    assert REFUSALS.certain(reply) is sure
    assert REFUSALS.fault(reply).message


def test_what_goes_while_pages_are_read_hides_no_other_server(tmp_path: Path) -> None:
    accounts: list[Any] = []

    async def scenario(provider: Hetzner) -> tuple[set[str], set[str]]:
        refs = []
        for number in range(8):
            answer = await provider.create(await request(provider, f"web-{number}"), Token(RUN, f"token-{number}"))
            assert isinstance(answer, Created)
            refs.append(answer.ref)
        ask, pages = provider._api.call, list[str]()

        async def call(method: str, path: str, *rest: Any, **more: Any) -> Any:
            reply = await ask(method, path, *rest, **more)
            pages.extend([path] if path == "/servers" else [])
            if len(pages) == 1:
                accounts[0].one("servers", refs[0]).gone_at = 0.0
                pages.append("gone")
            return reply

        provider._api.call = call  # type: ignore[method-assign]
        return {seen.ref for seen in await provider.find(RUN)}, set(refs[1:])

    found, alive = visit(tmp_path, scenario, before=accounts.append, page=3)
    assert found >= alive


def test_a_server_with_backups_is_left_until_somebody_decides_about_them(tmp_path: Path) -> None:
    """E1: Hetzner deletes backups with their server, and nothing can detach them."""
    accounts: list[Any] = []

    async def scenario(provider: Hetzner) -> None:
        made = await provider.create(await request(provider), token("web"))
        assert isinstance(made, Created)
        (account,) = accounts
        backup = account.back_up(account.one("servers", made.ref))
        answer = await provider.destroy(made.ref)
        assert isinstance(answer, Rejected)
        assert answer.fault.kind is FaultClass.PERMANENT
        assert f"backup {backup.id}" in answer.fault.message
        (shown,) = await provider.attached([made.ref])
        assert shown.blocks
        assert account.one("servers", made.ref), "it is still there"
        backup.snapshot = True
        assert not isinstance(await provider.destroy(made.ref), Rejected)

    visit(tmp_path, scenario, before=accounts.append)


def test_an_address_is_told_from_the_servers_own_also_when_the_create_was_never_answered(tmp_path: Path) -> None:
    """E1: the label that says which addresses are its own is set after the create."""
    accounts: list[Any] = []

    async def scenario(provider: Hetzner) -> None:
        made = await provider.create(await request(provider), token("web"))
        assert isinstance(made, Created)
        (account,) = accounts
        server = account.one("servers", made.ref)
        server.asked["labels"].pop("batchwright-addresses")
        assert await provider.attached([made.ref]) == []
        other = account.assign_address(server)
        other.created += 60
        (shown,) = await provider.attached([made.ref])
        assert other.ip in shown.what
        await provider.destroy(made.ref)
        assert list(account.primary_ips) == [other.id]
        assert account.summary()["primary_ips"] == [{"id": other.id, "name": other.name, "server": 0}]

    visit(tmp_path, scenario, before=accounts.append)
