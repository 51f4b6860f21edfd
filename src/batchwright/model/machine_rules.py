"""By which rules the machine drives a plan: those of the time at which it was made."""

from __future__ import annotations

from msgspec import Struct

SEMANTICS = 5  # raised when the machine would decide differently; RULES says how old plans are driven


class Rules(Struct, frozen=True):
    """How the machine decides for the plans of one semantics. Frozen: a plan is driven by the rules of its time.

    `clear_looks`: a created server is put to use only when a look has shown that no other run created one of its name.
    `server_first`: no step starts on a server that is not there, whatever its dependencies allow.
    `known_failures`: what handles a failure waits until somebody has said what became of a command in doubt.
    `finishes_removals`: a rollback carries through what the run had begun to remove, for nothing brings that back.
    """

    clear_looks: bool
    server_first: bool
    known_failures: bool
    finishes_removals: bool = False


RULES = {
    1: Rules(clear_looks=False, server_first=False, known_failures=False),
    2: Rules(clear_looks=True, server_first=False, known_failures=False),
    3: Rules(clear_looks=True, server_first=True, known_failures=False),
    4: Rules(clear_looks=True, server_first=True, known_failures=True),
    5: Rules(clear_looks=True, server_first=True, known_failures=True, finishes_removals=True),
}
