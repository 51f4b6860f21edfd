"""The records of a simulated world, and the changes to them."""

from __future__ import annotations

from msgspec import Struct

from batchwright.model.call_outcome import Observed, ServerState
from batchwright.model.fault import Fault, FaultClass
from batchwright.operations.server_batch import ServerRequest

BROKEN = Fault(FaultClass.TRANSIENT, "the server came up broken", code="SIMULATED_BROKEN")
STOPPED = Fault(FaultClass.TRANSIENT, "the server is stopped", code="SIMULATED_STOPPED")


class SimulatedServer(Struct, gc=False):
    """One server. Times are seconds since the epoch; `ready_at` None: it never becomes ready."""

    ref: str
    provider: str
    account: str
    run: str
    token: str
    request: ServerRequest
    address: str
    committed_at: float  # from here on it exists
    visible_at: float  # from here on reads show it
    ready_at: float | None
    broken: bool = False
    destroy_requested_at: float | None = None
    gone_at: float | None = None
    stopped_at: float | None = None  # it was asked to stop, and has stopped from then on

    @property
    def name(self) -> str:
        return self.request.name

    def exists(self, now: float) -> bool:
        """Whether it exists, visible or not."""
        return now >= self.committed_at and (self.gone_at is None or now < self.gone_at)

    def state(self, now: float) -> ServerState:
        """What a look at it shows."""
        if self.gone_at is not None and now >= self.gone_at:
            return ServerState.GONE
        if now < self.visible_at:
            return ServerState.NOT_VISIBLE
        return self.true_state(now)

    def true_state(self, now: float) -> ServerState:
        """Its state while it exists, whether or not reads show it yet."""
        if self.destroy_requested_at is not None:
            return ServerState.STOPPING
        if self.stopped_at is not None:
            return ServerState.BROKEN
        if self.ready_at is None or now < self.ready_at:
            return ServerState.STARTING
        return ServerState.BROKEN if self.broken else ServerState.READY

    def observed(self, now: float) -> Observed:
        """A look at it; what is not visible shows nothing but its reference."""
        state = self.state(now)
        if state is ServerState.NOT_VISIBLE:
            return Observed(self.ref, state)
        request = self.request
        return Observed(
            self.ref,
            state,
            name=request.name,
            run=self.run,
            token=self.token,
            address=self.address,
            plan=request.plan,
            zone=request.zone,
            image=request.image,
            labels=dict(request.labels),
            fault=(BROKEN if self.stopped_at is None else STOPPED) if state is ServerState.BROKEN else None,
        )


class SimulatedCall(Struct, frozen=True):
    """One call that reached a simulated cloud, for tests; `about` is the server's name, its ref, or a run."""

    at: float
    provider: str
    method: str
    about: str


class ServerAdded(Struct, frozen=True, tag="server"):
    """A create took effect, or will at its committed_at."""

    server: SimulatedServer


class DestroyRequested(Struct, frozen=True, tag="destroy"):
    """A destroy took effect; it is over at `gone_at`."""

    ref: str
    at: float
    gone_at: float


class StopRequested(Struct, frozen=True, tag="stop"):
    """A stop took effect; the server has stopped at `stopped_at`."""

    ref: str
    stopped_at: float


class StartRequested(Struct, frozen=True, tag="start"):
    """A start of a stopped server took effect; it is ready at `ready_at`."""

    ref: str
    ready_at: float


class ServerChanged(Struct, frozen=True, tag="change"):
    """A server has another plan or other labels."""

    ref: str
    request: ServerRequest


class Attempted(Struct, frozen=True, tag="attempt"):
    """One more call of this kind about this thing."""

    key: str


class Installed(Struct, frozen=True, tag="install"):
    """A task service is on the server now."""

    ref: str
    taskserv: str
    version: str


class Removed(Struct, frozen=True, tag="remove"):
    """A task service is no longer on the server."""

    ref: str
    taskserv: str


Change = (
    ServerAdded | DestroyRequested | StopRequested | StartRequested | ServerChanged | Attempted | Installed | Removed
)
