"""How a run ended, and what is really there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from batchwright.model.call_outcome import ServerState
from batchwright.model.run import Run
from batchwright.providers.simulated import World
from batchwright.rehearsal.command_ledger import CommandLedger


class EndState:
    """The run as its journal tells it, and the world long after, when every late commit and destroy has happened.

    `orphans` are references of servers that exist and that the run does not know. `environment` says what is wrong with
    the environment. `bystanders` are references of servers that are left out. `before` and `digest` are of what the
    environment had when the run was created, and has.
    """

    def __init__(
        self, run: Run, world: World, ledger: CommandLedger, now: float, bystanders: Collection[str] = ()
    ) -> None:
        self.ran, self.undone, self.words = ledger.ran, ledger.undone, ledger.words
        self.values = run.values
        self.outputs = {step.operation: one.outputs for step, one in zip(run.plan.steps, run.records, strict=True)}
        self.addresses = tuple(record.address for record in run.records if record.address)
        self.environment: list[str] = []
        self.before = self.digest = ""
        self.status = run.status
        alive = [s for s in world.servers(now) if s.ref not in bystanders]
        alive = [s for s in alive if s.true_state(now) is not ServerState.GONE]
        self.names = Counter(server.name for server in alive)
        self.duplicates = [name for name, count in self.names.items() if count > 1]
        known = {record.ref for record in run.records if record.ref} | {step.ref for step in run.plan.steps if step.ref}
        self.orphans = [server.ref for server in alive if server.ref not in known]
        self.first_boot = {server.name: server.request.user_data for server in alive}
        self.servers = {server.name: (server.request.plan, server.request.labels) for server in alive}
        self.refs = {server.name: server.ref for server in alive}
        self.installed = {server.name: dict(sorted(world.installed_on(server.ref).items())) for server in alive}
        self.steps = {step.id: record.state for step, record in zip(run.plan.steps, run.records, strict=True)}
