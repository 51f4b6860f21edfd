"""The runner and launcher ports whose keys, programs and catalogue are at a place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from msgspec.structs import replace

from batchwright.commands.base import CommandServer, Launch
from batchwright.errors import PlaceRefused, PlaceUnreachable
from batchwright.model.call_outcome import Applied, CheckResult, Rejected, Unknown
from batchwright.model.diagnostic import Diagnostic
from batchwright.model.ssh_access import SshAccess
from batchwright.operations.command import Command, CommandRequest
from batchwright.operations.taskserv_batch import TaskservRequest
from batchwright.places import codec
from batchwright.places.place_link import PlaceLink, refusal
from batchwright.taskservs.base import NO_JOB, Target, TaskservCall

S = TypeVar("S", Target, CommandServer)

GRACE = 10.0  # seconds beyond its limit for a call to end by itself what it began
LOOK_SECONDS = 300.0  # for a preview or checks, which may take as long as the task services let them


class PlaceRunner:
    """A Runner at a place. Its catalogue is the place's own: an entry with another digest is refused there."""

    def __init__(self, provider: str, link: PlaceLink, publics: Mapping[str, str] = {}) -> None:
        self.provider, self._link, self._publics = provider, link, publics

    async def install(
        self, request: TaskservRequest, target: Target, job: TaskservCall = NO_JOB
    ) -> Applied | Rejected | Unknown:
        return await self._apply("install", request, target, job)

    async def installed(self, target: Target) -> tuple[str, ...]:
        return tuple(
            await self._link.ask(codec.RUNNER, "installed", self.provider, {"target": sent(target, self._publics)})
        )

    async def preview(self, request: TaskservRequest, target: Target, job: TaskservCall = NO_JOB) -> tuple[str, ...]:
        return tuple(await self._look("preview", request, target, job))

    async def check(
        self, request: TaskservRequest, target: Target, job: TaskservCall = NO_JOB
    ) -> tuple[CheckResult, ...]:
        return tuple(await self._look("check", request, target, job))

    async def remove(
        self, request: TaskservRequest, target: Target, job: TaskservCall = NO_JOB
    ) -> Applied | Rejected | Unknown:
        return await self._apply("remove", request, target, job)

    async def _look(self, method: str, request: TaskservRequest, target: Target, job: TaskservCall) -> Any:
        limit = min(job.seconds, LOOK_SECONDS)
        return await self._link.ask(
            codec.RUNNER,
            method,
            self.provider,
            self._given(request, target, job),
            limit=limit,
            tell=job.tell,
        )

    async def _apply(
        self, method: str, request: TaskservRequest, target: Target, job: TaskservCall
    ) -> Applied | Rejected | Unknown:
        about = f"{job.token or 'taskserv'}/{target.provider}/{target.ref}/{request.name}"
        try:
            answer: Applied | Rejected | Unknown = await self._link.ask(
                codec.RUNNER,
                method,
                self.provider,
                self._given(request, target, job),
                limit=job.seconds + GRACE,
                about=about,
                tell=job.tell,
            )
        except (PlaceUnreachable, PlaceRefused) as error:
            return refusal(error)
        return answer

    def _given(self, request: TaskservRequest, target: Target, job: TaskservCall) -> dict[str, object]:
        """Without the folder of the workflow file, which is not there."""
        leader = None if job.leader is None else sent(job.leader, self._publics)
        job = replace(job, folder="", leader=leader)
        return {"request": request, "target": sent(target, self._publics), "job": job}


class PlaceLauncher:
    """A Launcher at a place: on the worker's machine, or with a provider on that one's servers."""

    def __init__(self, provider: str, link: PlaceLink, publics: Mapping[str, str] = {}) -> None:
        self.provider, self._link, self._publics = provider, link, publics

    async def resolve(self, command: Command, _folder: str = "") -> CommandRequest | list[Diagnostic]:
        """As the place says. The folder of the workflow file is not there."""
        if command.targets is None and command.directory and not command.directory.startswith(("/", "~/")):
            message = f'"{command.directory}" is relative to the workflow file, which is not at {self._link.place}'
            return [Diagnostic("directory-relative", message, "Give an absolute path.", field="directory")]
        told: CommandRequest | list[Diagnostic] = await self._link.ask(
            codec.LAUNCHER, "resolve", self.provider, {"command": command, "folder": ""}
        )
        return told

    async def launch(self, request: CommandRequest, launch: Launch) -> Applied | Rejected | Unknown:
        try:
            answer: Applied | Rejected | Unknown = await self._link.ask(
                codec.LAUNCHER,
                "launch",
                self.provider,
                {"request": request, "launch": self._sent(launch)},
                limit=launch.seconds + GRACE,
                about=f"{launch.run}/{launch.step}/{launch.mark}",
                tell=launch.tell,
            )
        except (PlaceUnreachable, PlaceRefused) as error:
            return refusal(error)
        return answer

    async def left_over(self, launch: Launch) -> str:
        return str(await self._link.ask(codec.LAUNCHER, "left_over", self.provider, {"launch": self._sent(launch)}))

    def _sent(self, launch: Launch) -> Launch:
        on = None if launch.on is None else sent(launch.on, self._publics)
        return replace(launch, on=on, servers=tuple(sent(one, self._publics) for one in launch.servers))


def sent(server: S, publics: Mapping[str, str]) -> S:
    """The server as a place is told of it: of a key file that only this machine has, the public key."""
    return replace(server, access=_access(server.access, publics))


def _access(access: SshAccess | None, publics: Mapping[str, str]) -> SshAccess | None:
    if access is None:
        return None
    return replace(access, key=publics.get(access.key, access.key), jump=_access(access.jump, publics))
