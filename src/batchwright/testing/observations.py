"""What would be observed on providers that have everything and hold nothing yet: plans for tests without a provider."""

from __future__ import annotations

from batchwright.model.plan import Guard, ProviderFacts, ServerRequest
from batchwright.model.workflow import ServerBatch, ServerConfig, Workflow
from batchwright.plan.observed import Observations, ProviderObserved

DEFAULT_IMAGE = "debian-12"


def empty_world(workflow: Workflow) -> Observations:
    """Every server of the workflow resolves to what it asks for, in an account where nothing is."""
    configs: dict[str, list[ServerConfig]] = {}
    for op in workflow.operations:
        if isinstance(op, ServerBatch):
            configs.setdefault(op.provider, []).extend(op.server_configs)
    return Observations({name: _provider(name, wanted) for name, wanted in configs.items()})


def request_for(config: ServerConfig) -> ServerRequest:
    """The request that asks for exactly this."""
    return ServerRequest(
        name=config.name,
        plan=config.plan,
        zone=config.zone,
        image=config.image or DEFAULT_IMAGE,
        ssh_keys=config.ssh_keys,
        user_data=config.user_data or "",
        labels=config.labels,
    )


def _provider(name: str, wanted: list[ServerConfig]) -> ProviderObserved:
    return ProviderObserved(
        facts=ProviderFacts(
            name=name, account=f"{name}-test", guard=Guard.LABEL_ONLY, settle_seconds=30.0, simulated=True
        ),
        requests={config.name: request_for(config) for config in wanted},
    )
