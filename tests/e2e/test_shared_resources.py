"""What servers of a run share in a cloud, a key or a security group, goes with the last of them, whoever ends it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct
from tests.support.command_line import Command
from tests.support.emulated import RunningAws, RunningHetzner, Serving
from tests.support.emulated_aws import QUICK, credentials

from batchwright.emulators.aws import AwsBehaviour
from batchwright.emulators.hetzner import HetznerBehaviour
from batchwright.testing.provider_kill_suite import look

CONFIG = "settle_seconds = 0.1\npoll_seconds = 0.05\nrate = 0\n"


class Cloud(Struct, frozen=True):
    """A cloud, a plan and a zone there, and the kinds of its summary that servers of a run share."""

    name: str
    plan: str
    zone: str
    shared: tuple[str, ...]


CLOUDS = [
    Cloud("hetzner", "cx23", "fsn1", ("ssh_keys",)),
    Cloud("aws", "t3.micro", "eu-central-1", ("groups", "keys")),
]


class Account:
    """A terminal over an emulated account."""

    def __init__(self, cloud: Cloud, folder: Path, running: Serving, environ: dict[str, str]) -> None:
        self._cloud, self._url = cloud, running.url
        config = folder / "config" / "batchwright"
        config.mkdir(parents=True)
        (config / "config.toml").write_text(f"[{cloud.name}]\n{CONFIG}")
        self.shell = Command(folder, XDG_CONFIG_HOME=str(config.parent), **environ)

    def run(self, *names: str) -> None:
        """Servers of these names; what the file no longer asks for goes."""
        configs = [{"name": name, "plan": self._cloud.plan, "zone": self._cloud.zone} for name in names]
        operation = {"id": "up", "type": "server_batch", "provider": self._cloud.name, "server_configs": configs}
        workflow = {"name": "shop", "version": "1", "operations": [operation]}
        (self.shell.home / "shop.json").write_text(json.dumps({"batch_workflow": workflow}))
        self.shell("run", "shop.json", "--retire")

    def shared(self) -> list[int]:
        """How many there are of each kind."""
        held: dict[str, Any] = look(f"{self._url}/_emulator")
        return [len(held[kind]) for kind in self._cloud.shared]


@contextmanager
def account(cloud: Cloud, folder: Path) -> Iterator[Account]:
    if cloud.name == "aws":
        with RunningAws(AwsBehaviour(**QUICK)) as aws:  # type: ignore[arg-type]
            yield Account(cloud, folder, aws, {**credentials(folder), "AWS_ENDPOINT_URL": aws.url})
    else:
        with RunningHetzner(HetznerBehaviour(time_scale=0.001)) as hetzner:
            yield Account(cloud, folder, hetzner, hetzner.environ)


@pytest.mark.parametrize("cloud", CLOUDS, ids=lambda cloud: cloud.name)
def test_it_stays_for_those_that_stay_and_goes_with_the_last(cloud: Cloud, tmp_path: Path) -> None:
    """It stayed in the account for ever: only a run's own rollback had removed it."""
    with account(cloud, tmp_path) as here:
        here.run("a", "b")
        one = here.shared()
        assert all(one)
        here.run("b", "c")
        assert here.shared() == [2 * count for count in one], "b needs what the first run created"
        here.run("c")
        assert here.shared() == one
        here.shell("servers", "destroy", "c", "--yes")
        here.run("c")
        assert here.shared() == one, "c is another run's now"
        here.shell("destroy", "shop", "--yes")
        assert not any(here.shared())
