"""What an account allows is divided among processes: never more than there is, and nobody is left out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from batchwright.journal.account_shares import OtherClaim, share_of
from batchwright.journal.base import AccountClaim

NAMES = ("a", "b", "c", "d")


class Table:
    """What the store keeps of one account; each process begins as many calls as it may."""

    def __init__(self, capacity: int) -> None:
        self.capacity, self.rows = capacity, dict[str, OtherClaim]()
        self.in_flight = dict.fromkeys(NAMES, 0)

    def claim(self, name: str, *, ended: int, wants: bool, turn: int) -> int:
        """Some calls of the process have ended; it claims, and begins what it may."""
        running = max(0, self.in_flight[name] - ended)
        claim = AccountClaim("cloud", name, self.capacity, running, wants or running > 0)
        share = share_of(claim, [row for other, row in self.rows.items() if other != name], turn)
        self.rows[name] = OtherClaim(name, max(share, running), claim.wants)
        self.in_flight[name] = max(running, share) if wants else running
        return share


@given(
    st.integers(1, 9),
    st.lists(st.tuples(st.sampled_from(NAMES), st.integers(0, 5), st.booleans(), st.integers(0, 3)), max_size=60),
)
def test_all_shares_together_are_never_more_than_there_is(
    capacity: int, claims: list[tuple[str, int, bool, int]]
) -> None:
    table = Table(capacity)
    for name, ended, wants, turn in claims:
        table.claim(name, ended=ended, wants=wants, turn=turn)
        assert sum(row.granted for row in table.rows.values()) <= capacity
        assert sum(table.in_flight.values()) <= capacity


@given(st.integers(1, 9), st.permutations(NAMES))
def test_everybody_who_wants_some_gets_some_in_turn(capacity: int, order: list[str]) -> None:
    table, had = Table(capacity), dict.fromkeys(NAMES, 0)
    table.claim(order[0], ended=0, wants=True, turn=0)  # the first has all
    for turn in range(len(NAMES)):
        for _ in range(2):  # those who give some up, then those who get it
            for name in order:
                had[name] = max(had[name], table.claim(name, ended=capacity, wants=True, turn=turn))
    assert all(had.values())
    assert sum(row.granted for row in table.rows.values()) == capacity
    assert max(row.granted for row in table.rows.values()) - min(row.granted for row in table.rows.values()) <= 1
