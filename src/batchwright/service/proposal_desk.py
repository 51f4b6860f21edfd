"""Proposed changes of a service: made by one, decided by another, carried out only as they were decided."""

from __future__ import annotations

import asyncio
from functools import partial

from msgspec.structs import replace

from batchwright.app.guardrails import refuse_destroyed, token_limits
from batchwright.app.proposal_store import OPEN_SECONDS, Proposals
from batchwright.app.run_reader import undo_preview
from batchwright.errors import NotAllowed, RunChanged, UsageError
from batchwright.model.approver import Principal
from batchwright.model.environment import EnvironmentKey
from batchwright.model.guardrail_limits import NO_LIMITS
from batchwright.model.lifecycle import RUN_ENDED, RunState
from batchwright.model.proposal import Proposal, ProposedAction, ProposedWorkflow, action_hash
from batchwright.model.run import Run
from batchwright.model.run_signal import SignalKind
from batchwright.plan.impact import impact
from batchwright.service.run_control import RunControl, destroyed_by
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
        lines = self._effect(run, action)
        gone = destroyed_by(run, _SIGNALS.get(action), self._now)
        await self._refuse_destroyed(who, run, gone)
        digest = action_hash(action, run.id, feed.seq)
        made = self._proposal(digest, action, EnvironmentKey.of(run.plan).name, lines, who)
        return await self._add(replace(made, destroys=len(gone), run=run.id, seq=feed.seq))

    def _proposal(
        self, digest: str, action: ProposedAction, environment: str, lines: tuple[str, ...], who: Submission | Principal
    ) -> Proposal:
        own = (who.principal, who.by) if isinstance(who, Submission) else (who.id, who.name)
        now = self._now
        return Proposal(digest, action, environment, lines, *own, now, now + OPEN_SECONDS)

    async def _add(self, proposal: Proposal) -> Proposal:
        return await asyncio.to_thread(self.proposals.add, proposal, self._now)

    def _effect(self, run: Run, action: ProposedAction) -> tuple[str, ...]:
        """What the action would do, in lines. Raises NotAllowed."""
        if action is ProposedAction.ROLLBACK:
            return undo_lines((one.what, one.step) for one in undo_preview(run, self._now))
        if action is ProposedAction.CANCEL:
            if run.status in RUN_ENDED:
                raise NotAllowed(f"run {run.id} is {run.status} and cannot be cancelled")
            return (f"cancel run {run.id}; what it has made stays",)
        if run.status not in (RunState.FAILED, RunState.CANCELLED, RunState.PAUSED):
            raise NotAllowed(f"run {run.id} is {run.status} and cannot be resumed")
        return unfinished_lines(run)

    async def _refuse_destroyed(self, who: Principal, run: Run, gone: tuple[str, ...]) -> None:
        await asyncio.to_thread(refuse_destroyed, self._supervisor.settings, who.id, gone, f"run {run.id}")

    async def decide(self, digest: str, who: Principal, *, yes: bool, comment: str = "") -> Proposal:
        """Approve or refuse. Nobody approves what the limits of their own token would not let them do.

        Raises as Proposals.decide, PlanRefused, PlanChanged, and as Submissions.look.
        """
        if yes:
            await self._refuse_beyond(who, await asyncio.to_thread(self.proposals.get, digest, self._now))
        decide = partial(self.proposals.decide, digest, who, self._now, yes=yes, comment=comment)
        return await asyncio.to_thread(decide)

    async def _refuse_beyond(self, who: Principal, proposal: Proposal) -> None:
        """Raise PlanRefused if the limits of an approver's own token do not allow what is proposed."""
        limits = await asyncio.to_thread(token_limits, self._supervisor.settings, who.id)
        if limits == NO_LIMITS or proposal.decision is not None or proposal.unfit(who):
            return  # the store refuses what cannot be decided
        if proposal.workflow is not None:
            await self._supervisor.desk.look(self._submission(proposal, proposal.workflow, who))
            return
        run = (await self._supervisor.feeds.find(proposal.run)).run
        await self._refuse_destroyed(who, run, destroyed_by(run, _SIGNALS.get(proposal.action), self._now))

    def _submission(self, proposal: Proposal, wanted: ProposedWorkflow, who: Principal) -> Submission:
        """The workflow of a proposal, as it is planned again for somebody."""
        return Submission(
            wanted.text,
            wanted.name,
            wanted.simulation,
            proposal.hash,
            commands=wanted.commands,
            by=who.name,
            environment=wanted.environment,
            retire=wanted.retire,
            principal=who.id,
        )

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
        key = f"proposal-{proposal.hash}-{proposal.at:.0f}"  # a repeated call gives the same run
        own, both = self._submission(proposal, wanted, who), commands and wanted.commands
        submission = replace(own, key=key, commands=both, approved_by=_approver(proposal))
        feed, _ = await self._supervisor.submit(submission)
        return feed

    async def _act(self, proposal: Proposal, who: Principal) -> RunFeed:
        feed = await self._supervisor.feeds.find(proposal.run)
        if feed.seq != proposal.seq:
            raise RunChanged(f"run {feed.run.id} is at event {feed.seq} now, no longer at event {proposal.seq}")
        unchanged = lambda feed: feed.seq == proposal.seq  # noqa: E731
        both = replace(who, name=f"{who.name}, approved by {_approver(proposal)}")
        return await RunControl(self._supervisor).act(proposal.run, _SIGNALS.get(proposal.action), both, unchanged)


def _approver(proposal: Proposal) -> str:
    return proposal.decision.name if proposal.decision is not None else ""
