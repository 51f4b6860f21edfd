"""What one webhook has had of one run: a row beside the run's journal, and how an attempt changes it. Pure."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from batchwright.model.ids import fraction

DAY = 86_400.0  # an event that is older is given up after one more attempt
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 3_600.0  # seconds between two attempts; doubled each time
FAILED_KEPT = 100  # events given up whose numbers are kept
AGAIN_MOST = 100  # events that can wait to be sent again


class Delivery(Struct, frozen=True, omit_defaults=True):
    """What the webhook `webhook` has had of a run. `revision` grows with every write, so that none is overwritten.

    `webhook` is workflow/NAME or config/NAME, after where it is declared; `receiver` the host of its URL.
    `cursor`: every event up to this number is settled: delivered, given up, or not asked for. `open`: there is or may
    be more to send. `sender` is the process that is sending now. `attempts` have failed for the first unsettled event,
    and `due` is when the next may be made, by the wall clock. `answer` is the last one, `answered_at` its time.
    `failed` are the numbers of events that were given up, the newest last, and `again` those to be sent again.
    `gone`: the receiver wants no more of this run.
    """

    run: str
    webhook: str
    receiver: str = ""
    cursor: int = 0
    revision: int = 1
    open: bool = True
    sender: str = ""
    attempts: int = 0
    due: float = 0.0
    answer: str = ""
    answered_at: float = 0.0
    delivered: int = 0
    failed: tuple[int, ...] = ()
    again: tuple[int, ...] = ()
    gone: bool = False

    def changed(self, **fields: object) -> Delivery:
        """The row with these fields, as it is written next."""
        return replace(self, revision=self.revision + 1, **fields)


class Answer(Struct, frozen=True):
    """How an attempt ended. `words` say it; `retry_after` is the pause in seconds that the receiver asked for.

    `gone`: the receiver answered that it wants no more (410).
    """

    delivered: bool
    words: str
    retry_after: float = 0.0
    gone: bool = False


def pause_after(row: Delivery, retry_after: float) -> float:
    """Seconds until the next attempt, after one more has failed: doubled each time, with jitter, up to an hour.

    A longer pause is taken if the receiver asked for it, also up to an hour.
    """
    full = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(row.attempts, 30))
    own = full * (0.5 + 0.5 * fraction(f"{row.run}/{row.webhook}/{row.cursor}/{row.attempts}"))
    return max(own, min(retry_after, LONGEST_PAUSE))


def attempted(row: Delivery, seq: int, happened_at: float, answer: Answer, now: float) -> Delivery:
    """The row after an attempt to send event `seq`, which happened at `happened_at`."""
    told = {"answer": answer.words, "answered_at": now}
    if seq in row.again:  # one attempt each: whoever asked is watching
        again = tuple(one for one in row.again if one != seq)
        if answer.delivered:
            failed = tuple(one for one in row.failed if one != seq)
            return row.changed(**told, again=again, failed=failed, delivered=row.delivered + 1, gone=False)
        return row.changed(**told, again=again, failed=_with(row.failed, seq))
    if answer.delivered:
        return row.changed(**told, cursor=seq, attempts=0, due=0.0, delivered=row.delivered + 1)
    if answer.gone or now - happened_at > DAY:
        failed = _with(row.failed, seq)
        return row.changed(**told, cursor=seq, attempts=0, due=0.0, failed=failed, gone=row.gone or answer.gone)
    return row.changed(**told, attempts=row.attempts + 1, due=now + pause_after(row, answer.retry_after))


def passed_over(row: Delivery, seq: int) -> Delivery:
    """The row of a webhook whose receiver wants no more, after event `seq`."""
    return row.changed(cursor=seq, attempts=0, due=0.0, failed=_with(row.failed, seq))


def asked_again(row: Delivery, seqs: tuple[int, ...]) -> Delivery:
    """The row with these events to be sent again. Those that are unsettled still are sent anyway, now without waiting.

    What no longer fits is not taken; `again` shows what was.
    """
    again = tuple(dict.fromkeys((*row.again, *(seq for seq in seqs if seq <= row.cursor))))[:AGAIN_MOST]
    return row.changed(again=again, due=0.0, open=True)


def _with(failed: tuple[int, ...], seq: int) -> tuple[int, ...]:
    return (*(one for one in failed if one != seq), seq)[-FAILED_KEPT:]
