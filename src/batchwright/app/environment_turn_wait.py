"""Which run has its turn in an environment, and the wait until it ends."""

from __future__ import annotations

from msgspec import Struct

from batchwright.app.multi_store import Stores
from batchwright.errors import EnvironmentBusy, EnvironmentMoved
from batchwright.journal.base import Journal
from batchwright.journal.environment_state import environment_key, environment_state
from batchwright.journal.lease_holder import driver_of, process_of
from batchwright.model.clock import Clock
from batchwright.model.environment import EnvironmentKey
from batchwright.model.workflow import Workflow

PLANS_MAX = 3  # how often it is planned again because another run changed the environment meanwhile
WAIT_SECONDS = 1.0  # between two looks whether a turn has ended


class Busy(Struct, frozen=True):
    """The run whose turn it is, and who drives it; "" for nobody."""

    run: str
    driver: str
    error: EnvironmentBusy


class TurnWait:
    """How long someone waits for the turn, and how often a plan is made again meanwhile.

    A plan that no longer fits is made again PLANS_MAX times, or as long as there is time left.
    """

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._until = clock.monotonic() + seconds
        self._plans = 0

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return max(0.0, self._until - self._clock.monotonic())

    def again(self, refused: EnvironmentBusy | EnvironmentMoved) -> None:
        """Raise it unless there is another try."""
        self._plans += 1
        moved = isinstance(refused, EnvironmentMoved) and self._plans < PLANS_MAX
        if not moved and self.left <= 0:
            raise refused


async def busy_with(stores: Stores, clock: Clock, workflow: Workflow, *, simulated: bool) -> Busy | None:
    """The run that is changing the workflow's environment, if one is. Raises StoreError, SecretMissing."""
    journal = await stores.get(stores.name_of(workflow.storage_backend))
    return await busy_in(journal, environment_key(workflow, simulated=simulated), clock)


async def busy_in(journal: Journal, key: EnvironmentKey, clock: Clock) -> Busy | None:
    """The run that is changing this environment, if one is."""
    try:
        row = (await environment_state(journal, key)).row
        run = row.tenant if row is not None else ""
    except EnvironmentBusy as busy:
        run = busy.run
    if not run:
        return None
    driver = driver_of(await journal.held(run), clock.now())
    summary = await journal.summary(run)
    state = f"it is {summary.status}" + (" and waits for an answer" if summary.asks else "")
    who = f"{process_of(driver)} drives it" if driver is not None else "no process drives it"
    message = f"run {run} is changing the environment {key.name}: {state}, and {who}"
    hint = f"Watch it: batchwright monitor {run}. To wait for its end, add --wait SECONDS."
    if summary.asks:
        hint = f"See what it asks, and answer: batchwright approvals {run}"
    elif driver is None:
        hint = f"Continue it: batchwright resume {run}, or end it: batchwright cancel {run}"
    return Busy(run, driver or "", EnvironmentBusy(message, hint=hint, run=run))


async def wait_for_turn(stores: Stores, clock: Clock, workflow: Workflow, seconds: float, *, simulated: bool) -> None:
    """Wait for so long until no other run has its turn. Raises EnvironmentBusy, StoreError, SecretMissing."""
    journal = await stores.get(stores.name_of(workflow.storage_backend))
    await wait_for_turn_of(journal, environment_key(workflow, simulated=simulated), clock, seconds)


async def wait_for_turn_of(journal: Journal, key: EnvironmentKey, clock: Clock, seconds: float) -> None:
    """The same for an environment by its key."""
    until = clock.monotonic() + seconds
    while (busy := await busy_in(journal, key, clock)) is not None:
        if (left := until - clock.monotonic()) <= 0:
            raise busy.error
        await clock.sleep(min(WAIT_SECONDS, left))
