"""What a client sends is read as it was meant, or refused with its place."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.service_in_loop import RUNS, serving, workflow

SENT = json.dumps(workflow("x", 1)["batch_workflow"])
TWICE = SENT[:-1] + ', "version": "2"}'


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", TWICE),
        ("application/json", f'{{"batch_workflow": {TWICE}}}'),
        ("application/json", f'{{"batch_workflow": {TWICE[:-1]}, "description": null}}}}'),
        ("application/yaml", f'{{"batch_workflow": {TWICE}}}'),
    ],
)
@pytest.mark.parametrize("door", ["validate", "plan?simulate=true", "submit?simulate=true"])
def test_a_key_given_twice_is_refused_with_both_places(kind: str, body: str, door: str, tmp_path: Path) -> None:
    """C1: over REST, too, in every shape that JSON is taken in."""

    async def main() -> tuple[Any, Any]:
        async with serving(tmp_path) as service:
            answer = await service.post(f"{RUNS}/{door}", data=body.encode(), headers={"Content-Type": kind})
            return answer, (await service.get(RUNS)).json

    answer, runs = asyncio.run(main())
    assert answer.status == 422
    (found,) = answer.json["diagnostics"]
    assert (found["code"], found["column"]) == ("duplicate-key", body.rindex('"version"') + 1)
    first = body.index('"version"') + 1
    assert found["notes"] == [f"The first is at {found['file']}:1:{first}."]
    assert runs["items"] == []
