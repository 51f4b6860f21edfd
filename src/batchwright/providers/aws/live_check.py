"""Assumptions that only a real account can confirm, checked with two cheap instances that are then removed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from botocore.exceptions import BotoCoreError, ClientError

from batchwright.errors import ProviderUnavailable
from batchwright.model.call_outcome import Created, Gone
from batchwright.model.clock import Clock
from batchwright.model.ids import Token
from batchwright.model.workflow import ServerConfig
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.aws import images
from batchwright.providers.aws.client import AwsClient
from batchwright.providers.aws.faults import code_of, explain
from batchwright.providers.aws.lookup import ours, rows_of
from batchwright.providers.aws.refs import RefKind, parse
from batchwright.providers.base import Provider
from batchwright.providers.live_check import CHANGED, LISTED, VANISHED, LiveCheck, token_of

PLAN, OTHER_PLAN = "t3.micro", "t3.small"

IMAGES = "which images have an SSM parameter here (assumed: all)"
SAME = "the same token, the same bytes (assumed: the same instance)"
OTHER = "the same token, other bytes (assumed: IdempotentParameterMismatch)"
UP = "how soon is it running and has an address"
ENDED = "how soon is it terminated"
PARTS = "are its disk and its interface gone with it (assumed: yes)"
SPENT = "the token of a terminated instance (assumed: IdempotentInstanceTerminated)"
SHARED = "how soon after the last instance can the security group be deleted (assumed: within ten minutes)"


class AwsLive(LiveCheck):
    """The check of one opened provider. `prepare` returns the bytes that `create` sends."""

    questions = (IMAGES, SAME, OTHER, LISTED, UP, CHANGED, ENDED, PARTS, SPENT, SHARED, VANISHED)
    patience = 900.0

    def __init__(
        self,
        provider: Provider,
        connection: AwsClient,
        prepare: Callable[[ServerRequest, Token], Awaitable[dict[str, object]]],
        clock: Clock,
    ) -> None:
        super().__init__(provider, clock)
        self._connection, self._prepare = connection, prepare
        self._region = connection.home
        self.makes = f"two instances {PLAN} in {self._region}, one after the other, one of them {OTHER_PLAN} later"
        self.console = f"the EC2 console of {self._region}"

    async def config(self, name: str) -> ServerConfig:
        return ServerConfig(name, PLAN, self._region)

    async def other_plan(self) -> str:
        return OTHER_PLAN

    async def ask(self, run: str) -> None:
        try:
            await self._images()
            await self._life(run)
            await self._vanished(run)
        except (BotoCoreError, ClientError) as error:
            raise ProviderUnavailable(explain(error, self._clock.now()).message, hint="It was cleaned up.") from error

    async def _images(self) -> None:
        wanted = {name: images.parameter(name, "x86_64") for name in images.ALIASES}
        answer = await self._connection.read(
            self._region, "get_parameters", service="ssm", Names=sorted(wanted.values())
        )
        missing = sorted(name for name, path in wanted.items() if path in answer["InvalidParameters"])
        self.found(IMAGES, f"all but {', '.join(missing)}" if missing else "all", not missing)

    async def _life(self, run: str) -> None:
        request, token = await self.request("verify-1"), token_of(run, "verify-1")
        ref, began = await self.made(request, token), self._clock.now()
        again = await self._provider.create(request, token)
        self.found(SAME, str(again), isinstance(again, Created) and again.ref == ref)
        bytes_sent = await self._prepare(request, token)
        code = await self._code({**bytes_sent, "InstanceInitiatedShutdownBehavior": "terminate"})
        self.found(OTHER, code, code == "IdempotentParameterMismatch")
        await self.listed(token, began)
        await self.started(UP, ref, began)
        await self.changed(ref, request)
        await self._end(run, ref, token, bytes_sent)

    async def _code(self, asked: dict[str, object]) -> str:
        try:
            answer = await self._connection.change(self._region, "run_instances", **asked)
        except ClientError as error:
            return code_of(error)
        return f"made or gave {answer['Instances'][0]['InstanceId']}"

    async def _end(self, run: str, ref: str, token: Token, bytes_sent: dict[str, object]) -> None:
        began = self._clock.now()
        await self.gone(ref)
        self.found(ENDED, f"after {self._clock.now() - began:.0f} s")
        left = [
            row
            for kind in (RefKind.VOLUME, RefKind.INTERFACE)
            for row in await rows_of(self._connection, self._region, kind, ours(run, token.value))
        ]
        self.found(PARTS, f"{len(left)} left" if left else "yes", not left)
        code = await self._code(bytes_sent)
        self.found(SPENT, code, code == "IdempotentInstanceTerminated")
        began = self._clock.now()
        while shared := [o.ref for o in await self._provider.find(run) if parse(o.ref).kind is RefKind.GROUP]:
            if not isinstance(await self._provider.destroy(shared[0]), Gone):
                await self.wait(began, "keeps its security group")
        seconds = self._clock.now() - began
        self.found(SHARED, f"after {seconds:.0f} s", seconds < 600)

    async def _vanished(self, run: str) -> None:
        """Send a create call and disconnect before it is answered."""
        token, request = token_of(run, "verify-2"), await self.request("verify-2")
        await self._prepare(request, token)  # so that the create call is the next request
        await self.vanish(request, token, 0.5)
