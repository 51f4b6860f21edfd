"""What every emulated account has: its behaviour, a clock, and counters that make each draw repeatable."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from batchwright.emulators.settings import EmulatorBehaviour

B = TypeVar("B", bound=EmulatorBehaviour)


class EmulatedAccount(ABC, Generic[B]):
    """What an account holds. `clock` gives seconds since the epoch."""

    def __init__(self, behaviour: B, clock: Callable[[], float]) -> None:
        self.behaviour, self.clock = behaviour, clock
        self.happened: Counter[str] = Counter()  # calls by name, and faults by their word
        self.refused: Counter[str] = Counter()  # by the cloud's code
        self._attempts: Counter[str] = Counter()

    def attempt(self, call: str) -> tuple[str, int]:
        """The seed of the next attempt at this call, and its number. It does not depend on other calls."""
        self._attempts[call] += 1
        return f"{self.behaviour.seed}/{call}/{self._attempts[call]}", self._attempts[call]

    @abstractmethod
    def summary(self) -> dict[str, Any]:
        """What will be left once everything in progress has finished, for tests and for people."""
