"""The bridge to Libcloud through the provider suite: over Libcloud's own dummy driver, which keeps nothing it is given,
and over dummies that keep a name or metadata, as the drivers of real clouds do."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from libcloud.compute.base import Node, StorageVolume
from libcloud.compute.drivers.dummy import DummyNodeDriver

from batchwright.app.system_clock import SystemClock
from batchwright.model.clock import Clock
from batchwright.model.workflow import ServerConfig
from batchwright.providers.base import Provider
from batchwright.testing.provider_suite import ProviderSuite
from batchwright_libcloud import Libcloud


class NamingDriver(DummyNodeDriver):
    """Keeps names, takes user_data, and never gives an id twice."""

    def __init__(self) -> None:
        super().__init__("0")
        self._ids = itertools.count(100)
        self.told: list[str] = []
        self.loses = False
        self.volumes: list[StorageVolume] = []

    def list_volumes(self) -> list[StorageVolume]:
        """Each node starts from one of its own."""
        roots = [
            StorageVolume(f"root-{node.id}", "root", 10, self, extra={"instance_id": node.id, "device": "/dev/sda"})
            for node in self.list_nodes()
        ]
        return [*self.volumes, *roots]

    def attach(self, node: str) -> str:
        """Somebody's volume, in the way of EC2."""
        extra = {"attachments": [{"server_id": node, "device": "/dev/sdf"}]}
        self.volumes.append(StorageVolume(f"vol-{next(self._ids)}", "data", 10, self, extra=extra))
        return str(self.volumes[-1].id)

    def detach_volume(self, volume: StorageVolume) -> bool:
        volume.extra = {"attachments": []}
        return True

    def destroy_node(self, node: Node) -> bool:
        """It takes with it whatever is attached."""
        self.volumes = [one for one in self.volumes if str(node.id) not in str(one.extra)]
        return bool(super().destroy_node(node))

    def create_node(self, name: str, size: Any, image: Any, location: Any, ex_user_data: str) -> Node:
        assert (size.name, image.name, location.name) == ("Small", "Ubuntu 9.10", "London Loft")
        node = super().create_node(name, size, image)
        node.name, node.id = name, str(next(self._ids))
        self.told.append(ex_user_data)
        if self.loses:
            raise TimeoutError("the answer was lost")
        return node


class LabellingDriver(NamingDriver):
    """Keeps metadata, as OpenStack does."""

    def create_node(
        self, name: str, size: Any, image: Any, location: Any, ex_user_data: str, ex_metadata: dict[str, str]
    ) -> Node:
        loses, self.loses = self.loses, False
        node = super().create_node(name, size, image, location, ex_user_data)
        self.loses = loses
        node.extra = {"metadata": dict(ex_metadata)}
        if loses:
            raise TimeoutError("the answer was lost")
        return node


class LibcloudRig(ProviderSuite):
    adopt, zone = "nothing", "default"
    patience = 30.0
    shows_labels = False

    def driver(self) -> DummyNodeDriver:
        return DummyNodeDriver("0")

    @pytest.fixture(autouse=True)
    def _account(self, tmp_path):  # type: ignore[no-untyped-def]
        self.state, self.cloud = tmp_path, self.driver()
        yield
        assert sorted(node.name for node in self.cloud.list_nodes()) == ["dummy-1", "dummy-2"], "only its own are left"

    def client(self) -> Provider:
        told = {"state_dir": str(self.state), "driver": "dummy", "adopt": self.adopt, "concurrency": 1}
        times = {"settle_seconds": 0.2, "poll_seconds": 0.02}
        return Libcloud("libcloud", SystemClock(), {**told, **times}, {"LIBCLOUD_KEY": "0"}, lambda: self.cloud)

    def clock(self) -> Clock:
        return SystemClock()

    def config(self, name: str) -> ServerConfig:
        return ServerConfig(name, "Small", self.zone, image="Ubuntu 9.10")


class TestDummy(LibcloudRig):
    """Nothing that the create call is given is kept; so a record on this machine has to do."""

    def test_it_says_what_it_cannot_promise(self) -> None:
        capabilities = self.client().capabilities
        assert not capabilities.adopts
        assert "duplicates are possible" in capabilities.note


class TestByName(LibcloudRig):
    """Run and token are part of the name."""

    adopt, zone = "name", "London Loft"

    def attach(self, ref: str) -> set[str]:
        assert isinstance(self.cloud, NamingDriver)
        return {self.cloud.attach(ref)}

    def foreign(self) -> set[str]:
        assert isinstance(self.cloud, NamingDriver)
        return {str(volume.id) for volume in self.cloud.volumes}

    def driver(self) -> DummyNodeDriver:
        return NamingDriver()

    def losing_client(self) -> Provider:
        assert isinstance(self.cloud, NamingDriver)
        self.cloud.loses = True
        return self.client()

    def test_servers_can_be_reached_by_the_host_key_they_were_given(self) -> None:
        async def scenario(bench: Any) -> None:
            ref = await bench.created("suite-host")
            way = (await bench.provider.access([ref]))[ref]
            assert way.user == "root"
            assert isinstance(self.cloud, NamingDriver)
            assert way.host_keys[0].split()[1] in self.cloud.told[0]

        self.play(scenario)


class TestByMetadata(TestByName):
    """The labels are metadata."""

    adopt = "metadata"
    shows_labels = True

    def driver(self) -> DummyNodeDriver:
        return LabellingDriver()

    def labels(self, ref: str) -> dict[str, str]:
        return dict(self._node(ref).extra["metadata"])

    def label(self, ref: str, key: str, value: str) -> None:
        self._node(ref).extra["metadata"][key] = value

    def _node(self, ref: str) -> Node:
        (node,) = [one for one in self.cloud.list_nodes() if one.id == ref]
        return node
