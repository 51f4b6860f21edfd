"""Questions that are answered within a budget of tokens, from local stores or by a service.

They stand beside the Client port, so that other commands need not import what computes the answers.
"""

from __future__ import annotations

from batchwright.agents.roles.base import AgentAnswer, Subject
from batchwright.agents.roles.registry import answered, events_wanted, roles_named
from batchwright.agents.slices.base import Slice
from batchwright.agents.slices.plan_source import PlanSource
from batchwright.agents.slices.registry import run_slice, slice_kind
from batchwright.app.slice_sources import read_source
from batchwright.client.base import Client
from batchwright.client.http import HttpClient
from batchwright.client.local import LocalClient
from batchwright.errors import UsageError

AGENTS = "/v1/agents"


def read_slice(client: Client, kind: str, word: str, query: str = "", budget: int = 0) -> Slice:
    """The slice of the run that `word` names; a budget of 0 is the usual one of its kind.

    Raises UsageError, StepNotFound, and what `Client` says of every method.
    """
    slice_kind(kind)
    if isinstance(client, HttpClient):
        return client.read(client.run_path(word, f"slices/{kind}"), Slice, _asked(query, budget))
    assert isinstance(client, LocalClient)
    opened = client.look(word)
    source = client.wait(read_source(client.stores, opened, [(kind, query)], client.clock.now()))
    return run_slice(kind, source, query, budget)


def ask(client: Client, asked: str, word: str, query: str = "", budget: int = 0) -> AgentAnswer:
    """What a role, or a bundle of roles, says about the run or the environment that `word` names.

    Raises UsageError, StepNotFound, and what `Client` says of every method.
    """
    subject = roles_named(asked)[0].subject
    if subject not in (Subject.RUN, Subject.PLAN, Subject.ENVIRONMENT):
        raise UsageError(f"{asked} reads a file", hint=f"batchwright ask {asked} FILE")
    if subject is Subject.ENVIRONMENT:
        return answered(asked, client.drift(word), query, budget)
    if isinstance(client, HttpClient):
        run = client.run(word).run
        return client.read(f"{AGENTS}/{asked}", AgentAnswer, [("run", run), *_asked(query, budget)])
    assert isinstance(client, LocalClient)
    opened = client.look(word)
    if subject is Subject.PLAN:
        return answered(asked, PlanSource(opened.run.id, opened.run.plan), query, budget)
    wanted = events_wanted(asked, query)
    source = client.wait(read_source(client.stores, opened, wanted, client.clock.now()))
    return answered(asked, source, query, budget)


def _asked(query: str, budget: int) -> list[tuple[str, str]]:
    return [("ask", query)] * bool(query) + [("budget", str(budget))] * bool(budget)
