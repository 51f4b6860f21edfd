"""What a worker at a place does for others: what its table says, with its own keys and secrets, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from batchwright.app.adapters import Adapters
from batchwright.app.allowed_settings import PlaceConfig, ServiceSecrets
from batchwright.app.place_preflight import place_problems
from batchwright.app.place_worker import WorkerPorts, answering
from batchwright.app.settings import Settings
from batchwright.app.system_clock import SystemClock
from batchwright.commands.base import CommandServer, Launch
from batchwright.engine.limits import Limits
from batchwright.errors import PlaceDiffers, PlaceRefused
from batchwright.model.actions import Action, Undo
from batchwright.model.call_outcome import Applied, Rejected
from batchwright.model.plan import Plan, Step
from batchwright.model.secret_reference import SecretReference
from batchwright.model.ssh_access import SshAccess
from batchwright.operations.command import Command, CommandRequest
from batchwright.operations.taskserv_batch import TaskservRequest
from batchwright.places import codec
from batchwright.places.carrier import PlaceCall
from batchwright.places.place_link import PlaceLink
from batchwright.places.place_provider import PlaceProvider
from batchwright.places.place_runner import PlaceLauncher, PlaceRunner
from batchwright.taskservs.base import Target, TaskservCall
from batchwright.taskservs.catalogue import load_catalogue
from tests.support.place_carrier import MemoryCarrier
from tests.unit.engine.stage import operation

TARGET = Target("static", "static-web", "web", "10.0.0.5", SshAccess("10.0.0.5"))
NGINX = load_catalogue(())["nginx"]


def played(folder: Path, may: PlaceConfig, scenario: Callable[[Settings], Coroutine[Any, Any, None]]) -> None:
    """A scenario of a driver whose carrier leads to a worker that may do this."""

    async def main() -> None:
        there = Settings(folder / "there", place=may)
        there.state_dir.mkdir()
        async with answering(there, "far", SystemClock()) as answerer:
            carrier = MemoryCarrier({"far": answerer})
            await scenario(Settings(folder / "here", carrier=carrier, providers={"static": {"at": "far"}}))

    asyncio.run(main())


def link_of(settings: Settings) -> PlaceLink:
    """The link to the place."""
    assert settings.carrier is not None
    return PlaceLink("far", settings.carrier)


def test_a_worker_without_a_table_does_nothing(tmp_path: Path) -> None:
    async def scenario(settings: Settings) -> None:
        link = link_of(settings)
        assert (await link.report()).providers == {}
        with pytest.raises(PlaceRefused, match="may not call static to look"):
            await PlaceProvider("static", link).open()
        done = await PlaceLauncher("", link).launch(CommandRequest("id", ("/usr/bin/id",)), Launch("r", "s", "m"))
        assert isinstance(done, Rejected)
        assert done.fault.code == "place-refused"
        assert "may not run /usr/bin/id" in done.fault.message
        with pytest.raises(PlaceRefused, match="what is installed"):
            await PlaceRunner("static", link).installed(TARGET)
        refused = await PlaceRunner("static", link).install(TaskservRequest("nginx", "1", "default"), TARGET)
        assert isinstance(refused, Rejected)
        assert "may not install nginx" in refused.fault.message

    played(tmp_path, PlaceConfig(), scenario)


def test_programs_variables_and_secrets_are_those_of_the_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OURS", "hidden-at-the-place")
    may = PlaceConfig(commands=("/bin/sh",), variables=("KEY",), secrets=ServiceSecrets(env=("OURS",)))

    async def scenario(settings: Settings) -> None:
        launcher, told = PlaceLauncher("", link_of(settings)), list[str]()
        launch = Launch("run", "up/run", "mark", tell=told.append)
        env: dict[str, str | SecretReference] = {"KEY": SecretReference(env="OURS")}
        show = CommandRequest("sh", ("/bin/sh", "-c", "echo it is $KEY"), env=env, directory="/")
        assert await launcher.launch(show, launch) == Applied()
        assert told[0].startswith("it is ")
        assert "hidden-at-the-place" not in told[0]
        for wrong, words in (
            (replace(show, undo=("/bin/rm", "-r", "/")), "may not run /bin/rm"),
            (replace(show, unless=("test",)), "may not run test"),
            (replace(show, env={"LD_PRELOAD": "/tmp/x.so"}), "may not set the variable LD_PRELOAD"),
            (replace(show, env={"KEY": SecretReference(env="OTHER")}), "may not use the variable OTHER"),
            (replace(show, env={"KEY": SecretReference(command=("id",))}), "may not use the output of id"),
        ):
            done = await launcher.launch(wrong, launch)
            assert isinstance(done, Rejected)
            assert words in done.fault.message
        found = await launcher.resolve(Command("up", ("/bin/sh", "-c", "true"), directory="/", at="far"))
        assert isinstance(found, CommandRequest)
        relative = await launcher.resolve(Command("up", ("/bin/sh",), directory="beside", at="far"))
        assert isinstance(relative, list)
        assert relative[0].code == "directory-relative"

    played(tmp_path, may, scenario)


def test_words_of_a_call_lead_to_no_other_file_and_no_other_program(tmp_path: Path) -> None:
    kept, folder = tmp_path / "kept", tmp_path / "folder.json"
    kept.write_text("kept")
    folder.mkdir()
    may = PlaceConfig(commands=("/bin/true",), taskservs=("nginx",))

    async def scenario(settings: Settings) -> None:
        launcher, runner = PlaceLauncher("", link_of(settings)), PlaceRunner("static", link_of(settings))
        true = CommandRequest("true", ("/bin/true",), directory="/")
        for mark in (str(kept), str(tmp_path / "folder"), "../programs", "m; reboot", "m\n", ""):
            done = await launcher.launch(true, Launch("run", "up/run", mark))
            assert isinstance(done, Rejected)
            assert done.fault.code == "place-refused"
            assert "takes no mark" in done.fault.message
            with pytest.raises(PlaceRefused, match="takes no mark"):
                await launcher.left_over(Launch("run", "up/run", mark))
        for name, token in (("x; reboot", "t"), ("../x", "t"), ("web", "t; reboot")):
            request = TaskservRequest(name, "1", "default", entry="nginx")
            done = await runner.install(request, TARGET, TaskservCall(token))
            assert isinstance(done, Rejected)
            assert "takes no mark" in done.fault.message

    played(tmp_path, may, scenario)
    assert kept.read_text() == "kept"
    assert folder.is_dir()


def test_no_file_of_the_place_is_read_as_a_source(tmp_path: Path) -> None:
    settings = Settings(tmp_path, place=PlaceConfig(taskservs=("*",)))
    ports = WorkerPorts(settings, Adapters(settings, SystemClock(), Limits()))
    request = TaskservRequest("nginx", "1", "default", variables={"site": "etc"}, sources={"site": "0" * 64})
    given = {"request": request, "target": TARGET, "job": TaskservCall(folder="/")}
    for method in ("install", "preview"):
        with pytest.raises(PlaceRefused, match="do not travel"):
            ports.allowed(PlaceCall(codec.contract(), "1", codec.RUNNER, method, "static"), given)
    assert (
        ports.allowed(PlaceCall(codec.contract(), "1", codec.RUNNER, "remove", "static"), given)["request"] == request
    )


@pytest.mark.parametrize("limit", [float("nan"), float("inf"), -1.0])
def test_the_time_of_a_call_is_a_number_of_seconds(tmp_path: Path, limit: float) -> None:
    async def scenario(settings: Settings) -> None:
        with pytest.raises(PlaceRefused, match="cannot take"):
            await link_of(settings).ask(codec.LAUNCHER, "left_over", "", {"launch": Launch("r", "s", "m")}, limit=limit)

    played(tmp_path, PlaceConfig(commands=("/bin/true",)), scenario)


def test_a_login_uses_the_keys_of_the_place(tmp_path: Path) -> None:
    settings = Settings(tmp_path, place=PlaceConfig(taskservs=("*",), secrets=ServiceSecrets(files=("/run/key",))))
    ports = WorkerPorts(settings, Adapters(settings, SystemClock(), Limits()))
    own = SshAccess("10.0.0.5", key=str(tmp_path / "keys/run/id_ed25519"))
    public = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJ1dCBpdCBpcyBub3QgYSByZWFsIGtleSBhdCBhbGw"

    def used(access: SshAccess) -> SshAccess:
        call = PlaceCall(codec.contract(), "1", codec.RUNNER, "installed", "static")
        (target,) = ports.allowed(call, {"target": replace(TARGET, access=access)}).values()
        assert isinstance(target, Target)
        assert target.access is not None
        return target.access

    assert used(own) == own
    assert used(SshAccess("10.0.0.5")) == SshAccess("10.0.0.5")
    named = Path(used(SshAccess("10.0.0.5", key=public)).key)
    assert named.read_text().strip() == public
    assert used(SshAccess("10.0.0.5", key="/run/key")).key == "/run/key"
    for wrong in ("/srv/keys/id_ed25519", str(tmp_path / "../other"), "~/.ssh/id_rsa"):
        with pytest.raises(PlaceRefused, match="may not log in with the key"):
            used(SshAccess("gate", jump=SshAccess("10.0.0.5", key=wrong)))


def test_a_worker_of_another_version_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(settings: Settings) -> None:
        real = codec.contract()
        asked: list[str] = []

        def contract() -> str:  # the caller asks first, then the worker
            asked.append("")
            return real if len(asked) % 2 else "another"

        monkeypatch.setattr(codec, "contract", contract)
        with pytest.raises(PlaceDiffers, match="whose calls differ"):
            await PlaceProvider("static", link_of(settings)).account()

    played(tmp_path, PlaceConfig(providers={"static": ("*",)}), scenario)


def plan(*steps: Step) -> Plan:
    """A plan of these steps."""
    operations = tuple(operation(name, "", type="command", lane="commands") for name in {s.operation for s in steps})
    return Plan("w", "1", "memory", 5, True, operations, steps)


def test_what_a_place_does_not_do_is_said_before_anything_is_changed(tmp_path: Path) -> None:
    may = PlaceConfig(commands=("/bin/echo",), taskservs=("nginx",))
    run = CommandRequest("echo", ("/bin/echo",), ("/bin/rm",), at="far")
    install = TaskservRequest("nginx", "1", "default", digest=NGINX.digest, at="far")
    steps = [
        Step("a/run", "a", "", Action.RUN, Undo.RUN, run),
        *(
            Step(f"b/{i}", "b", "static", Action.INSTALL, Undo.REMOVE, request)
            for i, request in enumerate(
                (
                    install,
                    replace(install, digest="other"),
                    replace(install, name="redis"),
                    replace(install, sources={"page": "digest"}),
                )
            )
        ),
    ]

    async def scenario(settings: Settings) -> None:
        async with Adapters(settings, SystemClock(), Limits()) as around:
            found = [one.message for one in await place_problems(plan(*steps), around)]
            assert found == [
                "the worker at far may not run /bin/rm",
                "the catalogue of the worker at far has another version of nginx than this one",
                "the worker at far may not install redis",
                '"nginx" puts page on servers: a file of this machine, which does not travel to far',
            ]
            assert await place_problems(plan(steps[1]), around) == []
        async with Adapters(replace(settings, carrier=None), SystemClock(), Limits()) as around:
            (problem,) = await place_problems(plan(steps[0]), around)
            assert problem.code == "place-unusable"

    played(tmp_path, may, scenario)


def test_the_folder_and_other_servers_keys_stay_here() -> None:
    sent: list[PlaceCall] = []

    class Deaf:
        async def carry(
            self, _place: str, _call: str, message: bytes, _limit: float, _live: Callable[[bytes], None] | None = None
        ) -> bytes:
            sent.append(codec.read(message, PlaceCall))
            raise RuntimeError("nobody answers")

    async def main() -> None:
        publics = {"/srv/ada/.ssh/id": "ssh-ed25519 AAAA"}
        access = SshAccess("10.0.0.5", key="/srv/ada/.ssh/id", jump=SshAccess("gate", key="/srv/ada/.ssh/id"))
        runner = PlaceRunner("static", PlaceLink("far", Deaf()), publics)
        job = TaskservCall("token", leader=replace(TARGET, access=access), folder="/srv/ada/flows")
        with pytest.raises(RuntimeError):
            await runner.install(TaskservRequest("nginx", "1", "default"), replace(TARGET, access=access), job)
        on = CommandServer("web", "10.0.0.5", "static", "", access)
        launcher = PlaceLauncher("static", PlaceLink("far", Deaf()), publics)
        with pytest.raises(RuntimeError):
            await launcher.left_over(Launch("run", "step", "mark", on=on, servers=(on,)))

    asyncio.run(main())
    for call in sent:
        assert b"/srv/ada" not in bytes(call.arguments)
        assert b"ssh-ed25519 AAAA" in bytes(call.arguments)
