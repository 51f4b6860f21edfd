"""What a conversation of six questions costs, by each way: every call of a model sends all that came before it."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from bench.agents import arms
from bench.agents.arms import Asked, RoleText
from bench.agents.tokens import tokens
from bench.agents.truth import QUESTIONS, SESSION
from bench.agents.worlds import AgentWorld

ANSWER = 160  # tokens of an answer, the same for every way
CACHE_READ, CACHE_WRITE, OUTPUT = 0.1, 1.25, 5.0  # prices, with 1 for a token of input
CACHED_FROM = 1_024  # tokens: no provider caches a shorter beginning
WINDOW = 200_000  # tokens that fit into one call


class Cost(Struct, frozen=True):
    """What a session takes. `largest` is the longest call; `money` is in prices of a token of input, cached ideally."""

    sent: int = 0
    got: int = 0
    calls: int = 0
    largest: int = 0
    money: float = 0.0

    @property
    def tokens(self) -> int:
        """All that is sent and received."""
        return self.sent + self.got

    def plus(self, sent: int, got: int, cached: int = 0) -> Cost:
        """With one call more, of whose input `cached` tokens were sent before."""
        old = cached if cached >= CACHED_FROM else 0
        new = sent - old
        price = old * CACHE_READ + new * (CACHE_WRITE if sent >= CACHED_FROM else 1.0) + got * OUTPUT
        return Cost(self.sent + sent, self.got + got, self.calls + 1, max(self.largest, sent), self.money + price)


def question(world: AgentWorld, task: str) -> str:
    """The words of a question."""
    return QUESTIONS[task].replace("{like}", world.like)


def one_prompt(prompt: str, world: AgentWorld, tasks: Sequence[str] = SESSION) -> Cost:
    """Everything in the prompt, each question after the other."""
    history, before, cost = tokens(prompt), 0, Cost()
    for task in tasks:
        history += tokens(question(world, task))
        cost = cost.plus(history, ANSWER, before)
        before = history
        history += ANSWER
    return cost


def with_tools(
    definitions: str, world: AgentWorld, asked: dict[str, list[list[Asked]]], tasks: Sequence[str] = SESSION
) -> Cost:
    """An assistant that calls tools, in rounds of calls side by side, and keeps their answers in the conversation."""
    history, before, cost = tokens(definitions), 0, Cost()
    known: set[str] = set()
    for task in tasks:
        history += tokens(question(world, task))
        for wanted in asked[task]:
            calls = [one for one in wanted if one.call not in known]  # nobody asks again what was answered
            known |= {one.call for one in calls}
            if not calls:
                continue
            written = sum(tokens(one.call) for one in calls)
            cost = cost.plus(history, written, before)
            before = history
            history += written + sum(tokens(one.answer) for one in calls)
        cost = cost.plus(history, ANSWER, before)
        before = history
        history += ANSWER
    return cost


def roles(world: AgentWorld, told: dict[str, list[RoleText]], tasks: Sequence[str] = SESSION) -> Cost:
    """A router names the roles, each of which gets its slice and nothing else."""
    cost = Cost()
    for task in tasks:
        asked = tokens(question(world, task))
        cost = cost.plus(tokens(arms.ROUTER) + asked, sum(tokens(one.role) for one in told[task]))
        for one in told[task]:
            cost = cost.plus(tokens(one.prompt) + asked, ANSWER)
    return cost


def less(cost: float, than: float) -> float:
    """By how many per cent it is less."""
    return 100.0 * (1.0 - cost / than)
