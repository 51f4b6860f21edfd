"""The bridge to Libcloud: settings, what is promised for which driver, what exceptions mean, and what plans warn of."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from libcloud.common.exceptions import BaseHTTPError, RateLimitReachedError
from libcloud.common.types import InvalidCredsError
from libcloud.common.vultr import VultrException
from libcloud.compute.base import Node
from libcloud.compute.drivers.dummy import DummyNodeDriver

from batchwright.app.preflight import observe
from batchwright.app.system_clock import SystemClock
from batchwright.errors import ProviderUnavailable, UsageError
from batchwright.model.call_outcome import Rejected, Unknown
from batchwright.model.fault import FaultClass
from batchwright.model.ids import Token, run_id, step_token
from batchwright.model.workflow import ServerConfig, Workflow
from batchwright.operations.server_batch import ServerBatch, ServerRequest
from batchwright.plan import build
from batchwright_libcloud import Libcloud
from batchwright_libcloud.driver import create_arguments, maker, user_data_argument
from batchwright_libcloud.faults import outcome
from batchwright_libcloud.marks import NAME_MAX, Marks, mark_of
from batchwright_libcloud.settings import LibcloudSettings, account_of, address, credentials, settings_from

RUN = run_id(b"a test of libcloud")
TOKEN = Token(RUN, step_token(RUN, "web", 0))
KNOWN = ("brightbox", "cloudscale", "digitalocean", "linode", "openstack", "vultr")


@pytest.mark.parametrize("driver", KNOWN)
def test_the_drivers_that_are_trusted_take_what_they_are_given(driver: str) -> None:
    way = LibcloudSettings(driver=driver).adopted_by
    options = {"ex_force_auth_url": "http://127.0.0.1:1", "api_version": "2.2"} if driver == "openstack" else {}
    pair = ["key"] if driver in ("cloudscale", "digitalocean", "vultr", "linode") else ["key", "secret"]
    made = maker(driver, pair, options)()
    wanted = {"name", "size", "image"} | ({"ex_metadata"} if way == "metadata" else set())
    assert wanted <= create_arguments(made)
    assert way in ("name", "metadata")
    if driver in ("brightbox", "openstack"):
        assert user_data_argument(made) == "ex_userdata"


def test_what_is_not_known_is_not_trusted() -> None:
    assert LibcloudSettings(driver="ec2").adopted_by == "nothing"
    assert LibcloudSettings(driver="ec2", adopt="name").adopted_by == "name"
    with pytest.raises(UsageError, match="no driver digitalocaen") as raised:
        maker("digitalocaen", ["key"], {})
    assert raised.value.hint == "Did you mean digitalocean?"
    with pytest.raises(UsageError, match="no setting drivr"):
        settings_from({"drivr": "dummy"}, {})


def test_credentials_and_the_account_that_goes_with_them(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("from-file\n")
    both = {"LIBCLOUD_KEY": "k", "LIBCLOUD_SECRET": "s"}
    assert credentials(LibcloudSettings(), both) == ["k", "s"]
    assert credentials(LibcloudSettings(key_file=str(file)), {"LIBCLOUD_KEY": "k"}) == ["from-file"]
    for settings, environ in ((LibcloudSettings(), {}), (LibcloudSettings(key_file="/nowhere"), {})):
        with pytest.raises(ProviderUnavailable):
            credentials(settings, environ)
    known, options = settings_from({"driver": "openstack", "region": "eu1", "ex_tenant_name": "t"}, {})
    assert options == {"region": "eu1", "ex_tenant_name": "t"}
    account = account_of(known, options, "secret-key")
    assert account.startswith("openstack/eu1/key-")
    assert "secret" not in account


def test_variables_beat_the_table() -> None:
    known, _ = settings_from({"driver": "openstack"}, {"LIBCLOUD_DRIVER": "vultr"})
    assert known.adopted_by == "name"
    here = {"host": "127.0.0.1", "port": 9183, "secure": False}
    assert address({"LIBCLOUD_URL": "http://127.0.0.1:9183"}) == here
    assert address({"LIBCLOUD_URL": "https://api.example.org"})["port"] == 443
    for wrong in ("http://api.example.org", "127.0.0.1:9183"):  # unencrypted, and no address
        with pytest.raises(ProviderUnavailable):
            address({"LIBCLOUD_URL": wrong})


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (InvalidCredsError("no"), FaultClass.AUTH),
        (RateLimitReachedError(headers={"retry-after": "7"}), FaultClass.THROTTLE),
        (BaseHTTPError(422, "no such size"), FaultClass.INVALID),
        (BaseHTTPError(418, "teapot"), FaultClass.PERMANENT),
        (BaseHTTPError(408, "too slow"), None),
        (VultrException(400, "Plan is not available in the selected region."), FaultClass.INVALID),
        (VultrException(429, "Rate limit exceeded"), FaultClass.THROTTLE),
        (VultrException(500, "Internal error"), None),
        (BaseHTTPError(503, "down"), None),
        (Exception("400 Bad Request"), None),
        (TimeoutError(), None),
    ],
)
def test_only_a_status_of_the_cloud_is_certain(error: Exception, kind: FaultClass | None) -> None:
    found = outcome(error)
    assert (found.fault.kind if isinstance(found, Rejected) else None) is kind
    assert isinstance(found, Rejected | Unknown)


def test_run_and_token_fit_into_a_name_and_are_read_from_it_alone(tmp_path: Path) -> None:
    request = ServerRequest("w" * NAME_MAX, "s", "z", image="i")
    name = Marks("name", tmp_path / "here").carried(mark_of(request, TOKEN), {})["name"]
    assert len(name) == 63
    node = Node("1", name, "running", [], [], None)
    seen = Marks("name", tmp_path / "here").read(node)
    assert seen == mark_of(request, TOKEN)
    bare = Marks("name", tmp_path / "elsewhere").read(node)
    assert bare is not None
    assert (bare.name, bare.run, bare.token, bare.plan) == (request.name, TOKEN.run, TOKEN.value, "")
    assert Marks("name", tmp_path / "here").read(Node("2", "web-01", "running", [], [], None)) is None


def test_a_plan_warns_where_duplicates_are_possible(tmp_path: Path) -> None:
    config = ServerConfig("web", "Small", "default", image="Ubuntu 9.10")
    workflow = Workflow("w", "1", (ServerBatch("a", "libcloud", (config,)),))

    async def warnings(adopt: str) -> list[str]:
        told = {"driver": "dummy", "adopt": adopt, "state_dir": str(tmp_path)}
        provider = Libcloud("libcloud", SystemClock(), told, {"LIBCLOUD_KEY": "0"}, lambda: DummyNodeDriver("0"))
        await provider.open()
        try:
            built = build(workflow, {}, await observe(workflow, {"libcloud": provider}, {}))
        finally:
            await provider.aclose()
        assert built.plan is not None
        return [one.code for one in built.plan.warnings]

    assert asyncio.run(warnings("nothing")) == ["duplicates-possible"]
    assert asyncio.run(warnings("name")) == []


def test_what_no_driver_can_be_given_is_refused(tmp_path: Path) -> None:
    told = {"driver": "dummy", "adopt": "name", "state_dir": str(tmp_path)}
    provider = Libcloud("libcloud", SystemClock(), told, {"LIBCLOUD_KEY": "0"}, lambda: DummyNodeDriver("0"))
    wrong = ServerConfig("w" * 24, "Small", "default", image="i", labels={"a": "b"}, user_data="hello")
    fields = [problem.field for problem in provider.validate(wrong)]
    assert fields == ["name", "labels", "user_data"]

    async def asked() -> list[str]:
        await provider.open()
        try:
            config = ServerConfig("web", "Smal", "London Loft", image="Ubuntu", ssh_keys=("ssh-ed25519 AAAA",))
            (found,) = await provider.resolve([config])
        finally:
            await provider.aclose()
        assert isinstance(found, list)
        return [problem.field for problem in found]

    assert asyncio.run(asked()) == ["plan", "zone", "image", "ssh_keys"]
