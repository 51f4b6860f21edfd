"""The service against its own OpenAPI document, and against whatever may be sent as Nickel."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.support.service_in_loop import RUNS, serving, workflow

EXAMPLE = Path(__file__).parents[3] / "workflows" / "example_batch.ncl"
EXAMPLES = (4, pytest.param(12, marks=pytest.mark.long))  # per operation
FUZZED = 60
NICKEL = {"Content-Type": "text/x-nickel"}
SNIPPETS = (
    *("{", "}", "[", "]", "(", ")", '"', "let", " in ", "fun x => ", "import", "|", "&", "=", "std.", "'", "%{", "\\"),
    *("batch_workflow", "operations", "let rec a = a in a", "\0", "\u202e", "1/0", "1e999", 'm%"', "..", "forall a. a"),
    *("null", "if", "then", '(import "/etc/passwd")', "std.array.generate (fun x => x) 10000000", "{ a = a }.a"),
)
# a body that has the right shape may still be no workflow; these are how that is told
TOLD = ["2xx", "400", "401", "403", "404", "409", "412", "413", "415", "422", "429", "503"]


@pytest.mark.parametrize("examples", EXAMPLES)
def test_the_service_keeps_to_its_document(examples: int, tmp_path: Path) -> None:
    async def main() -> list[str]:
        async with serving(tmp_path, submit_rate=1e6, submit_burst=10**6) as service:
            run = (await service.submit(workflow())).json["run"]
            await service.until(run, "Completed")
            found = await asyncio.to_thread(examine, service.url, examples)
            assert (await service.get("/health/ready")).status == 200
            return found

    assert asyncio.run(main()) == []


def examine(url: str, examples: int) -> list[str]:
    """What schemathesis finds, per operation."""
    import schemathesis  # here, for it takes a second that every worker would spend
    from schemathesis.config import SchemathesisConfig

    config = SchemathesisConfig.from_dict({"checks": {"positive_data_acceptance": {"expected-statuses": TOLD}}})
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json", config=config)
    operations = [result.ok() for result in schema.get_all_operations()]
    assert len(operations) > 20
    return [trouble for operation in operations if (trouble := examine_one(operation, examples))]


def examine_one(operation: Any, examples: int) -> str:
    asked = 0

    def ask(case: Any) -> None:
        nonlocal asked
        asked += 1
        case.call_and_validate()

    bounded = settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    try:
        bounded(given(case=operation.as_strategy())(ask))()
    except (Exception, BaseExceptionGroup) as error:
        return f"{operation.method} {operation.path}: {error}"
    assert asked
    return ""


def broken(chance: random.Random, source: str) -> bytes:
    """The example with pieces put in, taken out and swapped."""
    text = source
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(text))
        cut = at + chance.choice((0, 0, 1, 5, 60))
        text = text[:at] + chance.choice((*SNIPPETS, "", chr(chance.randrange(1, 0xD7FF)))) + text[cut:]
    return text.encode()[: chance.choice((10**6, 10**6, len(text) // 2))]


def test_whatever_is_sent_as_nickel_the_service_stays_healthy(tmp_path: Path) -> None:
    chance, source = random.Random(5), EXAMPLE.read_text()

    async def main() -> tuple[list[int], int, int]:
        async with serving(tmp_path, submit_rate=1e6, submit_burst=10**6) as service:
            bodies = [broken(chance, source) for _ in range(FUZZED)]
            asked = (service.post(f"{RUNS}/validate", data=body, headers=NICKEL) for body in bodies)
            answers = await asyncio.gather(*asked)
            good = await service.post(f"{RUNS}/validate", data=source.encode(), headers=NICKEL)
            return [one.status for one in answers], good.status, (await service.get("/health/ready")).status

    statuses, good, ready = asyncio.run(main())
    assert set(statuses) <= {200, 400, 422}
    assert 422 in statuses
    assert (good, ready) == (200, 200)
