"""What is known about the world when a plan is made, as plain values: planning itself calls no provider."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from msgspec import Struct

from batchwright.model.call_outcome import Observed
from batchwright.model.diagnostic import Diagnostic
from batchwright.model.environment import Resource
from batchwright.model.plan import ProviderFacts, Request
from batchwright.model.ssh_access import ServerLogin
from batchwright.model.update_behavior import FieldWay


class ObservedAlternative(Struct, frozen=True):
    """What a server resolves to at a place where it may be created otherwise, and how a managed one becomes that."""

    request: Request
    ways: Mapping[str, Mapping[str, FieldWay]] = {}


class ProviderObserved(Struct, frozen=True):
    """One account: what its servers can do, what the workflow's servers resolve to, and what exists already.

    `requests` is by server name; a server that did not resolve is missing and a problem says why. `managed` holds the
    servers that Batchwright created in this account, `installed` the task services on them, both by server name.
    `recorded` holds the servers that the environment has in this account, by reference, as they are now. `ways` says
    how fields of a managed server, by its reference, become what the workflow asks for, and `logins` what is recorded
    about logging in to it. `alternatives` are the places in this account that an `otherwise` names, by server name and
    number of the place.
    """

    facts: ProviderFacts
    create_seconds: float = 30.0
    init: bool = True
    privileged: bool = True
    own_network: bool = True
    destroys: bool = True
    requests: Mapping[str, Request] = {}
    managed: dict[str, tuple[Observed, ...]] = {}
    installed: dict[str, tuple[str, ...]] = {}
    recorded: Mapping[str, Observed] = {}
    ways: Mapping[str, Mapping[str, FieldWay]] = {}
    logins: Mapping[str, ServerLogin] = {}
    alternatives: Mapping[tuple[str, int], ObservedAlternative] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The servers that may be created in this account."""
        return tuple(dict.fromkeys([*self.requests, *(name for name, _ in self.alternatives)]))


class Observations(Struct, frozen=True):
    """By provider name. A provider that could not be queried is missing and a problem says why.

    `install_seconds` is what an install takes where it is simulated; None: what the catalogue says. `requests` is by
    operation, for types that have one for all of its steps; what was not found is missing and a problem says why.
    `resources` is what the environment has. `strangers` are runs that created servers of the workflow's names and that
    the store does not know: those of other stores. `orphans` are runs of this environment that created servers of the
    workflow's names which the environment does not have. `today` is the day in UTC. `lenders` are the other
    environments of runs that created servers of these names, by run. `changing` is the run that is changing the
    environment now: what it has created is in no resource yet. `sources` are the digests of the files and folders that
    go to servers, by OPERATION/TASKSERV and the name of the variable.
    """

    providers: dict[str, ProviderObserved] = {}
    problems: tuple[Diagnostic, ...] = ()
    install_seconds: float | None = None
    requests: Mapping[str, Request] = {}
    resources: tuple[Resource, ...] = ()
    strangers: frozenset[str] = frozenset()
    orphans: frozenset[str] = frozenset()
    lenders: Mapping[str, str] = {}
    today: date = date.min
    changing: str = ""
    sources: Mapping[str, Mapping[str, str]] = {}
