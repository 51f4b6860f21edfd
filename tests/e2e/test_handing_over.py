"""An environment passes from one machine to another: the store and a shared key, and no state folder of the first.

The cloud is an emulated AWS with real servers behind it, so there is a real sshd to log in to.
"""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from tests.conformance.surreal_bridge import PASSWORD, USER, Bridge
from tests.support.command_line import COMMAND, PATIENCE, Command
from tests.support.emulated import Running, RunningAws, RunningHetzner
from tests.support.emulated_aws import QUICK, credentials
from tests.support.needs import tool
from tests.support.sandboxes import need_sandboxes
from tests.support.ssh_agent import ssh_agent

from batchwright.emulators.aws import AwsBehaviour
from batchwright.emulators.hetzner import HetznerBehaviour
from batchwright.emulators.upcloud import UpCloudBehaviour

METADATA = """\
name: {name}
version: "1"
summary: A file
seconds: 1
check: [{{ name: there, run: "test -e /etc/{name}" }}]
"""
DEPLOY = """\
from pyinfra.operations import files

def install(v):
    files.directory(name="make it", path="/etc/{name}")
    {more}

def remove(v):
    files.directory(name="remove it", path="/etc/{name}", present=False)
"""
STORES = ("filesystem", pytest.param("surrealdb", marks=pytest.mark.long))
EXCLUSIVE = "[aws]\nexclusive = true\n"
UNUSED = "/nowhere"  # the agent of somebody whose key is in a file: no deploy sees it
STORE_FILES = ("journal.db", "journal.mark", "environments")


class Person(Command):
    """Somebody at a machine of their own, with these lines in config.toml."""

    def __init__(
        self, home: Path, cloud: dict[str, str], catalogue: Path, store: str, ssh: str, quick: str = EXCLUSIVE
    ) -> None:
        home.mkdir()
        super().__init__(home, **cloud)
        place = home / ".config" / "batchwright"
        place.mkdir(parents=True)
        identity = f'[ssh]\nidentity = "{ssh}"\n' if ssh else ""
        text = f'catalogues = ["{catalogue}"]\n{quick}{identity}{store}'
        (place / "config.toml").write_text(text)
        self.state = home / ".local" / "state" / "batchwright"

    def shop(self, *taskservs: str, store: str) -> str:
        """A file with one server and these task services."""
        config = {"name": "web-1", "plan": "1xCPU-2GB", "zone": "eu-central-1"}
        install = {"id": "install", "type": "taskserv_batch", "provider": "aws", "dependencies": ["web"]}
        operations = [
            {"id": "web", "type": "server_batch", "provider": "aws", "server_configs": [config]},
            {**install, "taskservs": taskservs, "retry": {"max_attempts": 1}},
        ]
        inner = {"name": "shop", "version": "1", "storage_backend": store, "operations": operations}
        (self.home / "shop.json").write_text(json.dumps({"batch_workflow": inner}))
        return "shop.json"

    def takes(self, other: Person) -> None:
        """Copy the other's store: nothing else of the state folder."""
        self.state.mkdir(parents=True)
        for name in STORE_FILES:
            place = other.state / name
            if place.is_dir():
                shutil.copytree(place, self.state / name)
            elif place.exists():
                shutil.copy(place, self.state / name)

    def server(self) -> dict[str, Any]:
        found = self.json("servers", "--environment", "shop")
        assert found["troubles"] == []
        (one,) = found["servers"]
        return dict(one)


def entry(folder: Path, name: str, more: str = "") -> None:
    (folder / name).mkdir(parents=True)
    (folder / name / "taskserv.yaml").write_text(METADATA.format(name=name))
    (folder / name / "deploy.py").write_text(DEPLOY.format(name=name, more=more))


@contextlib.contextmanager
def emulated(folder: Path, base: Path) -> Iterator[dict[str, str]]:
    """An emulated AWS with real servers behind it, and what its clients need in their environment."""
    words = ["emulate", "aws", "--backed-by", "local", "--port", "0", "--time-scale", "0.1"]
    command = Command(folder, XDG_CACHE_HOME=str(base.parents[2]))
    with subprocess.Popen(
        [*COMMAND, *words, "--state-dir", str(folder / "cloud")], env=command.env, cwd=folder, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if "use it" in line:
                    words = shlex.split(line.partition("export")[2])
                    yield dict(word.split("=", 1) for word in words)
                    break
        finally:
            process.terminate()  # it takes away the servers that stood behind
            process.communicate(timeout=PATIENCE)


@contextlib.contextmanager
def shared_store(kind: str, folder: Path) -> Iterator[str]:
    """The lines of config.toml for a store that both machines have; none for one that is copied."""
    if kind == "filesystem":
        yield ""
        return
    with Bridge() as bridge:
        (folder / "password").write_text(PASSWORD)
        place = f'{{ file = "{folder}/password" }}'
        yield f'[surrealdb]\nurl = "{bridge.url}"\nuser = "{USER}"\npassword = {place}\n'


@pytest.mark.parametrize("store", STORES)
def test_a_colleague_carries_on_with_the_store_and_the_key(store: str, tmp_path: Path) -> None:
    base = need_sandboxes()
    key = asyncssh.generate_private_key("ssh-ed25519")
    for name in ("ada.key", "bob.key"):
        key.write_private_key(str(tmp_path / name))
        (tmp_path / name).chmod(0o600)
    print_ = key.get_fingerprint()
    catalogue = tmp_path / "catalogue"
    entry(catalogue, "first")
    entry(catalogue, "second", 'import os; assert "SSH_AUTH_SOCK" not in os.environ')
    entry(catalogue, "third", 'raise RuntimeError("not today")')
    with emulated(tmp_path, base) as cloud, shared_store(store, tmp_path) as lines:
        ada = Person(tmp_path / "ada", cloud, catalogue, lines, str(tmp_path / "ada.key"))
        plan = ada("plan", ada.shop("first", store=store)).stdout
        assert print_ in plan, "whom a server lets in is part of what is approved"
        assert ada.json("run", "shop.json")["status"] == "Completed"
        mine = ada.server()
        assert (mine["environment"], mine["operation"], mine["taskservs"]) == ("shop", "web", ["first"])
        assert not list(ada.state.glob("keys/*/id_ed25519")), "the run has no key of its own"

        bob = Person(tmp_path / "bob", {**cloud, "SSH_AUTH_SOCK": UNUSED}, catalogue, lines, str(tmp_path / "bob.key"))
        if not lines:
            bob.takes(ada)
        told = bob.server()
        assert told["access"]["host_keys"] == mine["access"]["host_keys"] != []
        assert bob.as_process("servers", "ssh", "web-1", "hostname").stdout == "web-1\n"
        assert bob("check", "latest").stdout.endswith("all healthy\n")
        assert bob.json("run", bob.shop("first", "second", store=store))["status"] == "Completed"
        bob("drift", "shop")
        assert bob.json("rollback", "latest", "--yes")["status"] == "RolledBack"
        assert bob.server()["taskservs"] == ["first"]
        other_tools(bob)

        failed = bob.json("run", bob.shop("first", "third", store=store), code=1)
        assert failed["status"] == "Failed"
        cleo = Person(tmp_path / "cleo", cloud, catalogue, lines, "")
        if not lines:
            cleo.takes(bob)
        without_the_key(cleo, failed["run"], print_, store)

        with ssh_agent(tmp_path, tmp_path / "ada.key") as socket:
            dan = Person(tmp_path / "dan", {**cloud, "SSH_AUTH_SOCK": socket}, catalogue, lines, "agent")
            if not lines:
                dan.takes(bob)
            assert dan.as_process("servers", "ssh", "web-1", "hostname").stdout == "web-1\n"
            assert dan.json("run", dan.shop("first", "second", store=store))["status"] == "Completed"
            assert dan("check", "latest").stdout.endswith("all healthy\n")
            another_host_key(dan)
            assert dan.json("destroy", "shop", "--yes")["status"] == "Completed"
            assert dan.json("servers", "--environment", "shop")["servers"] == []
        for person in (bob, cleo, dan):
            assert not list(person.state.glob("keys/*/id_ed25519"))
        for file in (path for person in (ada, bob, dan) for path in person.state.glob("journal*")):
            assert b"PRIVATE KEY" not in file.read_bytes()


def other_tools(person: Person) -> None:
    """OpenSSH and Ansible take what is printed for them."""
    config, inventory = person.home / "ssh.conf", person.home / "hosts"
    config.write_text(person("servers", "--environment", "shop", "--ssh-config").stdout)
    line = [tool("ssh", "scripts/local.sh"), "-F", str(config), "-o", "BatchMode=yes", "web-1", "hostname"]
    assert subprocess.run(line, capture_output=True, text=True, check=True, timeout=PATIENCE).stdout == "web-1\n"
    ansible = tool("ansible", "scripts/setup.sh")
    inventory.write_text(f"#!/bin/sh\nexec {shlex.join(COMMAND)} servers --inventory json\n")
    inventory.chmod(0o700)
    (person.home / "hosts.ini").write_text(person("servers", "--inventory", "ini").stdout)
    env = person.env | {
        "ANSIBLE_SSH_ARGS": "-o ControlMaster=no"
    }  # its socket's path may be too long in a test's folder
    for place, group in ((inventory, "taskserv_first"), (person.home / "hosts.ini", "environment_shop")):
        module = "setup" if place == inventory else "ping"
        line = [ansible, "-i", str(place), group, "-m", module]
        done = subprocess.run(
            line, env=env, cwd=person.home, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "web-1 | SUCCESS" in done.stdout


def without_the_key(person: Person, run: str, fingerprint: str, store: str) -> None:
    """Each command says which key is missing; what needs no login works."""
    one = person.server()
    assert one["ssh"] == ""
    assert fingerprint in one["no_login"]
    assert fingerprint in person("servers").stdout
    assert fingerprint in person("servers", "ssh", "web-1", "true", code=2).stderr
    assert fingerprint in person("check", run, code=2).stdout
    resumed = person.json("resume", run, code=2)["error"]
    assert resumed["code"] == "login-key-missing"
    assert fingerprint in resumed["message"]
    planned = person("run", person.shop("first", "second", store=store), code=1)
    assert fingerprint in planned.stdout + planned.stderr
    left_out = person("servers", "--ssh-config")
    assert "Host " not in left_out.stdout
    assert f"left out: it lets in the key {fingerprint}" in left_out.stderr
    assert "web-1" in person("destroy", "shop", "--plan").stdout, "which needs no login"


def another_host_key(person: Person) -> None:
    """Only the recorded one is trusted."""
    known = person.server()["access"]["host_keys"][0]
    changed = 'sudo sh -c \'cd /etc/ssh && rm ssh_host_* && ssh-keygen -q -t ed25519 -N "" -f ssh_host_ed25519_key && '
    person.as_process("servers", "ssh", "web-1", changed + "systemctl restart ssh'")
    told = person("check", "latest", code=2).stdout
    expected = asyncssh.import_public_key(known).get_fingerprint()
    found = re.search(r"expected (\S+), found (\S+)\.", told)
    assert found is not None, told
    assert found[1] == expected
    assert found[2] != expected
    assert "HOST IDENTIFICATION HAS CHANGED" in person.as_process("servers", "ssh", "web-1", "true", code=255).stderr


def clouds(cloud: str, folder: Path) -> tuple[Any, dict[str, str], str, str]:
    """An account in which a server takes a while to start: what serves it, its clients' environment, plan and zone."""
    if cloud == "aws":
        aws = RunningAws(AwsBehaviour(**{**QUICK, "boot_seconds": 3.0}))  # type: ignore[arg-type]
        return aws, {"AWS_ENDPOINT_URL": "URL", **credentials(folder)}, "1xCPU-2GB", "eu-central-1"
    if cloud == "upcloud":
        return Running(UpCloudBehaviour(time_scale=0.1)), {}, "1xCPU-2GB", "de-fra1"
    return RunningHetzner(HetznerBehaviour(time_scale=0.15)), {}, "cx23", "fsn1"


def held(cloud: str, served: Any) -> list[str]:
    """The servers of an emulated account."""
    if cloud == "aws":
        return [str(one) for one in served.account.inventory().instances]
    if cloud == "upcloud":
        return list(served.emulator.account.all_servers)
    return [str(one.id) for one in served.emulator.account.all("servers")]


@pytest.mark.parametrize("cloud", ["aws", "upcloud", "hetzner"])
def test_a_run_that_was_killed_goes_on_from_another_machine(cloud: str, tmp_path: Path) -> None:
    """The killed process has not recorded the host key: the server tells it, and the journal keeps it."""
    served, environ, plan, zone = clouds(cloud, tmp_path)
    key = asyncssh.generate_private_key("ssh-ed25519")
    key.write_private_key(str(tmp_path / "key"))
    (tmp_path / "key").chmod(0o600)
    catalogue = tmp_path / "catalogue"
    entry(catalogue, "first")
    with served:
        environ = {name: served.url if value == "URL" else value for name, value in environ.items()}
        environ = environ or served.environ
        quick = f"[{cloud}]\nexclusive = true\nsettle_seconds = 1\npoll_seconds = 0.1\n"
        ada = Person(tmp_path / "ada", environ, catalogue, "", str(tmp_path / "key"), quick)
        config = {"name": "web-1", "plan": plan, "zone": zone}
        batch = {"id": "web", "type": "server_batch", "provider": cloud, "server_configs": [config]}
        inner = {"name": "shop", "version": "1", "operations": [batch]}
        (ada.home / "shop.json").write_text(json.dumps({"batch_workflow": inner}))
        ada("plan", "shop.json")
        with ada.start("run", "shop.json") as process:
            while not held(cloud, served):
                assert process.poll() is None
                time.sleep(0.005)  # leaves the processor to it
            process.kill()
        (killed,) = ada.json("list")["runs"]
        assert killed["status"] == "Running"
        bob = Person(tmp_path / "bob", environ, catalogue, "", str(tmp_path / "key"), quick)
        bob.takes(ada)
        assert bob.json("resume", killed["run"])["status"] == "Completed"
        assert len(held(cloud, served)) == 1
        lines = bob("events", killed["run"], "--json").stdout.splitlines()
        (succeeded,) = [one for one in map(json.loads, lines) if one["type"] == "step_succeeded"]
        assert len(succeeded["host_keys"]) == 1
        assert bob.server()["access"]["host_keys"] == succeeded["host_keys"]
        (given,) = ada.state.glob("keys/*/hosts/*/id_ed25519")
        public = asyncssh.read_private_key(str(given)).export_public_key().decode().split()[:2]
        assert succeeded["host_keys"] == [" ".join(public)], "the one that the first machine gave it"


def test_a_run_with_a_key_of_its_own_is_not_resumed_without_it(tmp_path: Path) -> None:
    """A second key of the same run would let nobody in to its first servers."""
    catalogue = tmp_path / "catalogue"
    entry(catalogue, "first")
    with RunningHetzner(HetznerBehaviour(time_scale=0.001, quota_servers=1)) as served:
        quick = "[hetzner]\nexclusive = true\npoll_seconds = 0.1\n"
        ada = Person(tmp_path / "ada", served.environ, catalogue, "", "", quick)
        configs = [{"name": name, "plan": "cx23", "zone": "fsn1"} for name in ("web-1", "web-2")]
        batch = {"id": "web", "type": "server_batch", "provider": "hetzner", "server_configs": configs}
        inner = {"name": "shop", "version": "1", "operations": [batch]}
        (ada.home / "shop.json").write_text(json.dumps({"batch_workflow": inner}))
        run = ada.json("run", "shop.json", code=1)["run"]
        (own,) = ada.state.glob("keys/*/id_ed25519")
        bob = Person(tmp_path / "bob", served.environ, catalogue, "", "", quick)
        bob.takes(ada)
        refused = bob.json("resume", run, code=2)["error"]
        assert refused["code"] == "login-key-missing"
        assert str(bob.state / own.relative_to(ada.state)) in refused["message"]
        assert "[ssh] identity" in refused["hint"]
        (one,) = bob.json("servers")["servers"]
        assert "the key of its run" in one["no_login"]
        assert bob.json("rollback", run, "--yes")["status"] == "RolledBack"
        assert bob.json("servers")["servers"] == []
        assert not list(bob.state.glob("keys/*/id_ed25519"))
