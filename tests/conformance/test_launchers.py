"""Every launcher through the shipped suite: this machine, over SSH, at a place, simulated and of a rehearsal."""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from batchwright.app.system_clock import SystemClock
from batchwright.commands.base import MARK, CommandServer, Launch
from batchwright.commands.local import LocalCommands
from batchwright.commands.process_marker import ProcessMarker
from batchwright.commands.ssh import SshCommands
from batchwright.model.call_outcome import Applied, Rejected, Unknown
from batchwright.operations.command import CommandRequest
from batchwright.providers.simulated import SimulatedLauncher, Simulation, World
from batchwright.rehearsal.command_ledger import EXITS, CommandLedger
from batchwright.secret_resolver import reveal
from batchwright.testing.launcher_suite import ENVIRON, LauncherRig, LauncherSuite, ProgramSuite
from batchwright.testing.virtual_clock import VirtualClock, run_virtual
from tests.support.place_carrier import launcher_at
from tests.support.ssh_host import ShellHost


@contextmanager
def process_of(mark: str, marker: ProcessMarker | None = None) -> Iterator[None]:
    """A process with the mark, which a driver that was killed has left behind: it alone holds the marker's lock."""
    inherited = () if marker is None else (marker.begin(),)
    with subprocess.Popen(("/bin/sleep", "1000"), env={MARK: mark}, pass_fds=inherited) as process:
        for descriptor in inherited:
            os.close(descriptor)
        try:
            yield
        finally:
            process.kill()


def local_launcher(folder: Path) -> LocalCommands:
    return LocalCommands(folder / "programs", SystemClock(), ENVIRON, lambda one: reveal(one, ENVIRON))


class TestLocalLauncher(ProgramSuite):
    @asynccontextmanager
    async def rig(self, folder: Path) -> AsyncIterator[LauncherRig]:
        yield LauncherRig(local_launcher(folder), folder)
        assert list((folder / "programs").glob("*")) == []  # no file of a start outlives it

    def earlier_start(self, rig: LauncherRig) -> AbstractContextManager[None]:
        (rig.folder / "programs").mkdir()
        return process_of(rig.mark, ProcessMarker(rig.folder / "programs", rig.mark))


class TestLauncherAtPlace(TestLocalLauncher):
    @asynccontextmanager
    async def rig(self, folder: Path) -> AsyncIterator[LauncherRig]:
        yield LauncherRig(launcher_at(local_launcher(folder)), folder)


class TestSshLauncher(ProgramSuite):
    @asynccontextmanager
    async def rig(self, folder: Path) -> AsyncIterator[LauncherRig]:
        async with ShellHost(folder).up() as host:
            on = CommandServer("web-01", "127.0.0.1", "local", "here", host.access)
            yield LauncherRig(SshCommands(ENVIRON, lambda one: reveal(one, ENVIRON), SystemClock()), folder, on)

    def earlier_start(self, rig: LauncherRig) -> AbstractContextManager[None]:
        return process_of(rig.mark)


class TestSimulatedLauncher(LauncherSuite):
    def drive(self, main: Coroutine[Any, Any, None]) -> None:
        run_virtual(main)

    @asynccontextmanager
    async def rig(self, folder: Path) -> AsyncIterator[LauncherRig]:
        simulation = Simulation.from_settings({"fail_command": "fails=exit,is-lost=lost_answers"})
        yield LauncherRig(SimulatedLauncher(World(), VirtualClock(), simulation), folder)


class EndingLedger(CommandLedger):
    """A ledger whose programs end as their names say."""

    def _ended(self, request: CommandRequest, launch: Launch, number: int) -> Applied | Rejected | Unknown:
        outcomes: dict[str, Rejected | Unknown] = {"fails": EXITS, "is-lost": Unknown("lost")}
        return outcomes.get(request.name) or super()._ended(request, launch, number)


class TestRehearsalLedger(LauncherSuite):
    def drive(self, main: Coroutine[Any, Any, None]) -> None:
        run_virtual(main)

    @asynccontextmanager
    async def rig(self, folder: Path) -> AsyncIterator[LauncherRig]:
        yield LauncherRig(EndingLedger(VirtualClock()), folder)
