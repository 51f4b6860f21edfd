"""Proposed changes of a service: made by one, decided by another, carried out only as they were decided."""

from __future__ import annotations

import asyncio
from functools import partial

from msgspec.structs import replace

from batchwright.app.access_tokens import Tokens
from batchwright.app.proposal_store import OPEN_SECONDS, Proposals
from batchwright.app.run_reader import undo_preview
from batchwright.engine.rollback_preview import UndoKind
from batchwright.errors import NotAllowed, PlanRefused, RunChanged, UsageError
from batchwright.model.approver import Principal
from batchwright.model.environment import EnvironmentKey
from batchwright.model.guardrail_limits import NO_LIMITS, Impact, LimitsSource, broken_limits
from batchwright.model.lifecycle import RUN_ENDED, RunState, StepState
from batchwright.model.proposal import Proposal, ProposedAction, ProposedWorkflow, action_hash
from batchwright.model.run import Run
from batchwright.model.run_signal import SignalKind
from batchwright.operations.registry import is_server
from batchwright.plan.impact import impact
from batchwright.service.run_control import RunControl
from batchwright.service.run_feed import RunFeed
from batchwright.service.run_supervisor import RunSupervisor
from batchwright.service.submissions import Submission
from batchwright.views.plan import plan_view
from batchwright.views.proposal import plan_lines, undo_lines, unfinished_lines

_SIGNALS = {ProposedAction.RESUME: SignalKind.RESUME, ProposedAction.CANCEL: SignalKind.CANCEL}


class ProposalDesk:
    """Makes proposals and carries them out, over one supervisor."""

    def __init__(self, supervisor: RunSupervisor) -> None:
        self._supervisor = supervisor
        self.proposals = Proposals(supervisor.settings)

    @property
    def _now(self) -> float:
        return self._supervisor.clock.now()

    async def propose_workflow(self, submission: Submission) -> Proposal:
        """Plan a workflow and propose its run. Raises as Submissions.look; TooManyRequests, StoreError."""
        planned = await self._supervisor.desk.look(submission)
        plan = planned.plan
        assert plan is not None
        text = submission.text, submission.name, submission.simulation
        wanted = ProposedWorkflow(*text, submission.environment, submission.retire, submission.commands)
        lines = await asyncio.to_thread(lambda: plan_lines(plan_view(plan), planned.quotes))
        made = self._proposal(plan.hash(), ProposedAction.APPLY, EnvironmentKey.of(plan).name, lines, submission)
        destroys = len(impact(plan, planned.basis.resources).destroyed)
        return await self._add(replace(made, destroys=destroys, workflow=wanted))

    async def propose_action(self, word: str, action: ProposedAction, who: Principal) -> Proposal:
        """Propose an action on a run as it is now. Raises NotAllowed, RunNotFound, StoreError, UsageError."""
        if action is ProposedAction.APPLY:
            raise UsageError("a run is not applied", hint="Send the workflow: POST /v1/proposals")
        feed = await self._supervisor.feeds.find(word, destroys=action is ProposedAction.ROLLBACK)
        run = feed.run
        lines, destroys = self._effect(feed, action)
        self._refuse_limited(who.id, run, destroys)
        digest = action_hash(action, run.id, feed.seq)
        made = self._proposal(digest, action, EnvironmentKey.of(run.plan).name, lines, who)
        return await self._add(replace(made, destroys=destroys, run=run.id, seq=feed.seq))

    def _proposal(
        self, digest: str, action: ProposedAction, environment: str, lines: tuple[str, ...], who: Submission | Principal
    ) -> Proposal:
        own = (who.principal, who.by) if isinstance(who, Submission) else (who.id, who.name)
        now = self._now
        return Proposal(digest, action, environment, lines, *own, now, now + OPEN_SECONDS)

    async def _add(self, proposal: Proposal) -> Proposal:
        return await asyncio.to_thread(self.proposals.add, proposal, self._now)

    def _effect(self, feed: RunFeed, action: ProposedAction) -> tuple[tuple[str, ...], int]:
        """What the action would do, in lines, and how many servers it would destroy. Raises NotAllowed."""
        run = feed.run
        if action is ProposedAction.ROLLBACK:
            undo = undo_preview(run, self._now)
            return undo_lines((one.what, one.step) for one in undo), sum(
                one.what in (UndoKind.DESTROY, UndoKind.FINISH) for one in undo
            )
        if action is ProposedAction.CANCEL:
            if run.status in RUN_ENDED:
                raise NotAllowed(f"run {run.id} is {run.status} and cannot be cancelled")
            return (f"cancel run {run.id}; what it has made stays",), 0
        if run.status not in (RunState.FAILED, RunState.CANCELLED, RunState.PAUSED):
            raise NotAllowed(f"run {run.id} is {run.status} and cannot be resumed")
        left = [
            step
            for step, record in zip(run.steps, run.records, strict=True)
            if record.state is not StepState.SUCCEEDED and is_server(step) and step.retired is not None
        ]
        return unfinished_lines(run), len(left)

    def _refuse_limited(self, principal: str, run: Run, destroys: int) -> None:
        """Raise PlanRefused if the token's limits do not allow so many servers to be destroyed."""
        limits = Tokens(self._supervisor.settings).limits_of(principal)
        if limits == NO_LIMITS:
            return
        gone = tuple(f"server {n + 1}" for n in range(destroys))
        found = broken_limits([LimitsSource(limits, "this token has limits.")], Impact(destroys, 0, gone))
        if found:
            message = f"the limits of this token do not allow it for run {run.id}"
            raise PlanRefused(message, diagnostics=tuple(found))

    async def decide(self, digest: str, who: Principal, *, yes: bool, comment: str = "") -> Proposal:
        """Approve or refuse. Raises as Proposals.decide."""
        decide = partial(self.proposals.decide, digest, who, self._now, yes=yes, comment=comment)
        return await asyncio.to_thread(decide)

    async def apply(self, digest: str, who: Principal, *, commands: bool) -> RunFeed:
        """Carry out an approved proposal, if it still is what was approved.

        Raises as Proposals.claim and RunSupervisor.submit; PlanChanged and RunChanged if something else would be done
        now.
        """
        proposal = await asyncio.to_thread(self.proposals.claim, digest, who, self._now)
        if proposal.workflow is not None:
            feed = await self._run(proposal, proposal.workflow, who, commands=commands)
        else:
            feed = await self._act(proposal, who)
        await asyncio.to_thread(self.proposals.carried_out, proposal.hash, feed.run.id, self._now)
        return feed

    async def _run(self, proposal: Proposal, wanted: ProposedWorkflow, who: Principal, *, commands: bool) -> RunFeed:
        submission = Submission(
            wanted.text,
            wanted.name,
            wanted.simulation,
            proposal.hash,
            f"proposal-{proposal.hash}-{proposal.at:.0f}",  # a repeated call gives the same run
            commands=commands and wanted.commands,
            by=who.name,
            environment=wanted.environment,
            retire=wanted.retire,
            principal=who.id,
            approved_by=_approver(proposal),
        )
        feed, _ = await self._supervisor.submit(submission)
        return feed

    async def _act(self, proposal: Proposal, who: Principal) -> RunFeed:
        feed = await self._supervisor.feeds.find(proposal.run)
        self._refuse_limited(who.id, feed.run, proposal.destroys)
        if feed.seq != proposal.seq:
            raise RunChanged(f"run {feed.run.id} is at event {feed.seq} now, no longer at event {proposal.seq}")
        unchanged = lambda feed: feed.seq == proposal.seq  # noqa: E731
        both = replace(who, name=f"{who.name}, approved by {_approver(proposal)}")
        return await RunControl(self._supervisor).act(proposal.run, _SIGNALS.get(proposal.action), both, unchanged)


def _approver(proposal: Proposal) -> str:
    return proposal.decision.name if proposal.decision is not None else ""
