"""Webhooks of clients of the service: whom their workflows may name, and who may send again."""

from __future__ import annotations

import asyncio
import base64
import socket
from pathlib import Path
from typing import Any

import pytest

from batchwright.app.access_tokens import Tokens
from batchwright.app.allowed_settings import ServiceConfig, ServiceSecrets
from batchwright.app.settings import Settings
from batchwright.model.role import Role
from tests.support.service_in_loop import RUNS, serving, workflow
from tests.support.webhook_receiver import WebhookReceiver

ALLOWED = ServiceConfig(secrets=ServiceSecrets(env=("CI_SECRET",)))


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI_SECRET", "whsec_" + base64.b64encode(bytes(32)).decode())
    monkeypatch.setenv("OTHER_SECRET", "whsec_" + base64.b64encode(bytes(32)).decode())


@pytest.fixture(autouse=True)
def nothing_beyond_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up = socket.getaddrinfo

    def known(host: Any, *how: Any, **more: Any) -> Any:
        if str(host).endswith(".example"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return looked_up(host, *how, **more)

    monkeypatch.setattr(socket, "getaddrinfo", known)


def notifying(url: str, secret: str = "CI_SECRET") -> dict[str, Any]:
    return workflow(notify=[{"name": "ci", "url": url, "secret": {"env": secret}, "simulated": True}])


def test_a_client_may_name_no_secret_and_no_address_that_the_operator_has_not_allowed(tmp_path: Path) -> None:
    async def attempt() -> None:
        async with serving(tmp_path, service=ALLOWED) as service:
            refused = await service.submit(notifying("https://ci.example/", "OTHER_SECRET"))
            assert (refused.status, refused.json["code"]) == (403, "secret-refused")
            assert "notify.ci.secret is the variable OTHER_SECRET" in refused.json["diagnostics"][0]["message"]
            refused = await service.submit(notifying("https://169.254.169.254/latest/meta-data"))
            assert (refused.status, refused.json["code"]) == (422, "plan-refused")
            [told] = refused.json["diagnostics"]
            assert told["code"] == "webhook-refused"
            assert "169.254.169.254, a link-local address" in told["message"]
            assert (await service.get(RUNS)).json["items"] == []

    asyncio.run(attempt())


def test_a_name_that_turns_out_private_is_not_sent_to_and_the_run_goes_on(tmp_path: Path) -> None:
    async def attempt() -> None:
        with WebhookReceiver() as receiver:
            async with serving(tmp_path, service=ALLOWED) as service:
                answer = await service.submit(notifying(f"https://localhost:{receiver.port}/"))
                run = answer.json["run"]
                await service.until(run, "Completed")
                for _ in range(6_000):
                    [line] = (await service.get("/v1/webhooks", params={"run": run})).json["items"]
                    if line["answer"]:
                        break
                    await asyncio.sleep(0.02)
                assert line["state"] == "retrying"
                assert "not sent: localhost is" in line["answer"]
                assert "an address of the machine itself" in line["answer"]
            assert receiver.requests == []

    asyncio.run(attempt())


def test_who_may_only_read_sees_deliveries_and_sends_nothing_again(tmp_path: Path) -> None:
    async def attempt() -> None:
        tokens = Tokens(Settings(tmp_path))
        heads = {
            role: {"Authorization": f"Bearer {tokens.create(role.value, role, 0.0, None)[1]}"}
            for role in (Role.VIEWER, Role.OPERATOR)
        }
        async with serving(tmp_path) as service:
            for role, seen, sent in ((Role.VIEWER, 200, 403), (Role.OPERATOR, 200, 404)):
                assert (await service.get("/v1/webhooks", headers=heads[role])).status == seen
                path = "/v1/webhooks/resend?failed=true"
                assert (await service.post(path, headers=heads[role])).status == sent
            assert (await service.get("/v1/webhooks")).status == 401

    asyncio.run(attempt())


def test_a_reader_sees_only_the_host_of_a_url(tmp_path: Path) -> None:
    async def attempt() -> None:
        async with serving(tmp_path, service=ALLOWED) as service:
            run = (await service.submit(notifying("https://ci.example/hidden?token=hidden"))).json["run"]
            await service.until(run, "Completed")
            assert "hidden" not in str(await service.events(run))
            listed = (await service.get("/v1/webhooks")).json["items"]
            assert [line["receiver"] for line in listed] == ["https://ci.example/..."]

    asyncio.run(attempt())
