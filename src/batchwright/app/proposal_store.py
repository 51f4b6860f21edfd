"""The proposed changes of one state folder, in one private file: durable before they are told."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
from msgspec.structs import replace

from batchwright import durable_files
from batchwright.app.settings import Settings
from batchwright.errors import (
    ApproverRefused,
    ProposalClosed,
    ProposalNotFound,
    ProposalUnapproved,
    StoreUnavailable,
    TooManyRequests,
    UsageError,
)
from batchwright.journal.store_folder import alone, make_private
from batchwright.model.approver import Principal
from batchwright.model.proposal import Proposal, ProposalDecision
from batchwright.regular_files import contents

OPEN_SECONDS = 86_400.0
OPEN_MOST, OPEN_EACH, BYTES_MOST = 100, 20, 16 * 1024 * 1024
TOO_MANY = "Refuse or carry out some: batchwright proposals list"
COMMENT_MOST = 500  # characters


def _refuse_many(pending: Sequence[Proposal], principal: str) -> None:
    """Raise TooManyRequests if there is no place for one more of this principal, who must not take those of others."""
    if len(pending) >= OPEN_MOST:
        raise TooManyRequests(f"{OPEN_MOST} proposals are open", hint=TOO_MANY)
    if sum(one.principal == principal for one in pending) >= OPEN_EACH:
        raise TooManyRequests(f"{OPEN_EACH} of your proposals are open", hint=TOO_MANY)


class Proposals:
    """Reads the file for each question: proposals are few, and another process may have decided one."""

    def __init__(self, settings: Settings) -> None:
        self._folder = settings.state_dir
        self._path = settings.state_dir / "proposals.json"

    def all(self, now: float) -> tuple[Proposal, ...]:
        """Those that can still be decided or carried out, and those carried out lately, oldest first.

        Raises StoreUnavailable.
        """
        try:
            read = msgspec.json.decode(contents(self._path, BYTES_MOST), type=tuple[Proposal, ...])
        except FileNotFoundError:
            return ()
        except (OSError, msgspec.MsgspecError) as error:
            hint = "Remove it; open proposals have to be made again."
            raise StoreUnavailable(f"{self._path} cannot be read: {error}", hint=hint) from error
        return tuple(one for one in read if one.until > now)

    def get(self, digest: str, now: float) -> Proposal:
        """The proposal with this hash, or with a hash that begins so. Raises ProposalNotFound, UsageError."""
        found = [one for one in self.all(now) if one.hash.startswith(digest)] if digest else []
        if len(found) > 1:
            raise UsageError(f"several proposals begin with {digest}", hint="Write more of the hash.")
        if not found:
            raise ProposalNotFound(f"there is no open proposal {digest!r}")
        return found[0]

    def add(self, proposal: Proposal, now: float) -> Proposal:
        """Record a proposal; the same one of the same person is kept as it is, with its decision.

        Raises ProposalClosed if somebody else has proposed it, TooManyRequests, StoreError.
        """

        def change(known: tuple[Proposal, ...]) -> tuple[Proposal, ...]:
            nonlocal proposal
            earlier = next((one for one in known if one.hash == proposal.hash), None)
            if earlier is not None and not earlier.applied:
                if earlier.principal != proposal.principal:
                    raise ProposalClosed(f"{earlier.by} has proposed {proposal.hash} already")
                proposal = earlier
                return known
            rest = tuple(one for one in known if one is not earlier)
            _refuse_many([one for one in rest if one.pending], proposal.principal)
            forgotten = [one for one in rest if not one.pending][:-OPEN_MOST]
            return (*(one for one in rest if one not in forgotten), proposal)

        self._change(change, now)
        return proposal

    def decide(self, digest: str, who: Principal, now: float, *, yes: bool, comment: str = "") -> Proposal:
        """Approve or refuse a proposal. Raises ProposalNotFound, ProposalClosed, ApproverRefused, UsageError."""
        if len(comment) > COMMENT_MOST:
            raise UsageError(f"the comment has more than {COMMENT_MOST} characters", hint="Say it shorter.")

        def decided(one: Proposal) -> Proposal:
            if why := one.unfit(who):
                raise ApproverRefused(f"{who.name or who.id} may not decide {one.hash}: {why}")
            if one.decision is not None:
                said = "approved" if one.decision.yes else "refused"
                raise ProposalClosed(f"{one.decision.name} has {said} {one.hash} already")
            return replace(one, decision=ProposalDecision(yes, who.id, who.name or who.id, now, comment))

        return self._replace(digest, decided, now)

    def claim(self, digest: str, who: Principal, now: float) -> Proposal:
        """The approved proposal, for the one who proposed it to carry out.

        Raises ProposalNotFound, ProposalClosed, ProposalUnapproved.
        """
        one = self.get(digest, now)
        if one.principal != who.id:
            raise ProposalUnapproved(f"{one.hash} was proposed by {one.by}, not by {who.name or who.id}")
        if one.applied:
            raise ProposalClosed(f"{one.hash} was carried out by run {one.applied}")
        if not one.approved:
            said = f"{one.decision.name} has refused" if one.decision is not None else "nobody has approved"
            raise ProposalUnapproved(f"{said} {one.hash}")
        return one

    def carried_out(self, digest: str, run: str, now: float) -> None:
        """Note which run carried it out: it cannot be carried out again."""
        self._replace(digest, lambda one: replace(one, applied=run), now)

    def _replace(self, digest: str, change: Callable[[Proposal], Proposal], now: float) -> Proposal:
        changed: list[Proposal] = []

        def apply(known: tuple[Proposal, ...]) -> tuple[Proposal, ...]:
            found = self.get(digest, now)
            changed.append(change(found))
            return tuple(changed[0] if one.hash == found.hash else one for one in known)

        self._change(apply, now)
        return changed[0]

    def _change(self, change: Callable[[tuple[Proposal, ...]], tuple[Proposal, ...]], now: float) -> None:
        make_private(self._folder)
        with alone(self._folder):
            body = msgspec.json.encode(change(self.all(now)))
            if len(body) > BYTES_MOST:
                raise TooManyRequests("the open proposals are too large", hint=TOO_MANY)
            durable_files.write(self._path, body)
