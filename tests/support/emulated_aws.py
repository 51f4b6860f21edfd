"""An emulated AWS for tests: the settings and credentials that make a client talk to it and to nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import pytest
from botocore.exceptions import ConnectionClosedError
from botocore.loaders import Loader, create_loader

from batchwright.app.system_clock import SystemClock
from batchwright.model.ids import Token, run_id, step_token
from batchwright.model.workflow import ServerConfig
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.aws import Aws
from tests.support.emulated import RunningAws

QUICK = {"boot_seconds": 0.2, "shutdown_seconds": 0.1, "stop_seconds": 0.1, "answer_seconds": 0.0, "rate": 0.0}
SETTLE = 1.5

T = TypeVar("T")


def credentials(folder: Path) -> dict[str, str]:
    """The environment of a client that finds these credentials and no others."""
    return {
        "AWS_ACCESS_KEY_ID": "emulated",
        "AWS_SECRET_ACCESS_KEY": "emulated",
        "AWS_CONFIG_FILE": str(folder / "no-config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(folder / "no-credentials"),
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@cache
def loader() -> Loader:
    """Reads botocore's description of AWS once, where each session would read it anew, for 0.2 s of CPU."""
    return create_loader()


def set_credentials(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """In this process, and without whatever the machine has."""
    for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ENDPOINT_URL", "HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name, value in credentials(folder).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("botocore.session.create_loader", lambda _: loader())


def client(server: RunningAws, folder: Path, **settings: str | float) -> Aws:
    """A client of the emulated account, not open."""
    quick = {"settle_seconds": SETTLE, "poll_seconds": 0.1, "rate": 0, "endpoint_url": server.url}
    return Aws.connect("aws", SystemClock(), {"state_dir": str(folder), **quick, **settings})


class LosesAnswers(Aws):
    """Its creates are carried out, and the connection breaks before they are answered."""

    operations: tuple[str, ...] = ("run_instances",)

    async def open(self) -> None:
        await super().open()
        inner = self._connection.change

        async def change(region: str, operation: str, **arguments: Any) -> dict[str, Any]:
            answer = await inner(region, operation, **arguments)
            if operation in self.operations:
                raise ConnectionClosedError(endpoint_url="http://127.0.0.1")
            return answer

        self._connection.change = change  # type: ignore[method-assign]


def config(name: str, plan: str = "t3.micro", zone: str = "eu-central-1a", **more: Any) -> ServerConfig:
    """A small server."""
    return ServerConfig(name, plan, zone, **more)


def instance(token: str, **more: Any) -> dict[str, Any]:
    """The arguments of a RunInstances that is right."""
    image, tags = "ami-0000000000000deb12", [{"Key": "Name", "Value": token}]
    labelled = [{"ResourceType": kind, "Tags": tags} for kind in ("instance", "volume", "network-interface")]
    asked = {"ImageId": image, "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1, "ClientToken": token}
    return {**asked, "TagSpecifications": labelled, **more}


class Visit:
    """One test's use of an open client, under a run of its own."""

    def __init__(self, aws: Aws) -> None:
        self.aws, self.run = aws, run_id(b"a test of AWS")

    def token(self, name: str, generation: int = 0) -> Token:
        return Token(self.run, step_token(self.run, name, generation))

    async def request(self, name: str, **more: Any) -> ServerRequest:
        (answer,) = await self.aws.resolve([config(name, **more)])
        assert isinstance(answer, ServerRequest), answer
        return answer

    async def until(self, look: Callable[[], Coroutine[Any, Any, bool]], tries: int = 2_400) -> None:
        for _ in range(tries):
            if await look():
                return
            await asyncio.sleep(0.05)
        raise AssertionError("it never came to be so")


def visit(aws: Aws, scenario: Callable[[Visit], Coroutine[Any, Any, T]]) -> T:
    """Run a scenario with an open client."""

    async def main() -> T:
        await aws.open()
        try:
            return await scenario(Visit(aws))
        finally:
            await aws.aclose()

    return asyncio.run(main())
