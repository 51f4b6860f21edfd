"""The runner and launcher ports whose keys, programs and catalogue are at a place."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from batchwright.commands.base import Launch
from batchwright.errors import PlaceRefused, PlaceUnreachable
from batchwright.model.call_outcome import Applied, CheckResult, Rejected, Unknown
from batchwright.model.diagnostic import Diagnostic
from batchwright.operations.command import Command, CommandRequest
from batchwright.operations.taskserv_batch import TaskservRequest
from batchwright.places import codec
from batchwright.places.place_link import PlaceLink, refusal
from batchwright.taskservs.base import NO_JOB, Target, TaskservCall

GRACE = 10.0  # seconds beyond its limit for a call to end by itself what it began
LOOK_SECONDS = 300.0  # for a preview or checks, which may take as long as the task services let them


class PlaceRunner:
    """A Runner at a place. Its catalogue is the place's own: an entry with another digest is refused there."""

    def __init__(self, provider: str, link: PlaceLink) -> None:
        self.provider, self._link = provider, link

    async def install(
        self, request: TaskservRequest, target: Target, job: TaskservCall = NO_JOB
    ) -> Applied | Rejected | Unknown:
        return await self._apply("install", request, target, job)

    async def installed(self, target: Target) -> tuple[str, ...]:
        return tuple(await self._link.ask(codec.RUNNER, "installed", self.provider, {"target": target}))

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
            {"request": request, "target": target, "job": _here(job)},
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
                {"request": request, "target": target, "job": _here(job)},
                limit=job.seconds + GRACE,
                about=about,
                tell=job.tell,
            )
        except (PlaceUnreachable, PlaceRefused) as error:
            return refusal(error)
        return answer


def _here(job: TaskservCall) -> TaskservCall:
    """Without the folder of the workflow file, which is not there."""
    return replace(job, folder="")


class PlaceLauncher:
    """A Launcher at a place: on the worker's machine, or with a provider on that one's servers."""

    def __init__(self, provider: str, link: PlaceLink) -> None:
        self.provider, self._link = provider, link

    async def resolve(self, command: Command, _folder: str = "") -> CommandRequest | list[Diagnostic]:
        """As the place says. The folder of the workflow file is not there."""
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
                {"request": request, "launch": launch},
                limit=launch.seconds + GRACE,
                about=f"{launch.run}/{launch.step}/{launch.mark}",
                tell=launch.tell,
            )
        except (PlaceUnreachable, PlaceRefused) as error:
            return refusal(error)
        return answer

    async def left_over(self, launch: Launch) -> str:
        return str(await self._link.ask(codec.LAUNCHER, "left_over", self.provider, {"launch": launch}))
