"""Servers that exist already, and all servers, as a person meets them: whole commands, real SSH."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import msgspec
import pytest
from tests.support.command_line import PATIENCE, Command, impatient
from tests.support.machines import Machine, Machines
from tests.support.needs import tool
from tests.support.service_process import service_process

INSTANT = ("--sim", "time_scale=0")


class Place:
    """A user with some machines and a workflow that names them."""

    def __init__(self, folder: Path) -> None:
        self.machines, self.command, self.folder = Machines(folder), Command(folder), folder
        self.state = folder / ".local" / "state" / "batchwright"

    def server(self, name: str, machine: Machine, **options: Any) -> dict[str, Any]:
        return {"name": name, **machine.options(key=str(self.machines.key), **options)}

    def write(self, *servers: dict[str, Any], name: str = "shop", more: Sequence[dict[str, Any]] = ()) -> None:
        batch = {"id": "web", "type": "server_batch", "provider": "static", "server_configs": servers}
        workflow = {"name": name, "version": "1.0.0", "operations": [batch, *more]}
        (self.folder / f"{name}.json").write_bytes(msgspec.json.encode({"batch_workflow": workflow}))

    def servers(self, *args: str) -> list[dict[str, Any]]:
        answer = self.command.json("servers", *args)
        assert answer["troubles"] == []
        found: list[dict[str, Any]] = answer["servers"]
        return found

    def records(self) -> list[Path]:
        return sorted((self.state / "static").glob("*.json"))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.machines.close()


def test_servers_that_are_there_are_taken_shown_kept_and_let_go(place: Place) -> None:
    gate, web, db = place.machines.start("127.0.0.2"), place.machines.start("127.0.0.3"), place.machines.start()
    jump = gate.options(key=str(place.machines.key), user="hop")
    place.write(place.server("web-01", web, jump=jump), place.server("db-01", db))
    plan = place.command("plan", "shop.json").stdout
    assert "+ web-01 (static): it exists already at 127.0.0.3" in plan
    steps = {one["id"]: one for one in place.command.json("plan", "shop.json")["plan"]["steps"]}
    assert steps["web/web-01"]["does"] == "take server web-01, which already exists at 127.0.0.3"
    assert steps["web/web-01"]["undoes"] == "release server web-01, which stays"
    assert place.servers() == []

    run = place.command.json("run", "shop.json")
    assert run["status"] == "Completed"
    found = {one["name"]: one for one in place.servers()}
    assert set(found) == {"web-01", "db-01"}
    assert [(one["run"], one["status"], one["state"]) for one in found.values()] == [
        (run["run"], "Completed", "ready")
    ] * 2
    shown = place.command("servers", "--run", "latest").stdout
    assert f"    {found['web-01']['ssh']}\n" in shown
    assert "shop 1.0.0, Completed" in shown
    assert place.servers("--run", "zzz") == []

    again = place.command.json("run", "shop.json")
    assert again["status"] == "Completed"
    assert [one["run"] for one in place.servers()] == [run["run"]] * 2
    place.write(place.server("web-01", db, jump=jump), name="other")
    refused = place.command("plan", "other.json", code=1).stderr
    assert "its address differs" in refused

    nothing = place.command.json("rollback", again["run"], "--yes", code=2)
    assert "created nothing" in nothing["error"]["message"], "they were there before that run"
    preview = place.command("rollback", run["run"], "--plan").stdout
    assert "static: release static-" in preview
    assert "destroy" not in preview
    assert place.command.json("rollback", run["run"], "--yes")["status"] == "RolledBack"
    assert place.servers() == []
    assert place.records() == []


def test_the_line_that_is_shown_logs_in_without_a_question(place: Place) -> None:
    tool("ssh", "scripts/local.sh")
    gate, web = place.machines.start("127.0.0.2"), place.machines.start("127.0.0.3")
    jump = gate.options(key=str(place.machines.key), user="hop")
    place.write(place.server("web-01", web, jump=jump))
    place.command("run", "shop.json")
    (found,) = place.servers()
    line = f"{found['ssh']} 'echo here; echo $LOGIN'"
    done = subprocess.run(
        line, shell=True, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert (done.returncode, done.stdout) == (0, "here\nroot\n"), done.stderr

    config = place.folder / "ssh config"
    config.write_text(place.command("servers", "--ssh-config").stdout)
    by_file = ["ssh", "-F", str(config), "-o", "BatchMode=yes", "web-01", "echo $LOGIN"]
    done = subprocess.run(by_file, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (done.returncode, done.stdout) == (0, "root\n"), done.stderr

    assert place.command.as_process("servers", "ssh", "web-01", "echo", "two  blanks").stdout == "two  blanks\n"
    # C11: as ssh and kubectl exec take it
    assert place.command.as_process("servers", "ssh", "web-01", "--", "echo", "a;  b").stdout == "a;  b\n"
    assert place.command.as_process("servers", "ssh", "web-01", "echo a; echo b").stdout == "a\nb\n"
    assert place.command.as_process("servers", "ssh", "web-01", "--", "echo a; echo b").stdout == "a\nb\n"
    place.command.as_process("servers", "ssh", "web-01", "sh", "-c", "exit 7", code=7)
    assert place.command.as_process("servers", "ssh", "web-01", "--", "-no-such", code=127)
    assert msgspec.json.decode(place.command.as_process("servers", "ssh", "--json", "web-01").stdout)["ssh"][0] == "ssh"

    known = place.state / "known_hosts" / "static"
    known.write_text(known.read_text().replace(web.host_key, gate.host_key))
    done = subprocess.run(line, shell=True, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 255
    assert "HOST IDENTIFICATION HAS CHANGED" in done.stderr


def test_a_server_that_nobody_vouches_for_is_refused_before_anything_is_changed(place: Place) -> None:
    web = place.machines.start()
    server = place.server("web-01", web)
    del server["host_key"]
    place.write(server)
    refused = place.command("run", "shop.json", code=1).stderr
    assert "host-key-unknown" in refused
    assert "ssh-keyscan" in refused
    assert place.records() == []


def test_a_run_killed_again_and_again_takes_each_server_once(place: Place) -> None:
    names, go = [f"web-{n:02}" for n in range(6)], place.folder / "go"
    wait = {"id": "wait", "type": "command", "idempotent": True, "dependencies": ["web"],
            "run": ["sh", "-c", f"until [ -e '{go}' ]; do sleep 0.05; done"]}  # fmt: skip
    place.write(*(place.server(name, place.machines.start()) for name in names), more=[wait])
    deadline = time.monotonic() + PATIENCE
    for _ in range(5):  # however slow the killer is: the run cannot end before it may
        before = len(place.records())
        process = place.command.start("run", "shop.json", "--resume")
        while len(place.records()) == before < len(names):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        assert process.wait(PATIENCE) == -signal.SIGKILL
    go.touch()
    place.command("run", "shop.json", "--resume")
    assert [one["name"] for one in place.servers()] == names
    assert len({one["run"] for one in place.servers()}) == 1
    place.command("rollback", "latest", "--yes")
    assert place.servers() == []


# -- servers destroy ------------------------------------------------------------------------------------------------


SHOP = {"name": "shop", "version": "1.0.0", "operations": [{
    "id": "web", "type": "server_batch", "provider": "upcloud",
    "server_configs": [{"name": name, "plan": "1xCPU-2GB", "zone": "de-fra1"} for name in ("web-01", "web-02")],
}]}  # fmt: skip


@pytest.fixture
def simulated(tmp_path: Path) -> Command:
    (tmp_path / "shop.json").write_bytes(msgspec.json.encode({"batch_workflow": SHOP}))
    return Command(tmp_path)


def names(command: Command) -> list[str]:
    return [one["name"] for one in command.json("servers", *INSTANT)["servers"]]


def test_a_server_is_ended_by_hand_and_its_runs_rollback_copes(simulated: Command) -> None:
    run = simulated.json("run", "shop.json", *INSTANT)["run"]
    assert names(simulated) == ["web-01", "web-02"]
    assert simulated.json("servers")["servers"] == [], "nothing real was made"

    asked = simulated("servers", "destroy", "web-01", *INSTANT, code=2)
    assert "no terminal to ask on" in asked.stderr
    missing = simulated.json("servers", "destroy", "web-03", "--yes", *INSTANT, code=2)
    assert missing["error"]["code"] == "server-not-found"
    done = simulated.json("servers", "destroy", "web-01", "--yes", *INSTANT)
    assert (done["gone"], done["server"]["run"]) == (True, run)
    assert names(simulated) == ["web-02"]

    back = simulated.json("rollback", run, "--yes")
    assert (back["status"], back["residue"]) == ("RolledBack", [])
    assert names(simulated) == []


def test_a_server_of_a_run_that_has_not_ended_is_left_to_its_rollback(simulated: Command) -> None:
    slow = ("--sim", "boot_seconds=3600", "--sim", "answer_seconds=0", "--sim", "spread=0")
    process = simulated.start("run", "shop.json", *slow)
    try:
        deadline = time.monotonic() + PATIENCE
        while len(names(simulated)) < 2:
            assert time.monotonic() < deadline
        refused = simulated.json("servers", "destroy", "web-01", "--yes", *INSTANT, code=2)
        assert refused["error"]["code"] == "not-allowed"
        assert "being driven" in refused["error"]["message"]
        assert "batchwright rollback" in refused["error"]["hint"]
    finally:
        process.kill()
        process.wait(PATIENCE)
    refused = simulated.json("servers", "destroy", "web-01", "--yes", *INSTANT, code=2)
    assert "batchwright rollback" in refused["error"]["hint"]
    simulated("servers", "destroy", "web-01", "--yes", "--anyway", *INSTANT)
    assert names(simulated) == ["web-02"]


@pytest.mark.parametrize(("said", "code", "left"), [(b"\n", 3, 2), (b"n\n", 3, 2), (b"y\n", 0, 1)])
def test_on_a_terminal_it_shows_what_it_is_and_asks(simulated: Command, said: bytes, code: int, left: int) -> None:
    run = simulated.json("run", "shop.json", *INSTANT)["run"]
    ours, theirs = pty.openpty()
    try:
        process = simulated.start("servers", "destroy", "web-02", *INSTANT, stdin=theirs, stderr=subprocess.PIPE)
        os.write(ours, said)
        _, told = process.communicate(timeout=PATIENCE)
    finally:
        os.close(ours)
        os.close(theirs)
    assert process.returncode == code, told
    assert f"of run {run} (shop 1.0.0, Completed)" in told
    assert "Destroy web-02?" in told
    assert len(names(simulated)) == left


def test_a_provider_that_cannot_be_opened_is_named_and_no_more(
    simulated: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record that nobody can read, beside a world that can be."""
    impatient(monkeypatch)
    (folder := simulated.home / ".local" / "state" / "batchwright" / "static").mkdir(parents=True)
    (folder / "static-broken.json").write_text("{}")
    answer = simulated.json("servers")
    assert [trouble["provider"] for trouble in answer["troubles"]] == ["static"]
    assert "static is not listed" in simulated("servers").stderr
    told = simulated.json("servers", "--provider", "upclod", code=2)["error"]
    assert told["code"] == "usage"


def test_a_service_is_asked_where_there_is_one(tmp_path: Path) -> None:
    """C11: with the words and exit codes of the local store."""
    with service_process(tmp_path, "--simulate") as (url, _):
        there = Command(tmp_path, BATCHWRIGHT_URL=url)
        both = [{"name": name, "plan": "1xCPU-2GB", "zone": "de-fra1"} for name in ("web-01", "web-02")]
        flow = {"batch_workflow": {"name": "shop", "version": "1", "operations": [
            {"id": "web", "type": "server_batch", "provider": "upcloud", "server_configs": both}
        ]}}  # fmt: skip
        (tmp_path / "shop.json").write_bytes(msgspec.json.encode(flow))
        there("submit", "shop.json", "--sim", "time_scale=0", "--watch")
        answer = there.json("servers", "--run", "latest")
        assert sorted(one["name"] for one in answer["servers"]) == ["web-01", "web-02"]
        assert there.json("servers", "--environment", "simulated:shop")["servers"] == answer["servers"]
        assert there.json("servers", "--environment", "shp", code=2)["error"]["code"] == "environment-not-found"
        for name, count in (("shop", 2), ("other", 0)):
            look = Request(f"{url}/v1/servers/look?environment={name}", method="POST")
            with urlopen(look, timeout=PATIENCE) as found:
                assert len(msgspec.json.decode(found.read())["servers"]) == count
        beside = Command(tmp_path, BATCHWRIGHT_STATE_DIR=str(tmp_path / "elsewhere"))
        assert beside.json("servers", "--simulate")["servers"] == [], "the other folder has none"
        asked = there.json("servers", "destroy", "web-01", code=2)["error"]
        assert "no terminal to ask on" in asked["message"]
        missing = there.json("servers", "destroy", "nope", "--yes", code=2)["error"]
        assert (missing["code"], missing["message"]) == ("server-not-found", "there is no server 'nope'")
        assert there.json("servers", "destroy", "web-01", "--yes")["gone"] is True
        assert [one["name"] for one in there.json("servers")["servers"]] == ["web-02"]
        unreachable = there.json("servers", "ssh", "web-02", "true", code=2)["error"]
        assert "cannot be reached over SSH" in unreachable["message"]


def test_a_login_through_a_service(place: Place) -> None:
    """C11: with keys that are here; the program's exit code is the command's."""
    tool("ssh", "scripts/local.sh")
    place.write(place.server("web-01", place.machines.start("127.0.0.3")))
    place.command("run", "shop.json", "--state-dir", str(place.folder / "state"))
    with service_process(place.folder) as (url, _):
        there = Command(place.folder, BATCHWRIGHT_URL=url)
        assert there.as_process("servers", "ssh", "web-01", "echo a; echo b").stdout == "a\nb\n"
        assert "Host web-01\n" in there("servers", "--ssh-config").stdout
        assert "\n[provider_static]\nweb-01\n" in there("servers", "--inventory", "ini").stdout
        there.as_process("servers", "ssh", "web-01", "--", "sh", "-c", "exit 7", code=7)
