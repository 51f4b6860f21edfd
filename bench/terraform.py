"""The peer: how long `terraform apply` takes for as many `terraform_data` resources, where terraform is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path


def apply_seconds(count: int, limit: int, folder: Path, *, chained: bool) -> float | None:
    """Seconds of `terraform apply`, its own graph walk and state writing; None where it is not installed."""
    terraform = shutil.which("terraform")
    if terraform is None:
        return None
    blocks = []
    for i in range(count):
        after = f"\n  depends_on = [terraform_data.s{i - 1}]" if chained and i else ""
        blocks.append(f'resource "terraform_data" "s{i}" {{\n  input = "server-{i:06d}"{after}\n}}\n')
    (folder / "main.tf").write_text("".join(blocks))
    environ = {**os.environ, "CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1"}
    command = [terraform, f"-chdir={folder}"]
    subprocess.run([*command, "init", "-no-color"], check=True, capture_output=True, env=environ)
    start = time.perf_counter()
    subprocess.run(
        [*command, "apply", "-auto-approve", "-no-color", f"-parallelism={limit}"],
        check=True, capture_output=True, env=environ,
    )  # fmt: skip
    return time.perf_counter() - start
