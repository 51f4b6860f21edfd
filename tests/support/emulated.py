"""Emulated clouds in a thread of their own, for tests whose own event loop comes and goes."""

from __future__ import annotations

import asyncio
import threading
from types import TracebackType
from typing import Self

from batchwright.emulators import hetzner
from batchwright.emulators.aws import AwsBehaviour, AwsEmulator
from batchwright.emulators.cloud import EmulatorServer
from batchwright.emulators.server import serve
from batchwright.emulators.upcloud import TOKEN, UpCloudBehaviour, UpCloudEmulator


class Serving:
    """Serves while the `with` lasts."""

    def __init__(self, served: EmulatorServer) -> None:
        self._served = served
        self.url = ""
        self._ready, self._over = threading.Event(), asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        async with serve(self._served) as self.url:
            self._ready.set()
            await self._over.wait()

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(30)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(30)


class Running(Serving):
    """An emulated UpCloud. `environ` is what a client needs."""

    def __init__(self, behaviour: UpCloudBehaviour | UpCloudEmulator | None = None) -> None:
        self.emulator = behaviour if isinstance(behaviour, UpCloudEmulator) else UpCloudEmulator(behaviour)
        super().__init__(self.emulator)

    @property
    def environ(self) -> dict[str, str]:
        return {"UPCLOUD_API_URL": self.url, "UPCLOUD_TOKEN": TOKEN}


class RunningAws(Serving):
    """An emulated AWS; tests/emulated_aws.py has what a client needs."""

    def __init__(self, behaviour: AwsBehaviour | None = None) -> None:
        self.emulator = AwsEmulator(behaviour)
        self.account = self.emulator.account
        super().__init__(self.emulator)


class RunningHetzner(Serving):
    """An emulated Hetzner. `environ` is what a client needs."""

    def __init__(self, behaviour: hetzner.HetznerBehaviour | None = None) -> None:
        self.emulator = hetzner.HetznerEmulator(behaviour)
        super().__init__(self.emulator)

    @property
    def environ(self) -> dict[str, str]:
        return {"HCLOUD_ENDPOINT": f"{self.url}/v1", "HCLOUD_TOKEN": hetzner.TOKEN}
