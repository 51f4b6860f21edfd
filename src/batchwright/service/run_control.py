"""What callers of a service ask of one run: pause, resume, cancel, roll back, answer; whichever process drives it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from functools import partial

from batchwright.app.active_run import LIVE_STATES, ActiveRun
from batchwright.app.approvals import AnswerRequest, answer
from batchwright.app.guardrails import refuse_destroyed
from batchwright.app.run_reader import undo_preview
from batchwright.app.run_refusals import nothing_to_pause, refuse_rollback, refuse_unless
from batchwright.app.runs import Runs
from batchwright.engine.manual_resolution import NO_ANSWERS, ResumeAnswers
from batchwright.engine.rollback_preview import UndoKind
from batchwright.errors import BatchwrightError, RunChanged, RunHeld
from batchwright.journal.lease_holder import own_holder, process_of
from batchwright.model.approver import Principal
from batchwright.model.lifecycle import RUN_ENDED, RunState, StepState
from batchwright.model.run import Run
from batchwright.model.run_signal import Signal, SignalKind
from batchwright.operations.registry import is_server
from batchwright.service.run_feed import RunFeed
from batchwright.service.run_supervisor import RunSupervisor, Verb, drive

EFFECT_SECONDS = 5.0  # how long an action waits for its first event before it answers
EFFECT_LOOKS = 50  # in this time, at a run that another process drives
BACKWARD = (RunState.ROLLING_BACK, RunState.ROLLED_BACK, RunState.ROLLBACK_INCOMPLETE)
# What a run shows when a signal has had its effect; until then other events of the run may become durable.
EFFECTS: dict[SignalKind, Callable[[Run], bool]] = {
    SignalKind.PAUSE: lambda run: run.status is RunState.PAUSED or run.status in RUN_ENDED,
    SignalKind.RESUME: lambda run: run.status is not RunState.PAUSED,
    SignalKind.CANCEL: lambda run: bool(run.cancelling) or run.status in RUN_ENDED,
    SignalKind.FORCE_CANCEL: lambda run: run.status in RUN_ENDED,
}


def destroyed_by(run: Run, kind: SignalKind | None, now: float) -> tuple[str, ...]:
    """The steps whose servers go by a rollback (None), or when the run is resumed. Raises NotAllowed."""
    if kind is None:
        return tuple(one.step for one in undo_preview(run, now) if one.what in (UndoKind.DESTROY, UndoKind.FINISH))
    if kind is not SignalKind.RESUME:
        return ()
    return tuple(
        step.id
        for step, record in zip(run.steps, run.records, strict=True)
        if record.state is not StepState.SUCCEEDED and is_server(step) and step.retired is not None
    )


class RunControl:
    """Acts on the runs of a supervisor."""

    def __init__(self, supervisor: RunSupervisor) -> None:
        self._supervisor = supervisor

    async def act(
        self,
        word: str,
        kind: SignalKind | None,
        who: Principal,
        match: Callable[[RunFeed], bool],
        answers: ResumeAnswers = NO_ANSWERS,
    ) -> RunFeed:
        """Pause, resume, cancel, or (None) roll back a run, whichever process drives it.

        `answers` are for a resume. Raises NotAllowed, RunHeld, RunChanged if the run is not in the state that `match`
        names, and PlanRefused if it would destroy more servers than the token of `who` may.
        """
        feed = await self._supervisor.feeds.find(word, destroys=kind in (None, SignalKind.FORCE_CANCEL))
        async with self._supervisor.lock(feed.run.id):
            await feed.refresh()
            if not match(feed):
                raise RunChanged(f"run {feed.run.id} is at event {feed.seq} now")
            gone = destroyed_by(feed.run, kind, self._supervisor.clock.now())
            if gone:
                await asyncio.to_thread(refuse_destroyed, self._supervisor.settings, who.id, gone, f"run {feed.run.id}")
            driven = self._supervisor.driven.get(feed.run.id)
            if feed.run.status in RUN_ENDED and not feed.run.rollback_due:  # its driver is about to leave it
                if driven is not None:
                    await asyncio.wait([driven.task] if driven.task else [], timeout=EFFECT_SECONDS)
                    driven = self._supervisor.driven.get(feed.run.id)
                await self._watch(feed, lambda: feed.holder is None)
            free = driven is None and feed.holder is None
            try:
                await self._act(feed, driven, kind, who, answers)
            except RunHeld:
                if not free:
                    raise
                feed.hint()  # another process has begun to drive it at this moment
                await feed.refresh()
                await self._act(feed, None, kind, who, answers)
        await feed.refresh()
        return feed

    async def _act(
        self, feed: RunFeed, driven: ActiveRun | None, kind: SignalKind | None, who: Principal, answers: ResumeAnswers
    ) -> None:
        if kind is None:
            await self._roll_back(feed, driven, who.name)
        else:
            signal = Signal(kind, self._supervisor.clock.now(), who.name)
            await self._relay(feed, driven, signal, answers, who.id)

    async def answer(self, word: str, request: AnswerRequest, who: Principal) -> RunFeed:
        """Answer a question of a run; one that rests is driven on. Raises as `approvals.answer`."""
        service = self._supervisor
        feed = await service.feeds.find(word)
        async with service.lock(feed.run.id):
            await feed.refresh()
            step, new = await answer(feed.journal, feed.run, request, who, service.settings, service.clock.now())
            driven = service.driven.get(feed.run.id)
            row = feed.run.summary(feed.journal.name)
            if new and driven is None and service.dispatch(row, wake=True):
                pass
            elif new and driven is None and feed.holder is None and service.has_room:
                stored = service.stored(feed.journal, feed.run.id)
                driven = service.begin(row, partial(drive, stored))
            if new and driven is not None:
                # an error ends the drive and is told as its trouble; the answer is durable all the same
                with contextlib.suppress(BatchwrightError):
                    await _effect(driven, feed, lambda run: any(a.principal == who.id for a in run.holds[step].answers))
        await feed.refresh()
        return feed

    async def _relay(
        self, feed: RunFeed, driven: ActiveRun | None, signal: Signal, answers: ResumeAnswers, principal: str
    ) -> None:
        run, kind = feed.run, signal.kind
        force = kind is SignalKind.FORCE_CANCEL
        undriven = driven is None and feed.holder is None
        if answers != NO_ANSWERS and not undriven:
            raise RunHeld(f"run {run.id} is driven by {_who(feed)}")
        reopens = kind is SignalKind.RESUME and (undriven or run.status in RUN_ENDED)
        if kind is SignalKind.RESUME and not undriven and run.status in (RunState.PENDING, RunState.RUNNING):
            raise RunHeld(f"run {run.id} is driven by {_who(feed)}")
        if not reopens:
            allowed = {SignalKind.PAUSE: LIVE_STATES[:2], SignalKind.RESUME: (RunState.PAUSED,)}.get(kind, LIVE_STATES)
            refuse_unless(run.status, run.id, kind, allowed)
        if driven is not None:
            driven.signal(signal)
            await _effect(driven, feed, EFFECTS[kind])
            if driven.driver is not None and driven.driver.resting and not EFFECTS[kind](feed.run):
                await self._relay(feed, None, signal, answers, principal)  # it had just stopped listening
        elif feed.holder is not None:
            if reopens:
                raise RunHeld(f"run {run.id} is driven by {_who(feed)}")
            await feed.journal.signal(run.id, signal)
            await self._watch(feed, lambda: feed.holder is None or EFFECTS[kind](feed.run))
            if feed.holder is None and not EFFECTS[kind](feed.run):  # its driver gave it back without hearing that
                await self._relay(feed, None, signal, answers, principal)
        elif kind is SignalKind.PAUSE and run.id in self._supervisor.expected:
            stored = self._supervisor.stored(feed.journal, run.id)
            pauses = partial(Runs.drive, stored=stored, wishes=lambda machine, now: machine.request(signal, now))
            await self._take_up(feed, pauses, EFFECTS[kind])
        elif kind is SignalKind.PAUSE:
            raise nothing_to_pause(run.id)
        elif kind is SignalKind.RESUME:
            stored = self._supervisor.stored(feed.journal, run.id)
            await self._take_up(
                feed, lambda runs: runs.resume(stored, signal.by, answers, principal=principal), _anything
            )
        else:
            stored = self._supervisor.stored(feed.journal, run.id)
            await self._take_up(feed, lambda runs: runs.cancel(stored, signal.by, force=force), _anything)

    async def _watch(self, feed: RunFeed, seen: Callable[[], bool]) -> None:
        """Look at a run that another process drives until this is seen, EFFECT_SECONDS at most."""
        for _ in range(EFFECT_LOOKS):
            if seen():
                return
            await self._supervisor.clock.sleep(EFFECT_SECONDS / EFFECT_LOOKS)
            feed.hint()
            await feed.refresh()

    async def _roll_back(self, feed: RunFeed, driven: ActiveRun | None, by: str) -> None:
        if driven is not None or feed.holder is not None:
            refuse_rollback(feed.run, by, self._supervisor.clock.now(), _who(feed))
        stored = self._supervisor.stored(feed.journal, feed.run.id)
        await self._take_up(feed, lambda runs: runs.rollback(stored, by), lambda run: run.status in BACKWARD)

    async def _take_up(self, feed: RunFeed, verb: Verb, shows: Callable[[Run], bool]) -> None:
        self._supervisor.refuse_more()
        driven = self._supervisor.begin(feed.run.summary(feed.journal.name), verb)
        await _effect(driven, feed, shows)


def _who(feed: RunFeed) -> str:
    return process_of(feed.holder or own_holder())


async def _effect(driven: ActiveRun, feed: RunFeed, shows: Callable[[Run], bool]) -> None:
    """Wait until something more is durable and what is durable of the run shows what is wanted.

    The driver's own fold is ahead of the journal while it appends, so that it is not asked.
    """
    before = feed.seq

    async def shown() -> bool:
        feed.hint()
        await feed.refresh()
        return feed.seq > before and shows(feed.run)

    await driven.until(shown, EFFECT_SECONDS)


def _anything(_run: Run) -> bool:
    return True
