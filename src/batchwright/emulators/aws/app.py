"""The emulated AWS as an HTTP service: all its services at one address (AWS_ENDPOINT_URL)."""

from __future__ import annotations

import time
from collections.abc import Callable
from email.utils import formatdate
from typing import Any, ClassVar

from aiohttp import web

from batchwright.emulators.aws import protocol
from batchwright.emulators.aws.account import AwsAccount
from batchwright.emulators.aws.actions import READS
from batchwright.emulators.aws.protocol import AwsRequest
from batchwright.emulators.aws.region import tags_of
from batchwright.emulators.aws.settings import AwsBehaviour
from batchwright.emulators.front import CREATE, SUMMARY, CallRefused, EmulatedCall, EmulatorFront
from batchwright.fault_injection.draw import Draw
from batchwright.fault_injection.fault_names import READ_FAULTS
from batchwright.model.fault import FaultClass

_WRONG = CallRefused(403, "InvalidClientTokenId", "The security token included in the request is invalid.")
REFUSALS = {
    FaultClass.TRANSIENT: CallRefused(503, "Unavailable", "The server is overloaded and can't handle the request."),
    FaultClass.THROTTLE: CallRefused(503, "RequestLimitExceeded", "Request limit exceeded."),
    FaultClass.BUSY: CallRefused(400, "IncorrectState", "The resource is in an incorrect state for the request."),
    FaultClass.CAPACITY: CallRefused(500, "InsufficientInstanceCapacity", "There is not sufficient capacity."),
    FaultClass.QUOTA: CallRefused(400, "VcpuLimitExceeded", "More vCPU capacity than the current limit."),
    FaultClass.BILLING: CallRefused(400, "PendingVerification", "The account is being verified."),
    FaultClass.AUTH: _WRONG,
    FaultClass.INVALID: CallRefused(400, "InvalidParameterValue", "A parameter has an invalid value."),
    FaultClass.NOT_FOUND: CallRefused(400, "InvalidAMIID.NotFound", "The image id does not exist"),
    FaultClass.CONFLICT: CallRefused(400, "IdempotentParameterMismatch", "The token was used for another request."),
    FaultClass.PERMANENT: CallRefused(400, "OperationNotPermitted", "The operation is not permitted."),
}
_ABOUT = ("ClientToken", "InstanceIds", "GroupName", "KeyName", "GroupId", "VolumeId", "KeyPairId", "Filters")


def call_of(asked: AwsRequest) -> EmulatedCall:
    """A call as the front sees it. Any change may take effect late; a dry run meets no faults."""
    about = next((str(asked.arguments[name]) for name in _ABOUT if name in asked.arguments), "")
    faults: tuple[str, ...] = READ_FAULTS if asked.action in READS else CREATE
    if asked.arguments.get("DryRun"):
        faults = ()
    server = tags_of(asked.arguments, "instance").get("Name", "") if asked.action == "RunInstances" else ""
    return EmulatedCall(asked.action, f"{asked.region}/{about}", faults, asked, server)


class AwsEmulator(EmulatorFront[AwsAccount]):
    """One account behind one port. Signatures are not verified, but their time is."""

    credentials: ClassVar = {
        "expired": CallRefused(403, "ExpiredToken", "The security token included in the request is expired"),
        "wrong": _WRONG,
    }
    denied = CallRefused(403, "UnauthorizedOperation", "You are not authorized to perform this operation.")
    failed = CallRefused(500, "InternalError", "An internal error has occurred.")
    refusals = REFUSALS

    def __init__(self, behaviour: AwsBehaviour | None = None, clock: Callable[[], float] = time.time) -> None:
        super().__init__(AwsAccount(behaviour or AwsBehaviour(), clock))
        for service in ("ec2", "sts", "ssm"):
            protocol.description(service)  # takes half a second: done here, not during the first call

    def app(self) -> web.Application:
        app = self._application()
        app.router.add_get(f"{SUMMARY}/inventory", self._summary)  # the former path
        app.router.add_post("/", self._respond)
        app.on_response_prepare.append(self._dated)
        return app

    async def _dated(self, _request: web.BaseRequest, response: web.StreamResponse) -> None:
        """Add the cloud's clock to each response."""
        response.headers["Date"] = formatdate(self.account.clock(), usegmt=True)

    async def _read(self, request: web.Request) -> EmulatedCall:
        try:
            asked = protocol.read(request.headers, await request.read())
        except ValueError as error:
            raise CallRefused(400, "InvalidParameterValue", str(error)) from error
        protocol.check_time(asked.service, request.headers.get("X-Amz-Date", ""), self.account.clock())
        return call_of(asked)

    def _counted(self, call: EmulatedCall) -> str | None:
        return call.asked.region if call.name == "RunInstances" and call.faults else None

    def _seconds(self, call: EmulatedCall) -> float:
        behaviour = self.account.behaviour
        return behaviour.scaled(behaviour.answer_seconds) if call.changes else 0.0

    def handle(self, call: EmulatedCall) -> Any:
        self.account.advance()
        return super().handle(call)

    def _carry_out(self, call: EmulatedCall, drawn: Draw) -> dict[str, Any]:
        return self.account.carry_out(call.asked, drawn)

    def _answer(self, call: EmulatedCall, result: Any) -> web.Response:
        content, kind = protocol.answer(call.asked, result)
        return web.Response(body=content, headers={"Content-Type": kind})

    def _refused(self, request: web.Request, refusal: CallRefused) -> web.Response:
        content, kind = protocol.refusal(protocol.scope(request.headers)[1], refusal)
        return web.Response(status=refusal.status, body=content, headers={"Content-Type": kind})
