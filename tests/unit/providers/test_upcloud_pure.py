"""UpCloud's words: refusals to classes, names to ids, requests to bodies, limits to problems."""

from __future__ import annotations

import email
from typing import Any

import pytest

from batchwright.emulators.upcloud import catalog
from batchwright.errors import ProviderUnavailable, UsageError
from batchwright.model.call_outcome import ServerState
from batchwright.model.fault import FaultClass
from batchwright.model.ids import Token
from batchwright.model.plan import ServerFacts
from batchwright.model.workflow import ServerConfig
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.base import Quota
from batchwright.providers.http import HttpReply
from batchwright.providers.settings import rest_settings
from batchwright.providers.upcloud import catalog as shop
from batchwright.providers.upcloud import config_checks, payload, quotas, rows
from batchwright.providers.upcloud.faults import REFUSALS
from batchwright.providers.upcloud.settings import UpCloudSettings, api_url, authorization
from batchwright.providers.upcloud.user_data import against, combined

OFFERS = shop.offers_from(catalog.plans(), catalog.zones(), list(catalog.TEMPLATES.values()), catalog.prices())
DEBIAN = "01000000-0000-4000-8000-000020070100"


def legacy(status: int, code: str) -> HttpReply:
    return HttpReply(status, {"error": {"error_code": code, "error_message": f"about {code}"}})


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "UNKNOWN_ATTRIBUTE", FaultClass.INVALID),
        (400, "HOSTNAME_INVALID", FaultClass.INVALID),
        (400, "SERVER_TITLE_MISSING", FaultClass.INVALID),
        (400, "METADATA_DISABLED_ON_CLOUD-INIT", FaultClass.INVALID),
        (400, "TRIAL_PLAN", FaultClass.INVALID),
        (401, "AUTHENTICATION_FAILED", FaultClass.AUTH),
        (402, "INSUFFICIENT_CREDITS", FaultClass.BILLING),
        (403, "SERVER_CORE_LIMIT_REACHED", FaultClass.QUOTA),
        (403, "IP_ADDRESS_LIMIT_REACHED", FaultClass.QUOTA),
        (403, "SERVER_CREATING_LIMIT_REACHED", FaultClass.THROTTLE),
        (403, "SERVER_FORBIDDEN", FaultClass.AUTH),
        (404, "SERVER_NOT_FOUND", FaultClass.NOT_FOUND),
        (409, "SERVER_STATE_ILLEGAL", FaultClass.BUSY),
        (409, "STORAGE_IN_USE", FaultClass.BUSY),
        (409, "SERVER_RESOURCES_UNAVAILABLE", FaultClass.CAPACITY),
        (429, "WHATEVER", FaultClass.THROTTLE),
        (503, "SERVICE_UNAVAILABLE", FaultClass.TRANSIENT),
        (500, "", FaultClass.TRANSIENT),
        (418, "", FaultClass.PERMANENT),
    ],
)
def test_each_refusal_has_its_class(status: int, code: str, kind: FaultClass) -> None:
    fault = REFUSALS.fault(legacy(status, code))
    assert fault.kind is kind
    assert fault.code == (code or f"HTTP_{status}")


def test_all_three_shapes_of_an_error_are_read_and_none_of_them_is_needed() -> None:
    published = HttpReply(400, {"error": {"code": "ZONE_INVALID", "message": "no such zone"}})
    kind = "https://developers.upcloud.com/1.3/errors#ERROR_VALIDATION_ERROR"
    params = [{"name": "size", "reason": "too small"}]
    newer = HttpReply(400, {"type": kind, "title": "Validation error.", "invalid_params": params})
    assert REFUSALS.fault(published).code == "ZONE_INVALID"
    assert REFUSALS.fault(published).message == "UpCloud: no such zone"
    assert REFUSALS.fault(newer).code == "VALIDATION_ERROR"
    assert REFUSALS.fault(newer).message == "UpCloud: Validation error.; size: too small"
    for body in (None, {}, [], "text", {"error": "text"}, {"error": {}}):
        assert REFUSALS.fault(HttpReply(502, body)).kind is FaultClass.TRANSIENT


def test_a_refusal_is_certain_only_from_upcloud_itself_or_its_gate() -> None:
    assert REFUSALS.certain(legacy(400, "ZONE_INVALID"))
    assert REFUSALS.certain(legacy(409, "SERVER_RESOURCES_UNAVAILABLE"))
    assert REFUSALS.certain(HttpReply(429, None))
    assert not REFUSALS.certain(HttpReply(404, None)), "a page of some proxy"
    assert not REFUSALS.certain(HttpReply(408, None))
    assert not REFUSALS.certain(legacy(503, "SERVICE_UNAVAILABLE"))
    assert not REFUSALS.certain(HttpReply(502, None))


@pytest.mark.parametrize("image", [None, "debian-12", "Debian GNU/Linux 12 (Bookworm)", DEBIAN])
def test_an_image_is_found_by_short_name_title_and_id(image: str | None) -> None:
    found = shop.resolved(ServerConfig("web", "2xCPU-4GB", "de-fra1", image=image), OFFERS)
    assert isinstance(found, ServerRequest)
    assert (found.image, found.resolved["template"]) == ("debian-12", DEBIAN)
    assert (found.facts, found.resolved["disk_gb"]) == (ServerFacts(4096, 2), "80")


def test_all_that_is_wrong_is_said_at_once_with_what_may_be_meant() -> None:
    problems = shop.resolved(ServerConfig("web", "2xCPU-5GB", "de-fra2", image="debain-12"), OFFERS)
    assert isinstance(problems, list)
    assert [(t.field, t.hint) for t in problems] == [
        ("plan", 'Did you mean "2xCPU-4GB"?'),
        ("zone", 'Did you mean "de-fra1"?'),
        ("image", 'Did you mean "debian-12"?'),
    ]


def test_a_private_template_counts_only_in_its_zone_and_two_of_a_title_are_told_apart_by_id() -> None:
    own = [{"uuid": f"0100000{n}-0000-4000-8000-000000000000", "title": "golden", "size": "8", "zone": "fi-hel1"}
           for n in (1, 2)]  # fmt: skip
    offers = shop.offers_from(catalog.plans(), catalog.zones(), own, catalog.prices())
    (both,) = _problems(ServerConfig("web", "1xCPU-1GB", "fi-hel1", image="golden"), offers)
    assert both.code == "ambiguous-image"
    (elsewhere,) = _problems(ServerConfig("web", "1xCPU-1GB", "de-fra1", image=own[0]["uuid"]), offers)
    assert elsewhere.code == "image-elsewhere"


def _problems(config: ServerConfig, offers: shop.UpCloudCatalog) -> list[Any]:
    found = shop.resolved(config, offers)
    assert isinstance(found, list)
    return found


def test_prices_add_up_in_whole_money_and_an_unlisted_one_leaves_no_sum() -> None:
    quoted = shop.quote(
        [ServerRequest("a", "1xCPU-2GB", "de-fra1"), ServerRequest("b", "2xCPU-4GB", "de-fra1")], OFFERS
    )
    assert quoted is not None
    assert quoted.per_hour == pytest.approx(0.0193 + 0.0387)
    assert shop.quote([ServerRequest("a", "GPU-8xCPU-64GB-1xL40S", "de-fra1")], OFFERS) is None


@pytest.mark.parametrize(
    ("config", "field"),
    [
        (ServerConfig("web", "1xCPU-2TB", "de-fra1"), "plan"),
        (ServerConfig("web", "1xCPU-2GB", "Frankfurt"), "zone"),
        (ServerConfig("web.", "1xCPU-2GB", "de-fra1"), "name"),
        (ServerConfig("web", "1xCPU-2GB", "de-fra1", labels={"Upper": "x"}), "labels"),
        (ServerConfig("web", "1xCPU-2GB", "de-fra1", labels={"_os": "x"}), "labels"),
        (ServerConfig("web", "1xCPU-2GB", "de-fra1", labels={"batchwright-run": "x"}), "labels"),
        (ServerConfig("web", "1xCPU-2GB", "de-fra1", ssh_keys=("k",) * 32), "ssh_keys"),
        (ServerConfig("web", "1xCPU-2GB", "de-fra1", user_data="echo hello"), "user_data"),
        (ServerConfig("web", "1xCPU-2GB", "de-fra1", user_data="#cloud-config\nssh_keys: {}\n"), "user_data"),
        (ServerConfig("web", "1xCPU-2GB", "de-fra1", network="shared"), "network"),
    ],
)
def test_what_is_wrong_anyway_is_said_without_asking_anybody(config: ServerConfig, field: str) -> None:
    assert [problem.field for problem in config_checks.problems(config)] == [field]


@pytest.mark.parametrize("plan", ["1xCPU-2GB", "DEV-1xCPU-1GB-10GB", "CLOUDNATIVE-1xCPU-4GB", "GPU-8xCPU-64GB-1xL40S"])
def test_every_family_of_plans_passes(plan: str) -> None:
    assert config_checks.problems(ServerConfig("web", plan, "de-fra1")) == []


def test_server_and_disk_carry_the_labels_in_the_create_call_itself() -> None:
    facts = {"template": DEBIAN, "disk_gb": "50", "tier": "maxiops"}
    request = ServerRequest("web", "1xCPU-2GB", "de-fra1", image="debian-12", labels={"team": "blue"}, resolved=facts)
    body: Any = payload.create_body(request, Token("run1", "tok1"), "ssh-ed25519 AAAA", "")
    server, (disk,) = body["server"], body["server"]["storage_devices"]["storage_device"]
    expected = {"team": "blue", rows.RUN: "run1", rows.TOKEN: "tok1", rows.NAME: "web", rows.IMAGE: "debian-12"}
    assert rows.labels_of(server) == rows.labels_of(disk) == expected
    assert "firewall" not in server, "left as the API leaves it: off"
    assert "user_data" not in server


def test_user_data_hands_the_host_key_over_and_keeps_the_users_part() -> None:
    text = combined("#!/bin/sh\necho ü\n", "-----BEGIN\nsecret\n-----END\n", "ssh-ed25519 AAAA", "==b==")
    assert text == combined("#!/bin/sh\necho ü\n", "-----BEGIN\nsecret\n-----END\n", "ssh-ed25519 AAAA", "==b==")
    theirs, ours = email.message_from_string(text).get_payload()
    assert (theirs.get_content_type(), ours.get_content_type()) == ("text/x-shellscript", "text/cloud-config")
    assert "  ed25519_private: |\n    -----BEGIN\n    secret\n    -----END\n" in ours.get_payload()
    assert theirs.get_payload(decode=True).decode() == "#!/bin/sh\necho ü\n"
    odd = "#!/bin/sh\nFrom here on\n.\n\ttab  \n" + "x" * 2000 + "\n"
    kept, _ = email.message_from_string(combined(odd, "key\n", "ssh-ed25519 AAAA", "==b==")).get_payload()
    assert kept.get_payload(decode=True).decode() == odd
    address = "https://example.org/setup.sh"
    fetched, _ = email.message_from_string(combined(address, "key\n", "ssh-ed25519 AAAA", "==b==")).get_payload()
    assert (fetched.get_content_type(), fetched.get_payload()) == ("text/x-include-url", f"#include\n{address}")
    assert against("https://example.org/setup.sh") == against("#include\nhttps://example.org/x") == ""


def test_limits_are_compared_with_all_of_the_servers_together() -> None:
    account = {"account": {"resource_limits": {"cores": "4", "memory": 8192, "storage_total": 1000, "networks": 9}}}
    quota = quotas.quota_from(account, {"cores": 1, "memory": "1024", "storage_total": 0})
    assert quota == Quota({"cores": (1, 4), "memory": (1024, 8192), "storage_total": (0, 1000)})
    facts = {"cores": "2", "memory_mb": "2048", "disk_gb": "50", "tier": "maxiops"}
    one = ServerRequest("web", "x", "z", resolved=facts)
    assert quotas.shortages([one], quota) == []
    (problem,) = quotas.shortages([one, one], quota)
    assert problem.message == "the account may use 4 of cores: 1 are used, 4 more are needed"
    assert quotas.shortages([one] * 99, Quota()) == [], "what is not told is not guessed"


def test_rows_are_read_whatever_is_missing_or_is_text() -> None:
    bare = rows.observed_server({"uuid": "00x", "state": "started", "hostname": "web"}, "198.18.0.1")
    assert (bare.state, bare.name, bare.run) == (ServerState.READY, "web", "")
    assert rows.observed_server({"uuid": "00x", "state": "started"}, "").state is ServerState.STARTING
    assert rows.observed_server({"uuid": "00x", "state": "something new"}, "").state is ServerState.STARTING
    assert rows.observed_server({"uuid": "00x", "state": "error"}, "").state is ServerState.BROKEN
    assert rows.labels_of({"labels": {"label": []}}) == rows.labels_of({"labels": None}) == rows.labels_of({}) == {}
    assert rows.number("12") == 12
    assert rows.number(None) == rows.number({}) == 0
    both = [{"access": "utility", "family": "IPv4", "address": "10.1.0.1"},
            {"access": "public", "family": "IPv6", "address": "2001:db8::1"}]  # fmt: skip
    assert rows.best_address(both) == "2001:db8::1"
    assert rows.best_address([]) == ""


def test_settings_and_credentials_are_checked_in_words() -> None:
    with pytest.raises(UsageError, match="no setting settle") as caught:
        rest_settings(UpCloudSettings, "upcloud", {"settle": 3})
    assert "settle_seconds" in caught.value.hint
    with pytest.raises(UsageError, match="upcloud"):
        rest_settings(UpCloudSettings, "upcloud", {"concurrency": "many"})
    with pytest.raises(UsageError, match="out of range"):
        rest_settings(UpCloudSettings, "upcloud", {"poll_seconds": 0})
    known = rest_settings(UpCloudSettings, "upcloud", {"url": "https://proxy.example.org/upcloud/"})
    assert api_url(known, {}) == "https://proxy.example.org/upcloud/1.3"
    assert api_url(known, {"UPCLOUD_API_URL": "http://127.0.0.1:9180/1.3"}) == "http://127.0.0.1:9180/1.3"
    assert api_url(rest_settings(UpCloudSettings, "upcloud", {}), {}) == "https://api.upcloud.com/1.3"
    for url in ("api.upcloud.com", "ftp://x", "https://me:secret@x", "https://x/?a=b", "http://api.upcloud.com"):
        with pytest.raises(ProviderUnavailable):
            api_url(known, {"UPCLOUD_API_URL": url})
    assert authorization({"UPCLOUD_TOKEN": " ucat_x\n"}) == "Bearer ucat_x"
    assert authorization({"UPCLOUD_USERNAME": "me", "UPCLOUD_PASSWORD": "pw"}) == "Basic bWU6cHc="
    for environ, words in (
        ({}, "UPCLOUD_TOKEN is not set"),
        ({"UPCLOUD_USERNAME": "me"}, "UPCLOUD_PASSWORD is not set"),
        ({"UPCLOUD_TOKEN": "a", "UPCLOUD_USERNAME": "me"}, "different accounts"),
        ({"UPCLOUD_TOKEN": "a b"}, "does not look like a token"),
    ):
        with pytest.raises(ProviderUnavailable, match=words):
            authorization(environ)
