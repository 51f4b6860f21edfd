"""Where a program of this machine works: the plan does not say it, the run does."""

from __future__ import annotations

from typing import Any, cast
from unittest.mock import MagicMock

import pytest
from msgspec.structs import replace

from batchwright.engine.handlers.command import CommandHandler
from batchwright.model.events import RunCreated
from batchwright.model.run import Run
from batchwright.model.run_provenance import RunInputs
from batchwright.operations.command import CommandRequest
from batchwright.testing.plans import command, plan_of, workflow

PLAN = plan_of(workflow(command("go", "make")), {})
INPUTS = RunInputs(folder="/srv/shop", started="/home")


@pytest.mark.parametrize(("named", "inputs", "server", "place"), [
    ("scripts", INPUTS, "", "/srv/shop/scripts"),
    ("", INPUTS, "", "/home"),
    ("/opt", INPUTS, "", "/opt"),
    ("scripts", INPUTS, "up/a", "scripts"),  # on a server
    ("/old/absolute", None, "", "/old/absolute"),  # a plan of an older version
    ("", None, "", ""),
])  # fmt: skip
def test_the_folder_of_a_command(named: str, inputs: RunInputs | None, server: str, place: str) -> None:
    run = Run(RunCreated(1.0, "run", PLAN, inputs=inputs))
    context = cast(Any, MagicMock(run=run))
    request = CommandRequest("make", ("make",), directory=named)
    step = replace(PLAN.steps[0], request=request, server=server)
    assert CommandHandler(context)._located(step, request) == replace(request, directory=place)
