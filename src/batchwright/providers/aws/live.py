"""What only a real account can say: asked with two of the cheapest instances, which are taken away again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from botocore.exceptions import BotoCoreError, ClientError

from batchwright.errors import ProviderUnavailable
from batchwright.model.clock import Clock
from batchwright.model.ids import Token, step_token
from batchwright.model.outcome import Created, Gone, ServerState
from batchwright.model.plan import ServerRequest
from batchwright.model.workflow import ServerConfig
from batchwright.providers.aws import images
from batchwright.providers.aws.connection import Connection
from batchwright.providers.aws.faults import code_of, explain
from batchwright.providers.aws.listing import ours, rows_of
from batchwright.providers.aws.refs import Kind, parse
from batchwright.providers.base import Provider, Quote
from batchwright.providers.live import Finding, Tell

PLAN = "t3.micro"
PATIENCE = 900.0  # seconds for each thing that is waited for

IMAGES = "which images have an SSM parameter here (assumed: all)"
SAME = "the same token, the same bytes (assumed: the same instance)"
OTHER = "the same token, other bytes (assumed: IdempotentParameterMismatch)"
LISTED = "how soon is a new instance listed by its tag (assumed: within the settle time)"
UP = "how soon is it running and has an address"
ENDED = "how soon is it terminated"
PARTS = "are its disk and its interface gone with it (assumed: yes)"
SPENT = "the token of a terminated instance (assumed: IdempotentInstanceTerminated)"
SHARED = "how soon after the last instance can the security group be deleted (assumed: within ten minutes)"
VANISHED = "is a create carried out whose client has gone, and how late (assumed: perhaps, within the settle time)"


class AwsLive:
    """The check of one opened provider. `prepare` gives the bytes that `create` sends."""

    questions: tuple[str, ...] = (IMAGES, SAME, OTHER, LISTED, UP, ENDED, PARTS, SPENT, SHARED, VANISHED)

    def __init__(
        self,
        provider: Provider,
        connection: Connection,
        prepare: Callable[[ServerRequest, Token], Awaitable[dict[str, object]]],
        clock: Clock,
    ) -> None:
        self._provider, self._connection, self._prepare, self._clock = provider, connection, prepare, clock
        self._region = connection.home
        self._settle = provider.capabilities.settle_seconds
        self._poll = provider.capabilities.poll_seconds
        self._findings: list[Finding] = []
        self._tell: Tell = print
        self.makes = f"two instances {PLAN} in {self._region}, one after the other, for some minutes"

    async def cost(self) -> Quote | None:
        request = await self._request("verify-1")
        return await self._provider.quote([request, request])

    async def _request(self, name: str) -> ServerRequest:
        (answer,) = await self._provider.resolve([ServerConfig(name, PLAN, self._region)])
        if not isinstance(answer, ServerRequest):
            raise ProviderUnavailable(answer[0].message, hint=answer[0].hint)
        return answer

    async def run(self, run: str, tell: Tell) -> list[Finding]:
        self._findings, self._tell = [], tell
        try:
            await self._images()
            await self._life(run)
            await self._vanished(run)
        except (BotoCoreError, ClientError) as error:
            raise ProviderUnavailable(explain(error, self._clock.now()).message, hint="It was cleaned up.") from error
        finally:
            await self._clean(run)
        return self._findings

    def _found(self, question: str, answer: str, as_assumed: bool | None = None) -> None:
        self._findings.append(Finding(question, answer, as_assumed))
        self._tell(f"{question}: {answer}")

    async def _images(self) -> None:
        wanted = {name: images.parameter(name, "x86_64") for name in images.ALIASES}
        answer = await self._connection.read(
            self._region, "get_parameters", service="ssm", Names=sorted(wanted.values())
        )
        missing = sorted(name for name, path in wanted.items() if path in answer["InvalidParameters"])
        self._found(IMAGES, f"all but {', '.join(missing)}" if missing else "all", not missing)

    async def _life(self, run: str) -> None:
        request, token = await self._request("verify-1"), _token(run, "verify-1")
        said = await self._provider.create(request, token)
        began = self._clock.now()
        if not isinstance(said, Created):
            raise ProviderUnavailable(f"the check could not make its instance: {said}", hint="Nothing else was asked.")
        ref = said.ref
        again = await self._provider.create(request, token)
        self._found(SAME, str(again), isinstance(again, Created) and again.ref == ref)
        bytes_sent = await self._prepare(request, token)
        code = await self._code({**bytes_sent, "InstanceInitiatedShutdownBehavior": "terminate"})
        self._found(OTHER, code, code == "IdempotentParameterMismatch")
        while not await self._provider.find(run, token.value):
            await self._wait(began, "is not listed by its tag")
        seconds = self._clock.now() - began
        self._found(LISTED, f"after {seconds:.1f} s", seconds <= self._settle)
        while (await self._provider.describe([ref]))[ref].state is not ServerState.READY:
            await self._wait(began, "is not running")
        self._found(UP, f"after {self._clock.now() - began:.0f} s")
        await self._end(run, ref, token, bytes_sent)

    async def _code(self, asked: dict[str, object]) -> str:
        try:
            answer = await self._connection.change(self._region, "run_instances", **asked)
        except ClientError as error:
            return code_of(error)
        return f"made or gave {answer['Instances'][0]['InstanceId']}"

    async def _end(self, run: str, ref: str, token: Token, bytes_sent: dict[str, object]) -> None:
        began = self._clock.now()
        while not isinstance(await self._provider.destroy(ref), Gone):
            await self._wait(began, "is not terminated")
        self._found(ENDED, f"after {self._clock.now() - began:.0f} s")
        left = [
            row
            for kind in (Kind.VOLUME, Kind.INTERFACE)
            for row in await rows_of(self._connection, self._region, kind, ours(run, token.value))
        ]
        self._found(PARTS, f"{len(left)} left" if left else "yes", not left)
        code = await self._code(bytes_sent)
        self._found(SPENT, code, code == "IdempotentInstanceTerminated")
        began = self._clock.now()
        while shared := [o.ref for o in await self._provider.find(run) if parse(o.ref).kind is Kind.GROUP]:
            if not isinstance(await self._provider.destroy(shared[0]), Gone):
                await self._wait(began, "keeps its security group")
        seconds = self._clock.now() - began
        self._found(SHARED, f"after {seconds:.0f} s", seconds < 600)

    async def _vanished(self, run: str) -> None:
        """Send a create and go away before it is answered."""
        token, request = _token(run, "verify-2"), await self._request("verify-2")
        await self._prepare(request, token)  # so that the create is the next thing to be sent
        sending = asyncio.ensure_future(self._provider.create(request, token))
        await self._clock.sleep(min(0.5, self._poll))
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        began = self._clock.now()
        while self._clock.now() - began <= self._settle:
            if await self._provider.find(run, token.value):
                self._found(VANISHED, f"yes, seen after {self._clock.now() - began:.1f} s", True)
                return
            await self._clock.sleep(self._poll)
        self._found(VANISHED, f"not within {self._settle:.0f} s")

    async def _wait(self, began: float, what: str) -> None:
        if self._clock.now() - began > PATIENCE:
            raise ProviderUnavailable(f"after {PATIENCE:.0f} s the check's instance still {what}", hint="See below.")
        await self._clock.sleep(self._poll)

    async def _clean(self, run: str) -> None:
        """Until nothing of it has been seen for the settle time."""
        clean_since = began = self._clock.now()
        while self._clock.now() - clean_since <= self._settle:
            if self._clock.now() - began > PATIENCE + self._settle:
                raise ProviderUnavailable(
                    f"what carries the tag batchwright-run={run} could not all be removed",
                    hint=f"Remove it in the EC2 console of {self._region}: it is billed.",
                )
            try:
                left = await self._provider.find(run)
                for one in left:
                    await self._provider.destroy(one.ref)
            except ProviderUnavailable as error:
                self._tell(f"cleaning up: {error.message}; trying again")
                left = None
            if left != []:
                clean_since = self._clock.now()
            await self._clock.sleep(self._poll)
        self._tell("nothing that it made is left")


def _token(run: str, step: str) -> Token:
    return Token(run, step_token(run, step, 0))
