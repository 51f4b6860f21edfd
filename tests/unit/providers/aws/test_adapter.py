"""The adapter against the emulated account: used-up tokens, what a run's servers share, keys, rights, limits."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.emulated import RunningAws
from tests.support.emulated_aws import QUICK, Visit, client, config, set_credentials, visit

from batchwright.emulators.aws import AwsBehaviour, Inventory
from batchwright.model.call_outcome import Created, Going, Gone, Rejected, ServerState
from batchwright.model.diagnostic import Diagnostic
from batchwright.model.fault import FaultClass
from batchwright.model.plan import ServerFacts
from batchwright.model.ssh_access import SshAccess
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.base import Quote
from batchwright.providers.generated_ssh_keys import public_of, run_key

Account = Callable[..., AbstractContextManager[RunningAws]]


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    set_credentials(monkeypatch, tmp_path)


@pytest.fixture
def server() -> Iterator[RunningAws]:
    with RunningAws(AwsBehaviour(**QUICK)) as one:  # type: ignore[arg-type]
        yield one


def account(**behaviour: object) -> AbstractContextManager[RunningAws]:
    return RunningAws(AwsBehaviour(**{**QUICK, **behaviour}))  # type: ignore[arg-type]


def holds(server: RunningAws) -> Inventory:
    return server.account.inventory()


def user_data(encoded: str) -> list[dict[str, Any]]:
    """The cloud-configs that a server was told."""
    whole = message_from_bytes(base64.b64decode(encoded))
    return [yaml.safe_load(str(part.get_payload())) for part in whole.walk() if not part.is_multipart()]


async def made(here: Visit, name: str, **more: object) -> str:
    answer = await here.aws.create(await here.request(name, **more), here.token(name))
    assert isinstance(answer, Created), answer
    return answer.ref


async def gone(here: Visit, ref: str) -> None:
    async def look() -> bool:
        return isinstance(await here.aws.destroy(ref), Gone)

    await here.until(look)


async def reached(here: Visit, ref: str) -> SshAccess:
    """How a server is reached, once it is up: before, nobody can."""

    async def look() -> bool:
        return ref in await here.aws.access([ref])

    await here.until(look)
    return (await here.aws.access([ref]))[ref]


# What a token stands for


def test_a_token_whose_server_was_terminated_gives_way_to_the_next(server: RunningAws, tmp_path: Path) -> None:
    async def scenario(here: Visit) -> None:
        request, token = await here.request("web"), here.token("web")
        await gone(here, await made(here, "web"))
        again = await here.aws.create(request, token)
        assert isinstance(again, Created), again
        seen = (await here.aws.describe([again.ref]))[again.ref]
        assert (seen.state, seen.run, seen.token) == (ServerState.BROKEN, token.run, token.value)
        assert await here.aws.destroy(again.ref) == Gone()
        assert await here.aws.find(token=token.value) == []
        fresh = await here.aws.create(request, here.token("web", 1))
        assert isinstance(fresh, Created)
        assert fresh.ref.partition("/")[2].startswith("i-")

    visit(client(server, tmp_path), scenario)


def test_a_token_sent_with_another_host_key_is_still_the_same_server(server: RunningAws, tmp_path: Path) -> None:
    """The state folder was lost, or the run goes on elsewhere: the bytes differ, the server is this step's."""
    first = visit(client(server, tmp_path / "one"), lambda here: made(here, "web"))
    again = visit(client(server, tmp_path / "two"), lambda here: made(here, "web"))
    assert again == first
    assert len(holds(server).instances) == 1

    async def reach(here: Visit) -> None:
        row = server.account.regions["eu-central-1"].instances[first.partition("/")[2]]
        (given,) = user_data(row.arguments["UserData"])
        access = await reached(here, first)
        assert access.host_keys == (given["ssh_keys"]["ed25519_public"],), "its tags say so, not this folder"

    visit(client(server, tmp_path / "two"), reach)


def test_a_server_that_ends_by_itself_is_broken_and_not_gone(tmp_path: Path) -> None:
    async def scenario(here: Visit) -> None:
        ref = await made(here, "web")

        async def broken() -> bool:
            return (await here.aws.describe([ref]))[ref].state is ServerState.BROKEN

        await here.until(broken)
        seen = (await here.aws.describe([ref]))[ref]
        assert seen.fault is not None
        assert (seen.fault.kind, seen.fault.code) == (FaultClass.TRANSIENT, "Server.InternalError")
        assert await here.aws.destroy(ref) == Gone()

    with account(broken=1.0) as server:
        visit(client(server, tmp_path), scenario)


# What the servers of a run share


def test_key_and_group_stay_as_long_as_a_server_and_are_listed_after_the_last(
    server: RunningAws, tmp_path: Path
) -> None:
    async def scenario(here: Visit) -> None:
        refs = [await made(here, name) for name in ("one", "two")]
        assert len(holds(server).groups) == len(holds(server).keys) == 1
        await gone(here, refs[0])
        assert [o.ref for o in await here.aws.find(here.run)] == [refs[1]]
        await gone(here, refs[1])
        (group,) = await here.aws.find(here.run)
        assert (group.ref.split("/")[1][:3], group.run) == ("sg-", here.run)
        assert (await here.aws.describe([group.ref]))[group.ref].run == here.run
        assert await here.aws.destroy(group.ref) == Gone()
        (key,) = await here.aws.find(here.run)
        assert (await here.aws.describe([key.ref]))[key.ref].run == here.run
        assert await here.aws.destroy(key.ref) == Gone()
        assert await here.aws.find(here.run) == []
        assert await made(here, "three"), "they are made again when they are needed again"

    visit(client(server, tmp_path), scenario)


def test_a_group_in_use_by_the_runs_server_is_to_be_listed_again(server: RunningAws, tmp_path: Path) -> None:
    """E2."""

    async def scenario(here: Visit) -> None:
        await made(here, "web")
        (group,) = [one for one in server.account.regions["eu-central-1"].groups if one.startswith("sg-")][1:]
        answer = await here.aws.destroy(f"eu-central-1/{group}")
        assert isinstance(answer, Rejected)
        assert (answer.fault.kind, answer.fault.code) == (FaultClass.TRANSIENT, "DependencyViolation")

    visit(client(server, tmp_path), scenario)


def test_a_group_that_others_use_is_left_and_they_are_named(server: RunningAws, tmp_path: Path) -> None:
    """E1, E2."""

    async def scenario(here: Visit) -> None:
        ref = await made(here, "web")
        region = server.account.regions["eu-central-1"]
        (group,) = [one for one in region.groups.values() if one.name != "default"]
        region.instances[ref.rpartition("/")[2]].tags.clear()
        region.instances[ref.rpartition("/")[2]].made_at -= 3600
        answer = await here.aws.destroy(f"eu-central-1/{group.id}")
        assert isinstance(answer, Rejected)
        assert answer.fault.kind is FaultClass.PERMANENT
        assert ref.rpartition("/")[2] in answer.fault.message

    visit(client(server, tmp_path), scenario)


def test_a_volume_that_cannot_be_spared_keeps_its_instance(tmp_path: Path) -> None:
    """E1: the credentials may not change the flag, so nothing is terminated and the volume is named."""

    async def scenario(here: Visit) -> None:
        ref = await made(here, "web")
        region, instance = account.account.regions["eu-central-1"], ref.rpartition("/")[2]
        volume = region.new_volume("eu-central-1a", {}, 0.0)
        region.attach_volume(volume, instance, "/dev/sdf")
        volume.ends_with_instance = True
        for _ in range(2):
            answer = await here.aws.destroy(ref)
            assert isinstance(answer, Rejected)
            assert answer.fault.kind is FaultClass.PERMANENT
            assert volume.id in answer.fault.message
        assert region.instances[instance].ending_at is None

    with RunningAws(AwsBehaviour(**QUICK, denied="ModifyInstanceAttribute")) as account:  # type: ignore[arg-type]
        visit(client(account, tmp_path), scenario)


def test_a_new_server_without_tags_is_not_visible_and_never_called_another_runs(tmp_path: Path) -> None:
    """E2: tags are seen later than ids; and one that stays without them is not ours."""

    async def scenario(here: Visit) -> None:
        ref = await made(here, "web")
        seen = (await here.aws.describe([ref]))[ref]
        assert (seen.state, seen.run) == (ServerState.NOT_VISIBLE, "")
        account.account.regions["eu-central-1"].instances[ref.rpartition("/")[2]].made_at -= 3600
        seen = (await here.aws.describe([ref]))[ref]
        assert (seen.state is ServerState.NOT_VISIBLE, seen.run) == (False, "")

    with RunningAws(AwsBehaviour(**QUICK, lag_tags=3600)) as account:  # type: ignore[arg-type]
        visit(client(account, tmp_path, settle_seconds=60.0), scenario)


def test_a_group_that_somebody_removed_is_made_again(server: RunningAws, tmp_path: Path) -> None:
    async def scenario(here: Visit) -> None:
        await gone(here, await made(here, "one"))
        region = server.account.regions["eu-central-1"]
        region.delete_group(next(name for name, group in region.groups.items() if group.name != "default"))
        request = await here.request("two")
        answer = await here.aws.create(request, here.token("two"))
        assert isinstance(answer, Rejected)
        assert answer.fault.kind is FaultClass.TRANSIENT
        assert isinstance(await here.aws.create(request, here.token("two")), Created)

    visit(client(server, tmp_path), scenario)


def test_a_disk_that_was_left_over_is_listed_and_removed(server: RunningAws, tmp_path: Path) -> None:
    async def scenario(here: Visit) -> None:
        ref = await made(here, "web")
        for volume in server.account.regions["eu-central-1"].volumes.values():
            volume.ends_with_instance = False  # somebody changed it
        assert [o.ref for o in await here.aws.find(here.run)] == [ref]
        await gone(here, ref)
        left = {o.ref.split("/")[1].split("-")[0]: o for o in await here.aws.find(here.run)}
        assert set(left) == {"vol", "sg"}
        assert (left["vol"].run, left["vol"].name) == (here.run, "disk of web")
        assert await here.aws.destroy(left["vol"].ref) == Gone()
        assert holds(server).volumes == []

    visit(client(server, tmp_path), scenario)


def test_many_creates_at_once_make_one_key_and_one_group(tmp_path: Path) -> None:
    async def scenario(here: Visit) -> None:
        names = [f"web-{i}" for i in range(8)]
        requests = [await here.request(name) for name in names]
        answers = await asyncio.gather(
            *(here.aws.create(request, here.token(name)) for name, request in zip(names, requests, strict=True))
        )
        assert all(isinstance(answer, Created) for answer in answers), answers

    with account(list_lag=0.4) as server:
        visit(client(server, tmp_path), scenario)
        calls = holds(server).calls
        assert (calls["CreateSecurityGroup"], calls["ImportKeyPair"], calls["RunInstances"]) == (1, 1, 8)
        again = client(server, tmp_path)  # another process, which sees nothing yet of what is there
        visit(again, lambda here: made(here, "web-9"))
        assert len(holds(server).groups) == 1


def test_a_server_is_reached_with_the_runs_key_and_only_its_own_host_key(server: RunningAws, tmp_path: Path) -> None:
    async def scenario(here: Visit) -> None:
        ref = await made(here, "web", image="ubuntu-24.04")

        access = await reached(here, ref)
        assert await here.aws.access([ref, "eu-central-1/i-00000000000000000"]) == {ref: access}
        assert access.user == "ubuntu"
        assert access.key == str(run_key(tmp_path, here.run).path)
        (row,) = server.account.regions["eu-central-1"].instances.values()
        (key,) = server.account.regions["eu-central-1"].keys.values()
        assert access.host == row.public
        assert key.public == run_key(tmp_path, here.run).public
        (told,) = [part for part in user_data(row.arguments["UserData"]) if "ssh_keys" in part]
        assert access.host_keys == (told["ssh_keys"]["ed25519_public"],)
        assert public_of(told["ssh_keys"]["ed25519_private"].encode()) == access.host_keys[0]
        assert (tmp_path / "keys" / here.run / "hosts" / here.token("web").value).is_dir()

    visit(client(server, tmp_path), scenario)


# What stands against it, before anything is made


def told(server: RunningAws, folder: Path, *requests: str, **more: object) -> list[Diagnostic]:
    async def scenario(here: Visit) -> list[Diagnostic]:
        return await here.aws.quota_after([await here.request(name, **more) for name in requests])

    return visit(client(server, folder), scenario)


@pytest.mark.parametrize("action", ["RunInstances", "CreateSecurityGroup", "ImportKeyPair"])
def test_a_right_that_is_missing_is_found_without_making_anything(action: str, tmp_path: Path) -> None:
    with account(denied=action) as server:
        (problem,) = told(server, tmp_path, "web")
        assert problem.code == "not-allowed"
        assert action in problem.message
        assert holds(server).instances == holds(server).keys == holds(server).groups == []


def test_a_quota_is_asked_for_where_that_is_allowed(tmp_path: Path) -> None:
    with account(vcpus=3) as server:
        assert told(server, tmp_path, "one") == []
        (problem,) = told(server, tmp_path, "one", "two")
        assert problem.code == "quota"
        assert "3 vCPUs" in problem.message
    with account(vcpus=3, denied="GetServiceQuota") as server:
        (problem,) = told(server, tmp_path, "one", "two")
        assert (problem.code, problem.severity) == ("limit-unknown", "warning")


def test_a_price_is_told_where_aws_tells_one(server: RunningAws, tmp_path: Path) -> None:
    async def scenario(here: Visit) -> None:
        small, other = await here.request("one"), await here.request("two", plan="c6i.xlarge")
        assert await here.aws.quote([small, small]) == Quote(0.024, "USD")
        assert await here.aws.quote([small, other]) is None
        assert await here.aws.quote([]) is None

    visit(client(server, tmp_path), scenario)


def test_what_aws_does_not_have_is_told_for_each_server(server: RunningAws, tmp_path: Path) -> None:
    configs = [
        config("good"),
        config("no-type", plan="z9.huge"),
        config("no-subnet", network="subnet-00000000000000000"),
        config("no-image", image="ami-00000000000000000"),
        config("no-region", zone="eu-west-3"),
        config("wrong-image", plan="t4g.small", image="ami-0000000000000deb12"),
        config("no-parameter", image="/our/image"),
        config("no-zone", zone="us-east-1f"),
    ]

    async def scenario(here: Visit) -> list[ServerRequest | list[Diagnostic]]:
        return await here.aws.resolve(configs)

    good, *bad = visit(client(server, tmp_path), scenario)
    assert isinstance(good, ServerRequest)
    assert good.facts == ServerFacts(1024, 2)
    codes = [answer[0].code for answer in bad if isinstance(answer, list)]
    assert codes == [
        *("unknown-plan", "unknown-network", "unknown-image", "unknown-zone"),
        *("wrong-architecture", "unknown-image", "not-offered"),
    ]


def test_a_subnet_decides_where_a_server_stands(server: RunningAws, tmp_path: Path) -> None:
    subnets = {zone: name for name, zone in server.account.regions["eu-central-1"].subnets.items()}

    async def scenario(here: Visit) -> None:
        await made(here, "web", zone="eu-central-1", network=subnets["eu-central-1c"])
        answer = await here.aws.resolve([config("other", network=subnets["eu-central-1c"])])
        assert isinstance(answer[0], list)
        assert answer[0][0].code == "wrong-zone"

    visit(client(server, tmp_path), scenario)
    assert [one["zone"] for one in holds(server).instances] == ["eu-central-1c"]


def test_destroying_what_is_not_there_proves_nothing(server: RunningAws, tmp_path: Path) -> None:
    async def scenario(here: Visit) -> None:
        assert isinstance(await here.aws.destroy("eu-central-1/i-00000000000000000"), Going)
        answer = await here.aws.destroy("something-else")
        assert isinstance(answer, Rejected)

    visit(client(server, tmp_path), scenario)
