"""The container image: built from deploy/Containerfile, run as deploy/compose.yaml and Kubernetes run it."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support.command_line import PATIENCE
from tests.support.container_engine import ContainerEngine, container_engine
from tests.support.service_in_loop import workflow

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("container")]
IMAGE, BASE = "localhost/batchwright:test", "localhost/base:test"
LOOKS = 600
SUBMIT = "/v1/workflows/batch/submit?simulate=true&sim=boot_seconds=2&sim=answer_seconds=0.2"
ASK = """
import sys, urllib.request as r
method, path, token, body = sys.argv[1:]
headers = {'Authorization': 'Bearer ' + token, 'Content-Type': 'application/json', 'Accept': '*/*'}
asked = r.Request('http://127.0.0.1:9090' + path, body.encode() or None, headers, method=method)
print(r.urlopen(asked, timeout=30).read().decode())
"""


@pytest.fixture(scope="module")
def engine() -> Iterator[ContainerEngine]:
    with container_engine(Path(tempfile.mkdtemp(prefix="bwcontainer-"))) as made:
        made.base_image(BASE)
        made.batchwright_image(IMAGE, BASE)
        yield made


class Container:
    """A service in a container, asked from inside: it has no network."""

    def __init__(self, engine: ContainerEngine, name: str) -> None:
        self._engine, self._name = engine, name
        self.token = ""

    def ask(self, method: str, path: str, body: Any = None) -> str:
        sent = "" if body is None else json.dumps(body)
        python = ["/opt/batchwright/bin/python", "-c", ASK]
        return self._engine.podman("exec", self._name, *python, method, path, self.token, sent)

    def until(self, path: str, pattern: str) -> str:
        for _ in range(LOOKS):
            found = self.ask("GET", path)
            if re.search(pattern, found):
                return found
            time.sleep(0.1)  # between two looks
        raise AssertionError(f"{path} never had {pattern}: {found}")


@contextmanager
def container(engine: ContainerEngine, name: str, *options: str) -> Iterator[tuple[Container, subprocess.Popen[str]]]:
    """A running service with its state in the volume `state`."""
    words = ["run", "--rm", "--name", name, "--read-only", "--volume", "state:/var/lib/batchwright", *options]
    command = engine.command("podman", *words, *engine.run_options(), IMAGE)
    with (engine.folder / f"{name}.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, text=True)
        try:
            for _ in range(LOOKS):
                if "batchwright serves" in (said := Path(log.name).read_text()):
                    break
                assert process.poll() is None, said
                time.sleep(0.1)
            yield Container(engine, name), process
        finally:
            engine.podman("rm", "--force", name, code=None)
            process.wait(PATIENCE)


def inside(engine: ContainerEngine, *words: str) -> str:
    """What a command prints in a container of its own, with the same volume."""
    volume = ["--volume", "state:/var/lib/batchwright"]
    return engine.podman("run", "--rm", "--read-only", *volume, *engine.run_options(), IMAGE, *words)


def test_a_run_goes_on_in_the_next_container(engine: ContainerEngine) -> None:
    refused = engine.podman("run", "--rm", "--read-only", *engine.run_options(), IMAGE, code=None)
    assert "Create one first" in refused  # nobody gets in without a token
    token = inside(engine, "token", "create", "--role", "admin").split()[0]
    with container(engine, "one") as (service, process):
        service.token = token
        assert [one["ok"] for one in json.loads(service.ask("GET", "/health"))["stores"]] == [True]
        assert "<title>" in service.ask("GET", "/ui/")
        engine.podman("healthcheck", "run", "one")
        owner = engine.podman("exec", "one", "python3", "-c", "import os; print(os.getuid(), os.getgid())")
        assert owner.split() == ["10001", "10001"]
        readonly = "open('/opt/batchwright/x', 'w')"
        assert "Read-only file system" in engine.podman("exec", "one", "python3", "-c", readonly, code=1)
        run = json.loads(service.ask("POST", SUBMIT, workflow("shop", 60)))["run"]
        service.until(f"/v1/workflows/batch/{run}", '"succeeded":[1-9]')
        engine.podman("kill", "--signal", "TERM", "one")
        assert process.wait(PATIENCE) == 0
    log = (engine.folder / "one.log").read_text()
    assert "stopped; 1 run will continue when it is started again" in log
    with container(engine, "two") as (service, _):
        service.token = token
        service.until(f"/v1/workflows/batch/{run}", '"status":"Completed"')
        names = json.loads(service.ask("GET", f"/v1/workflows/batch/{run}/servers"))
        assert len({one["name"] for one in names["items"]}) == len(names["items"]) == 60
    assert "Completed" in inside(engine, "status", run)
