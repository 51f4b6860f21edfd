"""Endpoints as variables give them: read in the same way by deploys and, in shell, by checks."""

from __future__ import annotations

import subprocess

import pytest

from batchwright.taskservs.listen_addresses import endpoint, endpoints
from batchwright.taskservs.runner.shell_snippets import CHECKING


@pytest.mark.parametrize(
    ("given", "host", "port"),
    [
        ("10.0.0.5:8080", "10.0.0.5", 8080),
        ("10.0.0.5", "10.0.0.5", 80),
        ("web-1.shop.test:1", "web-1.shop.test", 1),
        ("fd00::5", "fd00::5", 80),
        ("fd00:1:2:3:4:5:6:7", "fd00:1:2:3:4:5:6:7", 80),
        ("[fd00::5]:65535", "fd00::5", 65535),
        ("[fd00::5]", "fd00::5", 80),
    ],
)
def test_an_endpoint_has_a_port_of_its_own_or_the_one_beside_it(given: str, host: str, port: int) -> None:
    assert endpoints([given], 80) == [endpoint(host, port)]
    script = f'{CHECKING}port_accepts() {{ echo "$1 $2"; }}; authority "$1" 80; endpoint_accepts "$1" 80'
    said = subprocess.run(["sh", "-c", script, "sh", given], check=True, capture_output=True, text=True).stdout
    assert said.splitlines() == [endpoint(host, port), f"{host} {port}"]


@pytest.mark.parametrize("given", ["", ":80", "a:0", "a:65536", "a:x", "a b", "[fd00::5", "[a]:80", "a:1:2", "a;b"])
def test_what_is_no_endpoint_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match=r"no address|a port is"):
        endpoints([given], 80)


def test_one_endpoint_stands_there_once() -> None:
    with pytest.raises(ValueError, match="a:80 is listed twice"):
        endpoints(["a", "a:80"], 80)
