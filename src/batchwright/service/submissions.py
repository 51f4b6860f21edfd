"""Workflows from outside: evaluated with tight limits, a bounded number at a time, off the event loop."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Protocol
from weakref import WeakValueDictionary

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from batchwright.app.adapters import Adapters, SharedWorld
from batchwright.app.diagnostic_positions import placed
from batchwright.app.environment_turn_wait import TurnWait, wait_for_turn
from batchwright.app.multi_store import Stores
from batchwright.app.planned import Planned, workflow_invalid
from batchwright.app.plans import approve, plan_loaded
from batchwright.app.program_and_secret_allowlist import CODE, COMMANDS_WAY, NOTHING, ProgramAndSecretAllowlist
from batchwright.app.runs import StoredRun
from batchwright.app.settings import Settings
from batchwright.engine.limits import Limits
from batchwright.errors import (
    EnvironmentBusy,
    EnvironmentMoved,
    Forbidden,
    IdempotencyMismatch,
    SecretRefused,
    SourceRefused,
)
from batchwright.journal.environment_state import environment_key
from batchwright.loader import Loaded, Path_, SourceLocation
from batchwright.model.clock import Clock
from batchwright.model.environment import EnvironmentKey
from batchwright.model.ids import keyed_run_id
from batchwright.model.plan import Plan
from batchwright.model.run_summary import RunSummary
from batchwright.model.scalar import Scalar
from batchwright.model.workflow import Permission
from batchwright.plan.plan_file import is_plan
from batchwright.service.evaluator_pool import EvaluatorPool
from batchwright.service.evaluator_worker import EvaluationJob
from batchwright.views.text_format import counted

PLAN_HINT = "Apply it on a machine that uses the same store: batchwright run PLANFILE"


class KeyedRequest(Protocol):
    """What begins a run: at most once for a `key` of the caller `by`. Without a key nothing is compared."""

    @property
    def by(self) -> str:
        """The caller."""

    @property
    def key(self) -> str:
        """The Idempotency-Key; may be empty."""

    def digest(self) -> str:
        """Identifies what is asked for, whatever its key; empty without a key."""


class Submission(Struct, frozen=True):
    """A workflow's text; the end of `name` gives its format. `simulation` is None for a real run.

    `commands`: the caller may use what `serve --allow-commands` allows. `by` is the caller; a `key` belongs to that
    caller.
    """

    text: str
    name: str
    simulation: dict[str, Scalar] | None = None
    plan_hash: str = ""
    key: str = ""
    commands: bool = True
    by: str = ""
    wait: float = 0.0  # seconds for the turn in the environment
    environment: str = ""  # instead of the one that the workflow names
    retire: bool = False  # what the workflow no longer asks for may be destroyed
    reinstall: tuple[str, ...] = ()  # what is installed again although nothing changed
    principal: str = ""  # the caller, as Principal.id
    approved_by: str = ""  # who has approved it, if it was proposed

    def digest(self) -> str:
        """Identifies the content of a submission, whatever its key; empty without a key."""
        if not self.key:
            return ""
        bare: tuple[object, ...] = (self.text, self.name, self.simulation, self.plan_hash)
        if self.environment:
            bare = (*bare, self.environment)
        if self.retire:
            bare = (*bare, "retire")
        if self.reinstall:
            bare = (*bare, self.reinstall)
        return hashlib.sha256(msgspec.json.encode(bare, order="deterministic")).hexdigest()


class Submissions:
    """Accepts submissions. With `simulation`, all of them are simulated, whatever they ask for.

    `allowed` is checked before anything that a workflow names is looked up: a client may not do all that the service's
    user may.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        stores: Stores,
        world: SharedWorld,
        simulation: dict[str, Scalar] | None = None,
        *,
        allowed: ProgramAndSecretAllowlist = NOTHING,
    ) -> None:
        self._allowed = allowed
        self.simulation = simulation
        self._settings = settings
        self._clock = clock
        self._stores = stores
        self._world = world
        self._evaluations = EvaluatorPool()
        self._older: dict[tuple[str, str], RunSummary] | None = None  # None while a store has not been read
        self._keys: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()
        # who waits for the turn in an environment gets it in the order of asking
        self._turns: WeakValueDictionary[EnvironmentKey, asyncio.Lock] = WeakValueDictionary()

    async def aclose(self) -> None:
        """End the evaluator processes."""
        await self._evaluations.aclose()

    def _allowed_to(self, submission: Submission) -> ProgramAndSecretAllowlist:
        if submission.commands or not self._allowed.commands:
            return self._allowed
        return replace(self._allowed, commands=False, way=COMMANDS_WAY)

    def _job(self, submission: Submission, places: Sequence[Path_] = ()) -> EvaluationJob:
        catalogues = tuple(str(folder) for folder in self._settings.catalogues)
        is_json, allowed = submission.name.endswith(".json"), self._allowed_to(submission)
        return EvaluationJob(submission.text, submission.name, is_json, catalogues, allowed, tuple(places))

    async def load(self, submission: Submission, *, urgent: bool = False) -> Loaded:
        """Evaluate and check it in another process. An urgent one does not wait for read-only requests.

        Raises Forbidden for a plan file, which could name foreign servers; SecretRefused, SourceRefused with the
        position of each that is not allowed; BodyUnreadable, TooManyRequests, ServiceBusy, EvaluatorUnavailable.
        """
        if is_plan(submission.text.encode()):
            raise Forbidden("this service takes workflows, and this is a plan", hint=PLAN_HINT)
        loaded = await self._evaluations.load(self._job(submission), submission.by, urgent=urgent)
        if refused := [one for one in loaded.diagnostics if one.code == CODE]:
            message = (
                f"the workflow names {counted(len(refused), 'secret')} that this service does not allow clients to use"
            )
            raise SecretRefused(message, diagnostics=loaded.diagnostics)
        if refused := [one for one in loaded.diagnostics if one.code == SourceRefused.code]:
            message = f"this service does not allow clients to use {counted(len(refused), 'source')} of the workflow"
            raise SourceRefused(message, diagnostics=loaded.diagnostics)
        if loaded.workflow is None:
            return loaded
        workflow = loaded.workflow
        if submission.environment:
            workflow = replace(workflow, environment=submission.environment)
        if submission.retire:
            workflow = replace(workflow, changes=replace(workflow.changes, retire=Permission.REQUESTED))
        if submission.reinstall:
            workflow = replace(workflow, changes=replace(workflow.changes, reinstall=submission.reinstall))
        return replace(loaded, workflow=workflow)

    async def check(self, submission: Submission) -> Loaded:
        """The workflow. Raises WorkflowInvalid with every diagnostic."""
        loaded = await self.load(submission)
        if loaded.workflow is None:
            raise workflow_invalid(loaded.diagnostics)
        return loaded

    async def look(self, submission: Submission, *, urgent: bool = False) -> Planned:
        """The plan with its warnings and prices. Raises WorkflowInvalid, PlanRefused, PlanChanged, Forbidden."""
        loaded = await self.load(submission, urgent=urgent)
        return await self.look_at(submission, loaded, urgent=urgent)

    async def look_at(self, submission: Submission, loaded: Loaded, *, urgent: bool = False) -> Planned:
        """The plan of a submission that is loaded already. Raises as `look`."""
        simulation = self.simulation if submission.simulation is None else submission.simulation
        if simulation is None and loaded.workflow is not None:
            self._allowed_to(submission).check_commands(loaded.workflow)
        async with Adapters(self._settings, self._clock, Limits(), simulation, self._world) as around:
            planned = await plan_loaded(
                self._settings, self._stores, around, loaded, simulation, principal=submission.principal
            )

        async def find(paths: Sequence[Path_]) -> Sequence[SourceLocation]:
            return await self._evaluations.places(self._job(submission, paths), submission.by, urgent=urgent)

        planned = await placed(planned, loaded.workflow, find)
        if planned.plan is None:
            raise planned.refusal()
        approve(planned.plan, submission.plan_hash)
        return planned

    async def begin(self, submission: Submission, create: Callable[[Plan], Awaitable[StoredRun]]) -> StoredRun:
        """Wait for the turn as long as the submission says, plan and create the run.

        When another run changed the environment meanwhile it is planned again, a few times. Raises as
        `look`, EnvironmentRefused.
        """
        loaded = await self.load(submission, urgent=True)
        if loaded.workflow is None:
            raise workflow_invalid(loaded.diagnostics)
        simulation = self.simulation if submission.simulation is None else submission.simulation
        simulated, wait = simulation is not None, TurnWait(self._clock, submission.wait)
        async with self._turns.setdefault(environment_key(loaded.workflow, simulated=simulated), asyncio.Lock()):
            while True:
                await wait_for_turn(self._stores, self._clock, loaded.workflow, wait.left, simulated=simulated)
                planned = await self.look_at(submission, loaded, urgent=True)
                assert planned.plan is not None
                try:
                    return await create(planned.plan)
                except (EnvironmentBusy, EnvironmentMoved) as refused:
                    wait.again(refused)

    # -- idempotency ----------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def key(self, request: KeyedRequest) -> AsyncIterator[None]:
        """Process requests of one caller with the same key one after the other."""
        if not request.key:
            yield
            return
        async with self._keys.setdefault((request.by, request.key), asyncio.Lock()):
            yield

    async def earlier(self, request: KeyedRequest) -> str | None:
        """The run that this caller began with this key, which is as durable as the run. Raises IdempotencyMismatch.

        A key never leads to the run of another caller. Runs that do not record their creator may be found by all.
        """
        if not request.key:
            return None
        row = await self._stores.summary(keyed_run_id(request.by, request.key))
        if row is None and self._older is None:
            self.remember(await self._stores.summaries())
        if row is None and self._older is not None:
            row = self._older.get((request.by, request.key)) or self._older.get(("", request.key))
        if row is not None and row.digest != request.digest():
            raise IdempotencyMismatch(f"the key {request.key!r} belongs to run {row.run}")
        return row.run if row is not None else None

    def remember(self, rows: Sequence[RunSummary]) -> None:
        """Index the runs from before a run's id was made from its key."""
        self._older = {(row.by, row.key): row for row in rows if row.key and row.run != keyed_run_id(row.by, row.key)}

    def run_id(self, request: KeyedRequest) -> str:
        """The id for the new run; empty for any."""
        return keyed_run_id(request.by, request.key) if request.key else ""
