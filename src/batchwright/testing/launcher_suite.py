"""The conformance tests of every launcher of programs, for authors to inherit.

`LauncherSuite` holds for all of them. `ProgramSuite` adds what holds for those that start real programs.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from batchwright.commands.base import CommandServer, Launch, Launcher
from batchwright.commands.process_marker import ProcessMarker
from batchwright.model.call_outcome import Applied, Rejected, Unknown
from batchwright.model.fault import FaultClass
from batchwright.model.secret_reference import SecretReference
from batchwright.operations.command import Command, CommandRequest

SECRET_NAME, SECRET = "LAUNCHER_SUITE_SECRET", "hunter2 and more"
ENVIRON = {"PATH": os.defpath, SECRET_NAME: SECRET}  # the launcher of a rig finds programs and secrets in it
PATIENCE = 60.0  # seconds for something that is bound to happen


class LauncherRig(Struct):
    """A launcher, the server that it runs programs on (None: this machine), and a folder that they can write to."""

    launcher: Launcher
    folder: Path
    on: CommandServer | None = None
    lines: list[str] = []
    mark: str = ""

    def __post_init__(self) -> None:
        self.mark = f"suite-{os.urandom(8).hex()}"

    def circumstances(self, **rest: Any) -> Launch:
        """Those of one start; always of the same step."""
        return Launch("run", "do/web-01", self.mark, on=self.on, tell=self.lines.append, **rest)

    async def launch(self, request: CommandRequest, **rest: Any) -> Applied | Rejected | Unknown:
        """Start a program in the folder and wait for its end."""
        return await self.launcher.launch(replace(request, directory=str(self.folder)), self.circumstances(**rest))

    async def left_over(self) -> str:
        """What still runs of an earlier start."""
        return await self.launcher.left_over(self.circumstances())


Scenario = Callable[[LauncherRig], Awaitable[None]]


def shell(text: str, name: str = "sh", **rest: Any) -> CommandRequest:
    """A request that runs this text with a shell."""
    return CommandRequest(name, ("/bin/sh", "-c", text), **rest)


class LauncherSuite:
    """Inherit it, define `rig`, and let pytest collect it.

    A launcher that starts nothing lets the programs named `fails` and `is-lost` end as their names say.
    """

    def rig(self, folder: Path) -> AbstractAsyncContextManager[LauncherRig]:
        """A launcher under which nothing has been started yet, with `ENVIRON` as its environment."""
        raise NotImplementedError

    def drive(self, main: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine to its end."""
        asyncio.run(main)

    def play(self, folder: Path, scenario: Scenario) -> None:
        """Run a scenario with a fresh launcher."""

        async def main() -> None:
            async with asyncio.timeout(PATIENCE), self.rig(folder) as rig:
                await scenario(rig)

        self.drive(main())

    def test_resolving_a_command_gives_its_request_and_starts_nothing(self, tmp_path: Path) -> None:
        async def scenario(rig: LauncherRig) -> None:
            words = ("/bin/sh", "-c", "touch begun")
            targets = None if rig.on is None else (rig.on.name,)
            command = Command("do", words, ("/bin/true",), directory=str(rig.folder), targets=targets)
            request = await rig.launcher.resolve(command)
            assert isinstance(request, CommandRequest), request
            assert (request.run, request.undo, request.directory) == (words, ("/bin/true",), str(rig.folder))
            assert not (rig.folder / "begun").exists()

        self.play(tmp_path, scenario)

    def test_the_outcome_is_that_of_the_exit(self, tmp_path: Path) -> None:
        async def scenario(rig: LauncherRig) -> None:
            assert await rig.left_over() == ""
            assert await rig.launch(shell("exit 0")) == Applied()
            failed = await rig.launch(shell("echo no disk; exit 3", "fails"))
            assert isinstance(failed, Rejected), failed
            assert failed.fault.kind is FaultClass.EXIT
            lost = await rig.launch(shell("kill -KILL $$", "is-lost"))
            assert isinstance(lost, Unknown), lost
            assert await rig.launch(shell("exit 0"), again=True) == Applied()
            assert await rig.left_over() == ""

        self.play(tmp_path, scenario)

    def test_a_run_gives_outputs_and_an_answer_and_an_undo_neither(self, tmp_path: Path) -> None:
        async def scenario(rig: LauncherRig) -> None:
            request = shell('echo "url=a=b" >> "$BATCHWRIGHT_OUTPUTS"', outputs=("url",), answers={"yes": 0, "no": 3})
            done = await rig.launch(request)
            assert isinstance(done, Applied), done
            assert (tuple(done.outputs), done.answer) == (("url",), "yes")
            assert await rig.launch(replace(request, undo=("/bin/true",)), undo=True) == Applied()

        self.play(tmp_path, scenario)

    def test_only_unless_does_not_run_the_program(self, tmp_path: Path) -> None:
        async def scenario(rig: LauncherRig) -> None:
            needed = await rig.launch(shell("touch begun", unless=("/bin/false",)), only_unless=True)
            assert isinstance(needed, Rejected), needed
            assert needed.fault.kind is FaultClass.EXIT
            assert not (rig.folder / "begun").exists()

        self.play(tmp_path, scenario)


class ProgramSuite(LauncherSuite):
    """For launchers that start real programs. Define `earlier_start` too."""

    def earlier_start(self, rig: LauncherRig) -> AbstractContextManager[None]:
        """What a start of the rig's mark leaves running when its driver is killed, while the context is open."""
        raise NotImplementedError

    def running(self, rig: LauncherRig) -> list[int]:
        """The processes of the rig's mark, wherever its programs run."""
        return ProcessMarker(rig.folder / "none", rig.mark).survivors()

    def test_output_arrives_line_by_line_and_input_is_empty(self, tmp_path: Path) -> None:
        async def scenario(rig: LauncherRig) -> None:
            assert await rig.launch(shell("echo one; echo two >&2; cat; printf last")) == Applied()
            assert rig.lines == ["one", "two", "last"]

        self.play(tmp_path, scenario)

    def test_a_failure_has_the_code_and_the_last_lines(self, tmp_path: Path) -> None:
        async def scenario(rig: LauncherRig) -> None:
            failed = await rig.launch(shell("echo no disk; exit 3"))
            assert isinstance(failed, Rejected), failed
            assert (failed.fault.code, failed.fault.message) == ("3", "sh exited with code 3:\nno disk")
            assert await rig.launch(shell("kill -KILL $$")) == Unknown("sh was killed by SIGKILL")
            assert await rig.launch(shell("exit 3", answers={"yes": 0, "no": 3})) == Applied(answer="no")
            missing = await rig.launch(CommandRequest("none", ("/nowhere/none",)))
            assert isinstance(missing, Rejected), missing

        self.play(tmp_path, scenario)

    def test_the_environment_names_the_start_and_has_the_secrets(self, tmp_path: Path) -> None:
        async def scenario(rig: LauncherRig) -> None:
            env: dict[str, str | SecretReference] = {"PLAIN": "it's\ntwo", "TOKEN": SecretReference(env=SECRET_NAME)}
            servers = (CommandServer("db-1", "10.0.0.5", "local", "here"),)
            text = (
                f'[ "$TOKEN" = "{SECRET}" ] && [ -n "$TRACEPARENT" ] && echo "$PLAIN" && echo "$TOKEN" && pwd &&'
                ' echo $BATCHWRIGHT_RUN $BATCHWRIGHT_STEP $BATCHWRIGHT_MARK && cat "$BATCHWRIGHT_SERVERS"'
            )
            assert await rig.launch(shell(text, env=env), servers=servers) == Applied()
            place, start, rows = rig.lines[-3:]
            assert rig.lines[:-3] == ["it's", "two", "***"]
            assert (place, start) == (str(rig.folder), f"run do/web-01 {rig.mark}")
            assert json.loads(rows) == [{"name": "db-1", "address": "10.0.0.5", "provider": "local", "zone": "here"}]

        self.play(tmp_path, scenario)

    def test_a_secret_that_is_missing_starts_nothing(self, tmp_path: Path) -> None:
        async def scenario(rig: LauncherRig) -> None:
            refused = await rig.launch(shell("touch begun", env={"TOKEN": SecretReference(env="NOBODY_SET_THIS")}))
            assert isinstance(refused, Rejected), refused
            assert (refused.fault.kind, refused.fault.code) == (FaultClass.INVALID, "secret-missing")
            assert not (rig.folder / "begun").exists()

        self.play(tmp_path, scenario)

    def test_each_start_has_outputs_of_its_own_and_gives_all_it_declares(self, tmp_path: Path) -> None:
        async def scenario(rig: LauncherRig) -> None:
            failed = await rig.launch(shell('echo url=old >> "$BATCHWRIGHT_OUTPUTS"; exit 1', outputs=("url",)))
            assert isinstance(failed, Rejected), failed
            silent = await rig.launch(shell("exit 0", outputs=("url",)))
            assert isinstance(silent, Rejected), silent
            assert silent.fault.code == "output-missing"
            request = shell('echo "url=it\'s" >> "$BATCHWRIGHT_OUTPUTS"', outputs=("url",))
            assert await rig.launch(request) == Applied(outputs={"url": "it's"})

        self.play(tmp_path, scenario)

    def test_unless_decides_whether_the_program_runs(self, tmp_path: Path) -> None:
        async def scenario(rig: LauncherRig) -> None:
            def asks(text: str) -> CommandRequest:
                return shell("touch ran", undo=("/bin/sh", "-c", "pwd"), unless=("/bin/sh", "-c", text))

            assert await rig.launch(asks("exit 0")) == Applied(changed=False)
            lost = await rig.launch(asks("kill -KILL $$"))
            assert isinstance(lost, Rejected), lost  # it changes nothing, so it is asked again
            assert lost.fault.kind is FaultClass.TRANSIENT
            assert not (rig.folder / "ran").exists()
            assert await rig.launch(asks("exit 1")) == Applied()
            assert (rig.folder / "ran").exists()
            assert await rig.launch(asks("exit 0"), undo=True) == Applied()
            assert rig.lines == [str(rig.folder)]

        self.play(tmp_path, scenario)

    def test_a_program_beyond_its_time_limit_is_ended_with_all_it_started(self, tmp_path: Path) -> None:
        async def scenario(rig: LauncherRig) -> None:
            late = await rig.launch(shell("sleep 1000 & sleep 1000"), seconds=0.5)
            assert late == Unknown("sh did not end within 0.5 s and was stopped")
            assert self.running(rig) == []
            assert await rig.left_over() == ""

        self.play(tmp_path, scenario)

    def test_a_cancelled_launch_leaves_nothing_running(self, tmp_path: Path) -> None:
        async def scenario(rig: LauncherRig) -> None:
            task = asyncio.create_task(rig.launch(shell("touch begun; sleep 1000")))
            while not (rig.folder / "begun").exists():  # noqa: ASYNC110 - another process writes it
                await asyncio.sleep(0.01)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert task.cancelled()
            assert self.running(rig) == []

        self.play(tmp_path, scenario)

    def test_what_an_earlier_start_left_is_reported_and_ended_before_the_next(self, tmp_path: Path) -> None:
        async def scenario(rig: LauncherRig) -> None:
            with self.earlier_start(rig):
                [pid] = self.running(rig)
                told = await rig.left_over()
                assert told.startswith("still running")
                assert told.endswith(f"process {pid}")
                assert await rig.launch(shell("exit 0"), again=True) == Applied()
                assert self.running(rig) == []
                assert await rig.left_over() == ""

        self.play(tmp_path, scenario)
