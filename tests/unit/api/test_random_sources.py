"""Random sources over REST: no bug, no 500, nothing of others' files or environments, and all well afterwards."""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections import Counter
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from batchwright.loader import UNTRUSTED, load_source
from batchwright.taskservs.catalogue import load_catalogue
from tests.support.service_in_loop import RUNS, Serving, serving
from tests.support.sources import right, source

KINDS = {"ncl": "text/x-nickel", "json": "application/json", "yaml": "application/yaml"}
SECRET = "TOP-SECRET-CANARY"
FORBIDDEN = (SECRET, "root:x:0", "\\u0000PATH=", "internal", "Traceback")
AT_ONCE = 4
REST_EVERY = 10  # the others are given to the loader at once, which takes a tenth of the time
QUICK = replace(UNTRUSTED, cpu_seconds=2)


async def ask(service: Serving, text: str, name: str) -> tuple[int, str]:
    """The status and the body."""
    kind = {"Content-Type": KINDS[name.rpartition(".")[2]], "Connection": "close"}  # idle ones are closed under us
    body = text.encode("utf-8", "surrogatepass")
    answer = await service.post(f"{RUNS}/validate", data=body, headers=kind)
    return answer.status, answer.body.decode()


def loaded(text: str, name: str) -> tuple[int, str]:
    """The same without a service."""
    if "\ud7ff" < max(text, default="") < "\ue000":
        return 400, "{}"  # no UTF-8 holds it
    found = load_source(text, name, limits=QUICK, catalogue=load_catalogue())
    told = {"ok": found.workflow is not None, "diagnostics": found.diagnostics, "workflow": found.workflow}
    return 200 if found.workflow else 422, msgspec.json.encode(told).decode()


def judge(status: int, body: str) -> list[str]:
    """The codes that were told."""
    assert status in (200, 400, 422), (status, body)
    assert not [word for word in FORBIDDEN if word in body], body
    told = json.loads(body)
    found = told.get("diagnostics", [])
    assert (status == 200) == bool(told.get("ok")), body
    assert len(found) <= 51
    assert all(one["file"] and one["line"] >= 1 and one["column"] >= 1 for one in found), body
    codes = [one["code"] for one in found] or [told.get("code", "well")]
    assert "evaluator-failed" not in codes, body
    return codes


async def explore(folder: Path, seed: int, number: int, every: int) -> Counter[str]:
    canary = folder / "canary.txt"
    canary.write_text(f'"{SECRET}"')
    codes: Counter[str] = Counter()
    numbers = iter(range(number))
    async with serving(folder / "state", submit_rate=1e9) as service:

        async def one_after_the_other() -> None:
            for at in numbers:
                text, name = source(random.Random(f"{seed}/{at}"), str(canary))
                try:
                    over_rest = at % every == 0
                    answer = (
                        await ask(service, text, name) if over_rest else await asyncio.to_thread(loaded, text, name)
                    )
                    codes.update(set(judge(*answer)))
                except AssertionError as error:
                    raise AssertionError(f"source {at} of BATCHWRIGHT_SEED={seed}, {name}: {text[:2000]!r}") from error

        await asyncio.gather(*(one_after_the_other() for _ in range(AT_ONCE)))
        status, _ = await ask(service, json.dumps(right()), "workflow.json")
        assert status == 200
        health = (await service.get("/health")).json
        assert health["status"] == "ok", health
    return codes


def test_a_sample_of_random_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A4, point 7: always the same."""
    monkeypatch.setenv("BATCHWRIGHT_CANARY", SECRET)
    codes = asyncio.run(explore(tmp_path, 7, 48, 6))
    assert len(codes) > 12
    assert min(codes["import-refused"], codes["well"]) > 0


@pytest.mark.long
def test_random_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A4, point 7: 10,000 others each time; BATCHWRIGHT_SEED repeats them, BATCHWRIGHT_SOURCES says how many."""
    monkeypatch.setenv("BATCHWRIGHT_CANARY", SECRET)
    seed = int(os.environ.get("BATCHWRIGHT_SEED") or random.SystemRandom().randrange(2**32))
    number = int(os.environ.get("BATCHWRIGHT_SOURCES") or 10_000)
    print(f"BATCHWRIGHT_SEED={seed}")
    print(asyncio.run(explore(tmp_path, seed, number, REST_EVERY)))
