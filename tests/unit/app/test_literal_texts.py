"""C3: what is escaped in the file reaches servers and programs as it is meant, in the plan and so in every resume."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec

from batchwright.app.plans import make_plan
from batchwright.app.settings import Settings
from batchwright.app.system_clock import SystemClock
from batchwright.app.workflow_source import Source
from batchwright.model.plan import Plan
from batchwright.operations.registry import dec_hook


def planned(folder: Path, escape: str) -> Plan:
    server = {
        "name": "w1",
        "plan": "small",
        "zone": "zone-a",
        "user_data": f"#!/bin/sh\necho {escape}x.y}} ${{HOME}}\n",
    }
    operations: list[dict[str, Any]] = [
        {"id": "s", "type": "server_batch", "provider": "simulated", "server_configs": [server]},
        {
            "id": "c",
            "type": "command",
            "run": ["sh", "-c", f"echo {escape}a.b}} ${{HOME}}"],
            "env": {"A": f"{escape}c}}"},
        },
    ]
    file = folder / "flow.json"
    file.write_text(json.dumps({"batch_workflow": {"name": "x", "version": "1", "operations": operations}}))
    made = asyncio.run(make_plan(Settings(folder / "state"), SystemClock(), Source(file), {}))
    assert made.plan is not None, made.diagnostics
    return made.plan


def test_an_escaped_reference_is_literal_in_the_plan(tmp_path: Path) -> None:
    """C3: and stays so when the plan is read back from a journal."""
    plan = planned(tmp_path, "$${")
    again = msgspec.json.decode(msgspec.json.encode(plan), type=Plan, dec_hook=dec_hook)
    for one in (plan, again):
        server, command = (msgspec.to_builtins(step.request) for step in one.steps)
        assert server["user_data"] == "#!/bin/sh\necho ${x.y} ${HOME}\n"
        assert command["run"][-1] == "echo ${a.b} ${HOME}"
        assert "${c}" in json.dumps(command["env"])
    assert again.hash() == plan.hash()
