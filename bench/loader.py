"""How long loading takes: `python -m bench.loader` prints a table of seconds, of this process and of its child."""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from pathlib import Path

from batchwright.loader import load

EXAMPLE = Path(__file__).parents[1] / "workflows" / "example_batch.ncl"
RUNS = 3


def source(count: int) -> str:
    """A workflow of so many operations: half of them with two servers, half with three task services."""
    operations = []
    for number in range(count):
        needs = ", ".join(f'"op-{other}"' for other in (number - 1, number - 2) if other >= 0)
        if number % 2 == 0:
            servers = "\n".join(
                f'          {{ name = "web-{number}-{part}", plan = "1xCPU-2GB", zone = "de-fra1" }},' for part in "ab"
            )
            kind, provider, body = "server_batch", "upcloud", f"server_configs = [\n{servers}\n        ],"
        else:
            kind, provider, body = "taskserv_batch", "aws", 'taskservs = ["kubernetes", "cilium", "containerd"],'
        head = f'id = "op-{number}", type = "{kind}", provider = "{provider}",'
        operations.append(f"      {{\n        {head}\n        dependencies = [{needs}],\n        {body}\n      }},\n")
    head = '{\n  batch_workflow = {\n    name = "bench",\n    version = "1.0.0",\n    operations = [\n'
    return f"{head}{''.join(operations)}    ],\n  }},\n}}\n"


def as_json(count: int) -> str:
    """The same workflow in JSON."""
    operations: list[dict[str, object]] = []
    for number in range(count):
        needs = [f"op-{other}" for other in (number - 1, number - 2) if other >= 0]
        if number % 2 == 0:
            servers = [{"name": f"web-{number}-{part}", "plan": "1xCPU-2GB", "zone": "de-fra1"} for part in "ab"]
            own = {"type": "server_batch", "provider": "upcloud", "server_configs": servers}
        else:
            services = ["kubernetes", "cilium", "containerd"]
            own = {"type": "taskserv_batch", "provider": "aws", "taskservs": services}
        operations.append({"id": f"op-{number}", "dependencies": needs, **own})
    workflow = {"name": "bench", "version": "1.0.0", "operations": operations}
    return json.dumps({"batch_workflow": workflow}, indent=2)


def cpu() -> tuple[float, float]:
    """CPU seconds so far: of this process, of its ended children."""
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime, children.ru_utime + children.ru_stime


def measure(file: Path) -> tuple[float, float, float]:
    """Parent CPU, child CPU and wall seconds of one load, the best of some runs."""
    best = (float("inf"),) * 3
    for _ in range(RUNS):
        (own, children), start = cpu(), time.perf_counter()
        loaded = load(file)
        assert loaded.workflow is not None, loaded.diagnostics
        (own_after, children_after), end = cpu(), time.perf_counter()
        best = min(best, (own_after - own, children_after - children, end - start), key=lambda one: one[0] + one[1])
    return best


def loading() -> list[str]:
    """The table, one line a row."""
    rows = [
        "| file | source, KiB | parent CPU, s | child CPU, s | both, s | wall, s | peak memory so far, MiB | child's |",
        "|--|--|--|--|--|--|--|--|",
    ]
    with tempfile.TemporaryDirectory() as folder:
        files = {"the example": EXAMPLE}
        sizes = (100, 1_000, 10_000)
        for count in sizes:
            file = Path(folder, f"{count}.json")
            file.write_text(as_json(count))
            files[f"{count:,} operations, JSON"] = file
        for count in sizes:
            file = Path(folder, f"{count}.ncl")
            file.write_text(source(count))
            files[f"{count:,} operations"] = file
        for name, file in files.items():
            parent, child, wall = measure(file)
            whos = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
            peak, of_child = (resource.getrusage(who).ru_maxrss / 1024 for who in whos)
            size = file.stat().st_size / 1024
            times = f"{parent:.3f} | {child:.2f} | {parent + child:.2f} | {wall:.2f}"
            rows.append(f"| {name} | {size:,.0f} | {times} | {peak:.0f} | {of_child:.0f} |")
    return rows


if __name__ == "__main__":
    sys.stdout.write("\n".join(loading()) + "\n")
