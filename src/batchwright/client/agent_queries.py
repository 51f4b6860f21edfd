"""Questions that are answered within a budget of tokens, from local stores or by a service.

They stand beside the Client port, so that other commands need not import what computes the answers.
"""

from __future__ import annotations

from batchwright.agents.slices.base import Slice
from batchwright.agents.slices.registry import run_slice, slice_kind
from batchwright.app.slice_sources import read_source
from batchwright.client.base import Client
from batchwright.client.http import HttpClient
from batchwright.client.local import LocalClient


def read_slice(client: Client, kind: str, word: str, query: str = "", budget: int = 0) -> Slice:
    """The slice of the run that `word` names; a budget of 0 is the usual one of its kind.

    Raises UsageError, StepNotFound, and what `Client` says of every method.
    """
    slice_kind(kind)
    if isinstance(client, HttpClient):
        asked = [("ask", query)] * bool(query) + [("budget", str(budget))] * bool(budget)
        return client.read(word, f"slices/{kind}", Slice, asked)
    assert isinstance(client, LocalClient)
    opened = client.look(word)
    source = client.wait(read_source(client.stores, opened, [(kind, query)], client.clock.now()))
    return run_slice(kind, source, query, budget)
