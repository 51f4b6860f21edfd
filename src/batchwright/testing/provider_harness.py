"""What a test of the provider suite uses: create servers, wait, and clean up."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable

from msgspec.structs import replace

from batchwright.model.call_outcome import Created, Going, Gone, Observed, Rejected, ServerState, Unknown
from batchwright.model.clock import Clock
from batchwright.model.ids import Token, run_id, step_token
from batchwright.model.workflow import ServerConfig
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.base import ChangesServers, Provider

Change = Created | Going | Rejected | Unknown  # the answers of a change


class ProviderHarness:
    """One test's access to the provider: an open client, a run of its own, and bounded waiting."""

    def __init__(
        self, provider: Provider, clock: Clock, patience: float, config: Callable[[str], ServerConfig]
    ) -> None:
        self.provider, self.clock, self._patience, self._config = provider, clock, patience, config
        self.run = run_id(os.urandom(10))

    def token(self, step: str, generation: int = 1) -> Token:
        """A token of this test's run."""
        return Token(self.run, step_token(self.run, step, generation))

    async def request(self, name: str) -> ServerRequest:
        """A valid request, resolved."""
        (answer,) = await self.provider.resolve([self._config(name)])
        assert isinstance(answer, ServerRequest), f"the suite's own configuration was refused: {answer}"
        return answer

    async def until(self, what: str, look: Callable[[], Awaitable[bool]]) -> None:
        """Poll until it holds; AssertionError when time is up."""
        start = self.clock.now()
        while not await look():
            assert self.clock.now() - start < self._patience, f"still not so after {self._patience:g} s: {what}"
            await self.clock.sleep(self.provider.capabilities.poll_seconds)

    async def settle(self) -> None:
        """Wait until nothing that was sent can still take effect."""
        await self.clock.sleep(self.provider.capabilities.settle_seconds)

    async def created(self, name: str, **labels: str) -> str:
        """Create a server with these labels more, find it in the listing, and return its reference."""
        request = await self.request(name)
        request = replace(request, labels={**request.labels, **labels})
        answer = await self.provider.create(request, self.token(name))
        assert isinstance(answer, Created), f"create answered {answer}"
        ref, token = answer.ref, self.token(name)
        wanted = [(ref, name, token.run, token.value)]

        async def listed() -> bool:
            found = await self.provider.find(token.run, token.value)
            return [(o.ref, o.name, o.run, o.token) for o in found] == wanted

        await self.until(f"{ref} alone is listed under its token, with its labels", listed)
        return ref

    async def ready(self, ref: str) -> Observed:
        """Wait until the server is ready."""
        seen: list[Observed] = []

        async def look() -> bool:
            seen[:] = [(await self.provider.describe([ref]))[ref]]
            assert seen[0].state is not ServerState.BROKEN, f"{ref} is broken: {seen[0].fault}"
            return seen[0].state is ServerState.READY

        await self.until(f"{ref} is ready", look)
        return seen[0]

    async def running(self, ref: str) -> Observed:
        """Wait until the server is ready; a stopped one, which a provider shows as broken, may still be starting."""
        seen: list[Observed] = []

        async def look() -> bool:
            seen[:] = [(await self.provider.describe([ref]))[ref]]
            return seen[0].state is ServerState.READY

        await self.until(f"{ref} runs", look)
        return seen[0]

    async def changed(self, ref: str, request: ServerRequest, before: ServerRequest) -> None:
        """Change a server in place as the engine does: repeat until Created."""
        provider = self.provider
        assert isinstance(provider, ChangesServers)
        await self.until_created(lambda: provider.change(ref, request, before))

    async def until_created(self, call: Callable[[], Awaitable[Change]]) -> list[Change]:
        """Repeat a change until Created; all answers."""
        return await self._repeat(call, Created)

    async def until_rejected(self, call: Callable[[], Awaitable[Change]]) -> list[Change]:
        """Repeat a change until Rejected; all answers."""
        return await self._repeat(call, Rejected)

    async def _repeat(self, call: Callable[[], Awaitable[Change]], end: type[Change]) -> list[Change]:
        answers: list[Change] = []

        async def step() -> bool:
            answers.append(await call())
            return isinstance(answers[-1], Created | Rejected)

        await self.until(f"a change ends in {end.__name__}", step)
        assert isinstance(answers[-1], end), answers
        return answers

    async def gone(self, ref: str) -> None:
        """Destroy a server as the engine does: repeat until Gone."""

        async def step() -> bool:
            answer = await self.provider.destroy(ref)
            assert isinstance(answer, Gone | Going | Unknown), f"destroy answered {answer}"
            return isinstance(answer, Gone)

        await self.until(f"{ref} is gone", step)

    async def clean(self) -> None:
        """Destroy everything of this test's run, including what is only listed once the rest is gone."""
        await self.settle()

        async def empty() -> bool:
            listed = await self.provider.find(self.run)
            for left in listed:
                await self.gone(left.ref)
            return not listed

        await self.until("nothing of the run is listed", empty)
