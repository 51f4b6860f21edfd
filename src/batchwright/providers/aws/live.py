"""What only a real account can say: asked with two of the cheapest instances, which are taken away again."""

from __future__ import annotations

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
from batchwright.providers.live import VANISHED, Finding, Inquiry, Tell

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
        self._inquiry = Inquiry(provider, clock, PATIENCE)
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
        self._inquiry.begin(tell)
        try:
            await self._images()
            await self._life(run)
            await self._vanished(run)
        except (BotoCoreError, ClientError) as error:
            raise ProviderUnavailable(explain(error, self._clock.now()).message, hint="It was cleaned up.") from error
        finally:
            residue = f"what carries the tag batchwright-run={run} could not all be removed"
            hint = f"Remove it in the EC2 console of {self._region}: it is billed."
            await self._inquiry.clean(run, ProviderUnavailable(residue, hint=hint))
        return self._inquiry.findings

    async def _images(self) -> None:
        wanted = {name: images.parameter(name, "x86_64") for name in images.ALIASES}
        answer = await self._connection.read(
            self._region, "get_parameters", service="ssm", Names=sorted(wanted.values())
        )
        missing = sorted(name for name, path in wanted.items() if path in answer["InvalidParameters"])
        self._inquiry.found(IMAGES, f"all but {', '.join(missing)}" if missing else "all", not missing)

    async def _life(self, run: str) -> None:
        request, token = await self._request("verify-1"), _token(run, "verify-1")
        said = await self._provider.create(request, token)
        began = self._clock.now()
        if not isinstance(said, Created):
            raise ProviderUnavailable(f"the check could not make its instance: {said}", hint="Nothing else was asked.")
        ref = said.ref
        again = await self._provider.create(request, token)
        self._inquiry.found(SAME, str(again), isinstance(again, Created) and again.ref == ref)
        bytes_sent = await self._prepare(request, token)
        code = await self._code({**bytes_sent, "InstanceInitiatedShutdownBehavior": "terminate"})
        self._inquiry.found(OTHER, code, code == "IdempotentParameterMismatch")
        while not await self._provider.find(run, token.value):
            await self._inquiry.wait(began, "is not listed by its tag")
        seconds = self._clock.now() - began
        self._inquiry.found(LISTED, f"after {seconds:.1f} s", seconds <= self._inquiry.settle)
        while (await self._provider.describe([ref]))[ref].state is not ServerState.READY:
            await self._inquiry.wait(began, "is not running")
        self._inquiry.found(UP, f"after {self._clock.now() - began:.0f} s")
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
            await self._inquiry.wait(began, "is not terminated")
        self._inquiry.found(ENDED, f"after {self._clock.now() - began:.0f} s")
        left = [
            row
            for kind in (Kind.VOLUME, Kind.INTERFACE)
            for row in await rows_of(self._connection, self._region, kind, ours(run, token.value))
        ]
        self._inquiry.found(PARTS, f"{len(left)} left" if left else "yes", not left)
        code = await self._code(bytes_sent)
        self._inquiry.found(SPENT, code, code == "IdempotentInstanceTerminated")
        began = self._clock.now()
        while shared := [o.ref for o in await self._provider.find(run) if parse(o.ref).kind is Kind.GROUP]:
            if not isinstance(await self._provider.destroy(shared[0]), Gone):
                await self._inquiry.wait(began, "keeps its security group")
        seconds = self._clock.now() - began
        self._inquiry.found(SHARED, f"after {seconds:.0f} s", seconds < 600)

    async def _vanished(self, run: str) -> None:
        """Send a create and go away before it is answered."""
        token, request = _token(run, "verify-2"), await self._request("verify-2")
        await self._prepare(request, token)  # so that the create is the next thing to be sent
        await self._inquiry.vanish(request, token, 0.5)


def _token(run: str, step: str) -> Token:
    return Token(run, step_token(run, step, 0))
