"""The AWS adapter through the provider suite, against the emulated account: as it is, and with what makes it hard."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import pytest
from msgspec.structs import replace

from batchwright.app.system_clock import SystemClock
from batchwright.emulators.aws import AwsBehaviour
from batchwright.emulators.aws.resources import Instance
from batchwright.model.clock import Clock
from batchwright.model.workflow import ServerConfig
from batchwright.providers.aws import Aws
from batchwright.providers.base import Provider
from batchwright.testing.provider_suite import ProviderSuite
from tests.support.emulated import RunningAws
from tests.support.emulated_aws import QUICK, LosesAnswers, client, config, set_credentials


class AwsSuite(ProviderSuite):
    """The suite in real time, against a server of each test's own."""

    patience = 30.0
    behaviour: ClassVar[dict[str, float]] = {}
    settle = 0.4
    zone = "eu-central-1a"
    server: RunningAws

    @pytest.fixture(autouse=True)
    def _account(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        set_credentials(monkeypatch, tmp_path)
        self.folder, self.hung, self.kept = tmp_path, set[str](), AwsBehaviour()
        with RunningAws(AwsBehaviour(**{**QUICK, **self.behaviour})) as self.server:  # type: ignore[arg-type]
            yield
            left = self.server.account.inventory()
            volumes, interfaces = ([x for x in some if x not in self.hung] for some in (left.volumes, left.interfaces))
            assert (left.instances, volumes, interfaces, left.groups, left.keys) == ([], [], [], [], [])
            assert "UnknownParameter" not in left.refused

    def attach(self, ref: str) -> set[str]:
        region, _, instance = ref.rpartition("/")
        here, now = self.server.account.regions[region], time.time()
        subnet, zone = next(iter(here.subnets.items()))
        volume, face = here.new_volume(zone, {"Name": "data"}, now), here.new_interface(subnet, [], now)
        here.attach_volume(volume, instance, "/dev/sdf")
        here.attach_interface(face, instance, 1)
        volume.ends_with_instance = face.ends_with_instance = True
        self.hung = {volume.id, face.id}
        return self.hung

    def foreign(self) -> set[str]:
        left = self.server.account.inventory()
        return {*left.volumes, *left.interfaces} & self.hung

    def client(self) -> Provider:
        return client(self.server, self.folder, settle_seconds=self.settle)

    def losing_client(self) -> Provider:
        return self._losing("run_instances")

    def change_losing_client(self) -> Provider:
        """Each of its changes breaks off."""
        changes = "stop_instances", "modify_instance_attribute", "start_instances", "create_tags", "delete_tags"
        return self._losing(*changes)

    def _losing(self, *operations: str) -> Provider:
        losing = LosesAnswers.connect("aws", SystemClock(), {})
        losing.__dict__.update(self.client().__dict__)
        losing.operations = operations  # type: ignore[attr-defined]
        return losing

    def refusing_client(self) -> Provider:
        """The quota has room for the smaller plan only: EC2 refuses the start, and not the change."""
        account = self.server.account

        class Refusing(Aws):
            async def open(inner) -> None:  # noqa: N805
                await super().open()
                self.kept = account.behaviour
                account.behaviour = replace(account.behaviour, vcpus=3)

            async def aclose(inner) -> None:  # noqa: N805
                account.behaviour = self.kept
                await super().aclose()

        refusing = Refusing.connect("aws", SystemClock(), {})
        refusing.__dict__.update(self.client().__dict__)
        return refusing

    def other_plan(self) -> str:
        return "t3.xlarge"

    def labels(self, ref: str) -> dict[str, str]:
        return dict(self._instance(ref).tags)

    def label(self, ref: str, key: str, value: str) -> None:
        self._instance(ref).tags[key] = value

    def disown(self, ref: str) -> Callable[[], None]:
        instance = self._instance(ref)
        kept, instance.tags = instance.tags, {}
        instance.made_at -= 3600.0  # so old that its tags cannot be late
        return lambda: setattr(instance, "tags", kept)

    def _instance(self, ref: str) -> Instance:
        region, _, instance = ref.rpartition("/")
        return self.server.account.regions[region].instances[instance]

    def clock(self) -> Clock:
        return SystemClock()

    def config(self, name: str) -> ServerConfig:
        return config(name, zone=self.zone)

    def bad_config(self) -> ServerConfig | None:
        return config("suite-bad", plan="2xCPU-3TB")


@pytest.mark.long  # TestAwsHard asks for all of it, and more
class TestAws(AwsSuite):
    """As it is."""


class TestAwsHard(AwsSuite):
    """E2: disks show up before the instances they belong to, tags later than ids; pages are small; a whole region."""

    behaviour: ClassVar = {"list_lag": 0.2, "lag_instances": 0.4, "lag_tags": 0.6, "page_size": 5}
    settle = 1.1
    zone = "us-east-1"


@pytest.mark.long  # TestAwsHard has later tags and instances too
class TestAwsTagsLate(AwsSuite):
    """E2: all else is seen at once."""

    behaviour: ClassVar = {"lag_tags": 0.4, "lag_instances": 0.2}
    settle = 0.9
