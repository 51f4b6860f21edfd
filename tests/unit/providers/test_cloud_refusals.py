"""Calls that are refused, that fail, or that answer in no order: what is not needed holds nothing up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from tests.support.emulated import Running, RunningAws, RunningHetzner
from tests.support.emulated_aws import QUICK, Visit, client, config, set_credentials, visit

from batchwright.app.system_clock import SystemClock
from batchwright.emulators import hetzner
from batchwright.emulators.aws import AwsBehaviour
from batchwright.emulators.upcloud import UpCloudBehaviour
from batchwright.errors import ProviderUnavailable
from batchwright.model.call_outcome import Created, Gone, Rejected, ServerState
from batchwright.model.fault import FaultClass
from batchwright.model.ids import Token, run_id
from batchwright.model.workflow import ServerConfig
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.base import Provider
from batchwright.providers.hetzner import Hetzner
from batchwright.providers.hetzner import faults as hetzner_faults
from batchwright.providers.http import _retry_after
from batchwright.providers.upcloud import UpCloud
from batchwright.providers.upcloud import faults as upcloud_faults

RUN = run_id(b"a test of refused looks")
ACCOUNTS: list[Any] = []  # of the UpCloud that a scenario runs in
Scenario = Callable[[Provider, ServerRequest], Coroutine[Any, Any, None]]


def upcloud(folder: Path, scenario: Scenario, **faults: Any) -> None:
    with Running(UpCloudBehaviour(time_scale=0.0005, **faults)) as running:
        ACCOUNTS[:] = [running.emulator.account]
        settings = {"state_dir": str(folder), "settle_seconds": 0.1, "poll_seconds": 0.01, "page": 20}
        _play(UpCloud("upcloud", SystemClock(), settings, running.environ), "1xCPU-2GB", "de-fra1", scenario)


def on_hetzner(folder: Path, scenario: Scenario, **faults: Any) -> None:
    with RunningHetzner(hetzner.HetznerBehaviour(time_scale=0.001, **faults)) as running:
        settings = {"state_dir": str(folder), "settle_seconds": 0.1, "poll_seconds": 0.01}
        _play(Hetzner("hetzner", SystemClock(), settings, running.environ), "cx23", "fsn1", scenario)


def _play(provider: Provider, plan: str, zone: str, scenario: Scenario) -> None:
    async def main() -> None:
        await provider.open()
        try:
            (request,) = await provider.resolve([ServerConfig("web", plan, zone)])
            assert isinstance(request, ServerRequest), request
            await scenario(provider, request)
        finally:
            await provider.aclose()

    asyncio.run(main())


@pytest.mark.parametrize("fault", ["failing", "denied"])
def test_upcloud_goes_on_without_prices_and_the_use_of_limits(fault: str, tmp_path: Path) -> None:
    """E4."""

    async def scenario(provider: Provider, request: ServerRequest) -> None:
        (limits,) = await provider.quota_after([request])
        assert (limits.code, limits.severity) == ("limit-unknown", "warning")
        assert limits.hint
        with pytest.raises(ProviderUnavailable):
            await provider.quote([request])
        assert isinstance(await provider.create(request, Token(RUN, "t")), Created)

    upcloud(tmp_path, scenario, **{fault: "GET /price,GET /account/resource-usage"})


@pytest.mark.parametrize("fault", ["failing", "denied"])
def test_hetzner_goes_on_without_prices(fault: str, tmp_path: Path) -> None:
    """E4."""

    async def scenario(provider: Provider, request: ServerRequest) -> None:
        assert await provider.quota_after([request]) == []
        with pytest.raises(ProviderUnavailable):
            await provider.quote([request])

    on_hetzner(tmp_path, scenario, **{fault: "GET /pricing"})


def test_upcloud_looks_at_many_servers_one_by_one_when_addresses_may_not_be_listed(tmp_path: Path) -> None:
    """E5: and the pre-flight says so."""

    async def scenario(provider: Provider, request: ServerRequest) -> None:
        (right,) = await provider.quota_after([request])
        assert (right.code, right.severity) == ("right-missing", "warning")
        made = [await provider.create(request, Token(RUN, f"t{number}")) for number in range(6)]
        refs = [one.ref for one in made if isinstance(one, Created)]
        for _ in range(6_000):
            seen = await provider.describe(refs)
            if all(one.state is ServerState.READY for one in seen.values()):
                break
            await asyncio.sleep(0.01)
        assert all(one.address for one in seen.values())

    upcloud(tmp_path, scenario, denied="GET /ip_address")


@pytest.mark.parametrize("path", ["GET /server", "GET /storage/private"])
def test_a_right_that_is_needed_is_named(path: str, tmp_path: Path) -> None:
    """E5."""

    async def scenario(provider: Provider, _request: ServerRequest) -> None:
        with pytest.raises(ProviderUnavailable, match=path.removeprefix("GET ")):
            await provider.find()

    upcloud(tmp_path, scenario, denied=path)


def test_a_listing_in_no_order_is_whole(tmp_path: Path) -> None:
    """E6."""

    async def scenario(provider: Provider, request: ServerRequest) -> None:
        made = [await provider.create(request, Token(RUN, f"t{number}")) for number in range(50)]
        refs = {one.ref for one in made if isinstance(one, Created)}
        for _ in range(5):
            assert {one.ref for one in await provider.find(RUN)} == refs

    upcloud(tmp_path, scenario, unordered=True)


def test_aws_in_no_order_is_whole_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """E6."""
    set_credentials(monkeypatch, tmp_path)

    async def scenario(here: Visit) -> None:
        request = await here.request("web")
        made = [await here.aws.create(request, here.token(f"t{number}")) for number in range(12)]
        refs = {one.ref for one in made if isinstance(one, Created)}
        refused = 0
        for _ in range(8):
            try:
                found = await here.aws.find(here.run)
            except ProviderUnavailable:
                refused += 1
                continue
            assert {one.ref for one in found} == refs
        assert refused, "the emulator shows no order"

    with RunningAws(AwsBehaviour(**QUICK, unordered=True, page_size=5)) as server:  # type: ignore[arg-type]
        visit(client(server, tmp_path), scenario)


@pytest.mark.parametrize("fault", ["failing", "denied"])
def test_aws_goes_on_without_prices_and_quotas(fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """E4: and no gateway's page is shown for a reason."""
    set_credentials(monkeypatch, tmp_path)

    async def scenario(here: Visit) -> None:
        request = await here.request("web")
        (limits,) = await here.aws.quota_after([request])
        assert (limits.code, limits.severity) == ("limit-unknown", "warning")
        with pytest.raises(ProviderUnavailable) as caught:
            await here.aws.quote([request])
        assert (await here.aws.quota()).usage == {}
        for text in (limits.message, caught.value.message):
            assert "<" not in text
        assert isinstance(await here.aws.create(request, here.token("t")), Created)

    with RunningAws(AwsBehaviour(**QUICK, **{fault: "GetProducts,GetServiceQuota"})) as server:  # type: ignore[arg-type]
        visit(client(server, tmp_path), scenario)


def test_a_gateways_page_in_the_place_of_ec2_is_unknown_for_a_create_and_told_without_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E4: botocore's own error for it is no BotoCoreError."""
    set_credentials(monkeypatch, tmp_path)

    async def scenario(here: Visit) -> None:
        with pytest.raises(ProviderUnavailable) as caught:
            await here.aws.find(here.run)
        assert "<" not in caught.value.message

    with RunningAws(AwsBehaviour(**QUICK, failing="DescribeVolumes")) as server:  # type: ignore[arg-type]
        visit(client(server, tmp_path), scenario)
        assert server.account.inventory().instances == []


@pytest.mark.parametrize("refused", ["no_disk_labels", "no_login_user"])
def test_what_upcloud_does_not_take_in_a_create_goes_another_way(refused: str, tmp_path: Path) -> None:
    """E10: the first attempt is refused and made nothing; the next one leaves the part out."""

    async def scenario(provider: Provider, request: ServerRequest) -> None:
        first = await provider.create(request, Token(RUN, "t"))
        assert isinstance(first, Rejected)
        assert first.fault.kind is FaultClass.TRANSIENT
        made = await provider.create(request, Token(RUN, "t"))
        assert isinstance(made, Created)
        assert await provider.attached([made.ref]) == []  # type: ignore[attr-defined]
        while not isinstance(await provider.destroy(made.ref), Gone):
            await asyncio.sleep(0.005)
        assert await provider.find(RUN) == []

    upcloud(tmp_path, scenario, **{refused: True})


def test_creates_that_are_refused_at_once_all_go_the_other_way(tmp_path: Path) -> None:
    """E10: none of them fails because another one has learned it first."""

    async def scenario(provider: Provider, request: ServerRequest) -> None:
        tokens = [Token(RUN, f"t{number}") for number in range(12)]
        for _ in range(3):  # as many attempts as a step has
            said = await asyncio.gather(*(provider.create(request, token) for token in tokens))
            kinds = {one.fault.kind for one in said if isinstance(one, Rejected)}
            assert kinds <= {FaultClass.TRANSIENT}
            tokens = [token for token, one in zip(tokens, said, strict=True) if not isinstance(one, Created)]
        assert tokens == []

    upcloud(tmp_path, scenario, no_disk_labels=True, no_login_user=True)


def test_a_disk_that_could_not_be_labelled_in_time_is_labelled_before_it_is_detached(tmp_path: Path) -> None:
    """E10: once it is detached, nothing else says whose it is."""

    async def scenario(provider: Provider, request: ServerRequest) -> None:
        await provider.create(request, Token(RUN, "t"))
        made = await provider.create(request, Token(RUN, "t"))
        assert isinstance(made, Created)
        (account,) = ACCOUNTS
        (disk,) = account.all_servers[made.ref].disks
        assert disk.labels, "labelled after the create"
        disk.labels = []  # as if nobody had come to it
        labelled = []

        def detached(server: Any, gone: Any) -> None:
            labelled.append(bool(gone.labels))
            detach(server, gone)

        detach, account.detach = account.detach, detached
        while made.ref in account.all_servers:
            await provider.destroy(made.ref)
            await asyncio.sleep(0.005)
        assert labelled == [True]
        assert account.disks() == []

    upcloud(tmp_path, scenario, no_disk_labels=True)


def test_listings_that_cannot_be_narrowed_are_read_whole(tmp_path: Path) -> None:
    """E10: storages by label; and Hetzner's order."""

    async def scenario(provider: Provider, request: ServerRequest) -> None:
        made = await provider.create(request, Token(RUN, "t"))
        assert isinstance(made, Created)
        assert [one.ref for one in await provider.find(RUN)] == [made.ref]

    upcloud(tmp_path, scenario, no_label_filter=True)
    on_hetzner(tmp_path, scenario, unsorted=True)


def test_a_deprecated_image_that_is_named_by_its_id_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """E10: and a missing one beside it is told alone."""
    set_credentials(monkeypatch, tmp_path)

    async def scenario(here: Visit) -> None:
        old, gone = "ami-0000000000000001d0", "ami-00000000000000000"
        found, missing = await here.aws.resolve([config("old", image=old), config("gone", image=gone)])
        assert isinstance(found, ServerRequest)
        assert found.resolved["image_id"] == old
        assert isinstance(missing, list)
        assert missing[0].code == "unknown-image"

    with RunningAws(AwsBehaviour(**QUICK)) as server:  # type: ignore[arg-type]
        visit(client(server, tmp_path), scenario)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "Mon, 30 Nov 2026 00:00:30 GMT"}, 30.0),
        ({"RateLimit-Reset": "1795996830"}, 30.0),
        ({}, None),
        ({"Retry-After": "soon"}, None),
    ],
)
def test_how_long_to_wait_is_read_in_each_of_its_forms(headers: dict[str, str], seconds: float | None) -> None:
    """E10: by the answer's own clock."""
    assert _retry_after({"Date": "Mon, 30 Nov 2026 00:00:00 GMT", **headers}) == seconds


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (403, "TRIAL_PLAN", FaultClass.INVALID),
        (403, "SOMETHING_NEW", FaultClass.PERMANENT),
        (403, "ACTION_FORBIDDEN", FaultClass.AUTH),
        (403, "", FaultClass.AUTH),
    ],
)
def test_a_403_is_about_the_credentials_only_when_it_says_so(status: int, code: str, kind: FaultClass) -> None:
    """E9."""
    assert upcloud_faults.class_of(status, code) is kind
    if code == "SOMETHING_NEW":
        assert hetzner_faults.class_of(status, "something_new") is kind
