"""What a client's workflow may use of the service's machine: nothing but what the operator has listed."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from batchwright.app.access_tokens import Tokens
from batchwright.app.allowed_settings import ServiceConfig, ServiceSecrets
from batchwright.app.multi_store import Stores
from batchwright.app.settings import Settings
from batchwright.model.events import RunCreated
from batchwright.model.lifecycle import RunState
from batchwright.model.plan import Plan
from batchwright.model.role import Role
from batchwright.model.run import Run
from batchwright.model.secret_reference import SecretReference
from batchwright.operations.registry import dec_hook
from batchwright.operations.taskserv_batch import TaskservRequest
from tests.support.service_in_loop import FAST, RUNS, Answer, serving, workflow

DOORS = ("validate", "plan", "submit", "plan?simulate=true", "submit?simulate=true")


def with_password(password: dict[str, Any]) -> dict[str, Any]:
    """A database whose password is a secret, on a simulated server."""
    definition = workflow("db", 1)
    use = {"name": "postgresql", "variables": {"database": "shop", "owner": "shop", "password": password}}
    install = {"id": "database", "type": "taskserv_batch", "provider": "simulated", "dependencies": ["web"]}
    definition["batch_workflow"]["operations"].append({**install, "taskservs": [use]})
    return definition


def with_env(secret: dict[str, Any]) -> dict[str, Any]:
    definition = workflow("env", 1)
    command = {"id": "tell", "type": "command", "run": ["/bin/true"], "env": {"TOKEN": secret}}
    definition["batch_workflow"]["operations"] = [command]
    return definition


def with_header(secret: dict[str, Any]) -> dict[str, Any]:
    definition = workflow("header", 1)
    http = {"url": "https://a.example/", "headers": {"Authorization": secret}}
    definition["batch_workflow"]["operations"] = [{"id": "look", "type": "check", "http": http}]
    return definition


def with_key(path: str, jump: str = "") -> dict[str, Any]:
    """A server that exists, with a private key that lies on the service's machine."""
    definition = workflow("kept", 1)
    reached = {
        "address": "127.0.0.1",
        "host_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f",
    }
    server = {"name": "a", **reached, **({"jump": {**reached, "key": path}} if jump else {"key": path})}
    batch = {"id": "web", "type": "server_batch", "provider": "static", "server_configs": [server]}
    definition["batch_workflow"]["operations"] = [batch]
    return definition


def asked(
    folder: Path, definition: dict[str, Any], *doors: str, token: bool = False, **options: Any
) -> tuple[list[Answer], list[Any]]:
    """The answers of these doors, and the runs there are afterwards."""

    async def main() -> tuple[list[Answer], list[Any]]:
        secret = Tokens(Settings(folder / "state")).create("ada", Role.OPERATOR, 0.0, None)[1] if token else ""
        headers = {"Authorization": f"Bearer {secret}"} if token else {}
        async with serving(folder / "state", **options) as service:
            service.session.headers.update(headers)
            answers = [await service.post(f"{RUNS}/{door}", json=definition) for door in doors]
            return answers, (await service.get(RUNS)).json["items"]

    return asyncio.run(main())


@pytest.mark.parametrize("build", [with_password, with_env, with_header], ids=["taskserv", "command", "check"])
@pytest.mark.parametrize("kind", ["command", "env", "file"])
def test_what_is_not_listed_is_refused_at_every_door_before_it_is_looked_up(
    build: Any, kind: str, tmp_path: Path
) -> None:
    """A1: `{ command }` does not run, `{ env }` and `{ file }` are not read, and no run is recorded."""
    trace, hidden = tmp_path / "ran", tmp_path / "hidden"
    hidden.write_text("canary")
    secret = {"command": ["touch", str(trace)], "env": "HOME", "file": str(hidden)}[kind]
    answers, runs = asked(tmp_path, build({kind: secret}), *DOORS)
    assert [(one.status, one.json["code"]) for one in answers] == [(403, "secret-refused")] * len(DOORS)
    assert not runs
    assert not trace.exists()
    for answer in answers:
        (found,) = answer.json["diagnostics"]
        assert found["code"] == "secret-refused"
        assert found["file"] == "workflow.json"
        assert found["line"] == 1
        assert found["column"] > 1
        assert {with_password: "password", with_env: "TOKEN", with_header: "Authorization"}[build] in found["message"]
        assert {"command": "touch", "env": "HOME", "file": str(hidden)}[kind] in found["message"]
        assert "[service]" in found["hint"]
        assert "canary" not in answer.body.decode()


def test_each_reference_is_told_at_its_own_place(tmp_path: Path) -> None:
    """A1: the place is that of the value, in the language that was sent."""
    text = """{
  batch_workflow = {
    name = "two", version = "1",
    operations = [
      { id = "one", type = "command", run = ["x"], env = { A = { env = "HOME" } } },
      { id = "two", type = "command", run = ["x"],
        env = { B = { file = "/etc/passwd" } } },
    ],
  },
}"""

    async def main() -> Any:
        async with serving(tmp_path) as service:
            kind = {"Content-Type": "text/x-nickel"}
            return (await service.post(f"{RUNS}/validate", data=text.encode(), headers=kind)).json

    found = asyncio.run(main())["diagnostics"]
    assert [(one["where"], one["line"], one["column"]) for one in found] == [("one", 5, 64), ("two", 7, 21)]


def with_files(source: str) -> dict[str, Any]:
    """A file of the service's machine that is put on a server."""
    definition = workflow("put", 1)
    use = {"name": "files", "variables": {"files": {"/srv/x": {"source": source}}}}
    install = {"id": "put", "type": "taskserv_batch", "provider": "simulated", "dependencies": ["web"]}
    definition["batch_workflow"]["operations"].append({**install, "taskservs": [use]})
    return definition


@pytest.mark.parametrize("named", ["{}/hidden", "hidden", "{}/listed/../hidden", "{}/listed/link", "{}/nothing"])
def test_a_source_outside_the_listed_folders_is_refused_at_every_door(named: str, tmp_path: Path) -> None:
    (tmp_path / "hidden").write_text("canary")
    (tmp_path / "listed").mkdir()
    (tmp_path / "listed" / "link").symlink_to("../hidden")
    listed = ServiceConfig(sources=(str(tmp_path / "listed"),))
    answers, runs = asked(tmp_path, with_files(named.format(tmp_path)), *DOORS, service=listed)
    assert [one.status for one in answers] == [403] * len(DOORS)
    assert not runs
    for answer in answers:
        (found,) = answer.json["diagnostics"]
        assert found["code"] == "source-refused"
        assert "files[/srv/x].source" in found["message"]
        assert "[service] sources" in found["hint"]
        assert "canary" not in answer.body.decode()


def test_a_source_in_a_listed_folder_is_allowed_by_its_real_path(tmp_path: Path) -> None:
    (tmp_path / "listed").mkdir()
    (tmp_path / "listed" / "real").write_text("content")
    (tmp_path / "link").symlink_to("listed/real")
    listed = ServiceConfig(sources=(str(tmp_path / "listed"),))

    async def main() -> tuple[int, Any]:
        async with serving(tmp_path / "state", service=listed) as service:
            told = await service.submit(with_files(str(tmp_path / "link")))
            return told.status, (await service.events(told.json["run"]))[0]

    status, created = asyncio.run(main())
    assert status == 202
    (put,) = [step["request"] for step in created["plan"]["steps"] if step["operation"] == "put"]
    assert put["variables"]["files[/srv/x].source"] == str(tmp_path / "listed" / "real")
    assert set(put["sources"]) == {"files[/srv/x].source"}


@pytest.mark.parametrize("jump", ["", "jump"])
def test_the_key_file_of_a_server_that_exists_is_a_reference_too(jump: str, tmp_path: Path) -> None:
    """A1: a path in a provider's options is a file of this machine."""
    key = tmp_path / "key"
    key.touch()
    answers, _ = asked(tmp_path, with_key(str(key), jump), "validate", "submit")
    assert [(one.status, one.json["code"]) for one in answers] == [(403, "secret-refused")] * 2
    listed = ServiceConfig(ServiceSecrets(files=(str(key),)))
    answers, _ = asked(tmp_path, with_key(str(key), jump), "validate", service=listed)
    assert [one.status for one in answers] == [200]


def test_what_is_listed_is_allowed_and_the_operators_name_for_it_is_recorded(tmp_path: Path) -> None:
    """A1: a link that the client named cannot be turned to another file afterwards."""
    (tmp_path / "real").write_text("secret")
    (tmp_path / "theirs").symlink_to("real")
    listed = ServiceConfig(ServiceSecrets(files=(str(tmp_path / "real"),), env=("PATH",)))

    async def main() -> tuple[list[int], Any]:
        async with serving(tmp_path / "state", service=listed) as service:
            told = await service.submit(with_password({"file": str(tmp_path / "theirs")}))
            events = await service.events(told.json["run"])
            env = await service.post(f"{RUNS}/validate", json=with_env({"env": "PATH"}))
            return [told.status, env.status], events[0]

    statuses, created = asyncio.run(main())
    assert statuses == [202, 200]
    assert created["client"] is True
    plan = json.dumps(created["plan"])
    assert str(tmp_path / "real") in plan
    assert str(tmp_path / "theirs") not in plan


@pytest.mark.parametrize("path", ["~/real", "/proc/self/cwd/real", "{folder}/sub/../real", "{folder}/real/"])
def test_ways_around_the_list(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A1: a file counts by where it really lies; `..` is refused as it stands."""
    (tmp_path / "sub").mkdir()
    for name in ("real", "other"):
        (tmp_path / name).write_text("secret")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    given = path.format(folder=tmp_path)
    same = ".." not in path
    listed = ServiceConfig(ServiceSecrets(files=(str(tmp_path / "real"),)))
    answers, _ = asked(tmp_path, with_password({"file": given}), "validate", service=listed)
    assert [one.status for one in answers] == [200 if same else 403]
    (tmp_path / "real").unlink()
    (tmp_path / "real").symlink_to("other")  # what is listed may be a link itself; the client's word for its end is not
    listed = ServiceConfig(ServiceSecrets(files=(str(tmp_path / "elsewhere"),)))
    answers, _ = asked(tmp_path, with_password({"file": given}), "validate", service=listed)
    assert [one.status for one in answers] == [403]


def test_programs_are_allowed_where_commands_are(tmp_path: Path) -> None:
    """A1, A5: with --allow-commands and a token a client may name them; a file only from the list all the same."""
    program = with_password({"command": ["true"]})
    answers, _ = asked(tmp_path / "1", program, "validate", commands=True, token=True)
    assert [one.status for one in answers] == [200]
    answers, _ = asked(tmp_path / "2", program, "validate", commands=True)
    assert [(one.status, "clients with a token" in one.json["diagnostics"][0]["hint"]) for one in answers] == [
        (403, True)
    ]
    answers, _ = asked(tmp_path / "3", with_password({"file": "/etc/hostname"}), "validate", commands=True, token=True)
    assert [one.status for one in answers] == [403]


@pytest.mark.parametrize(("client", "driven"), [(True, False), (None, False), (False, True)])
def test_a_recorded_run_is_checked_again_unless_it_is_the_operators(
    client: bool | None, driven: bool, tmp_path: Path
) -> None:
    """A1: a service that allows less than the one that took a run does not drive it, nor one from before the check."""
    password = SecretReference(command=("touch", str(tmp_path / "ran")))

    async def main() -> tuple[str, Any]:
        secret = Tokens(Settings(tmp_path / "state")).create("ada", Role.OPERATOR, 0.0, None)[1]
        async with serving(tmp_path / "state", commands=True) as service:
            service.session.headers["Authorization"] = f"Bearer {secret}"
            told = await service.submit(with_password({"command": list(password.command)}), answer_seconds=3600)
            created = (await service.events(told.json["run"]))[0]
        run = await _recorded(tmp_path / "other", created, client)
        async with serving(tmp_path / "other") as service:
            if driven:
                await service.until(run, "Completed")
            else:
                while not service.supervisor.troubles or service.supervisor.driven:
                    await asyncio.sleep(0.01)
                refused = await service.post(f"{RUNS}/{run}/resume")
                assert (refused.status, refused.json["code"]) == (403, "secret-refused")
                checks = await service.post(f"{RUNS}/{run}/checks")
                assert (checks.status, checks.json["code"]) == (403, "secret-refused")
            return run, (await service.get("/health")).json

    run, health = asyncio.run(main())
    assert any(one["run"] == run and "secret-refused" in one["reason"] for one in health["still"]) is not driven
    assert not (tmp_path / "ran").exists()


async def _recorded(folder: Path, created: dict[str, Any], client: bool | None) -> str:
    """The same run in another state folder, as it was handed in some other way and nobody has driven it yet."""
    plan = msgspec.convert(created["plan"], Plan, dec_hook=dec_hook)
    quick = msgspec.structs.replace(plan, simulation=dict(FAST.items()))
    event = RunCreated(created["at"], created["run"], quick, "ada", client=client)
    assert any(isinstance(step.request, TaskservRequest) for step in quick.steps)
    async with Stores(Settings(folder)) as stores:
        journal = await stores.get("filesystem")
        await journal.create(event, Run(event).summary(journal.name))
    assert Run(event).status is RunState.PENDING
    return event.run
