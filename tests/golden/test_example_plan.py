"""The example's plan as `plan --json` shows it. UPDATE_GOLDEN=1 rewrites the file."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
from msgspec.structs import replace

from batchwright.model.diagnostic import Diagnostic, Severity
from batchwright.model.workflow import Dependency, ServerConfig, Workflow
from batchwright.operations.server_batch import ServerBatch
from batchwright.operations.taskserv_batch import TaskservBatch, TaskservUse
from batchwright.plan import build
from batchwright.taskservs.catalogue import load_catalogue
from batchwright.testing.plans import empty_world
from batchwright.views.plan import plan_view

GOLDEN = Path(__file__).parent / "example" / "plan.json"

EXAMPLE = Workflow(
    name="multi_cloud_deployment",
    version="1.0.0",
    storage_backend="surrealdb",
    parallel_limit=5,
    rollback_enabled=True,
    operations=(
        ServerBatch(
            id="upcloud_servers",
            provider="upcloud",
            server_configs=(
                ServerConfig("web-01", "1xCPU-2GB", "de-fra1"),
                ServerConfig("web-02", "1xCPU-2GB", "us-nyc1"),
            ),
        ),
        TaskservBatch(
            id="aws_taskservs",
            provider="aws",
            taskservs=(TaskservUse("kubernetes"), TaskservUse("cilium"), TaskservUse("containerd")),
            dependencies=(Dependency("upcloud_servers"),),
        ),
    ),
)
NORMALISED = Diagnostic(
    code="plan-normalised",
    message='plan "1xCPU-2 GB" is read as "1xCPU-2GB"',
    severity=Severity.WARNING,
    file="workflows/example_batch.ncl",
    line=15,
    column=36,
    hint='Write "1xCPU-2GB".',
)


def test_the_examples_plan() -> None:
    # a changed deploy changes its digest and with it every plan's hash, which is not what this is about
    catalogue = {name: replace(entry, digest="") for name, entry in load_catalogue().items()}
    plan = build(EXAMPLE, catalogue, empty_world(EXAMPLE), warnings=(NORMALISED,)).plan
    assert plan is not None
    view = plan_view(plan)
    counts = {action: number for action, number in view.counts.items() if number}  # a new action changes no example
    providers = {name: {a: n for a, n in tally.items() if n} for name, tally in view.providers.items()}
    view = replace(view, counts=counts, providers=providers)
    shown = msgspec.json.format(msgspec.json.encode(view), indent=2).decode() + "\n"
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(shown)
    assert shown == GOLDEN.read_text()
