"""The live check, against the emulated account: it asks what it says, and takes everything away again."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.emulated import RunningAws
from tests.support.emulated_aws import QUICK, Visit, client, set_credentials, visit

from batchwright.emulators.aws import AwsBehaviour
from batchwright.errors import ProviderUnavailable
from batchwright.providers.aws.live_check import LISTED
from batchwright.providers.base import Quote
from batchwright.providers.live_check import AccountFinding


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    set_credentials(monkeypatch, tmp_path)


def left_over(server: RunningAws) -> list[object]:
    left = server.account.inventory()
    return [*left.instances, *left.volumes, *left.interfaces, *left.groups, *left.keys]


def test_every_question_is_answered_as_assumed_and_nothing_is_left(tmp_path: Path) -> None:
    told: list[str] = []

    async def scenario(here: Visit) -> list[AccountFinding]:
        check = here.aws.live_check()
        assert await check.cost() == Quote(0.048, "USD")
        findings = await check.run(here.run, told.append)
        assert [one.question for one in findings] == list(check.questions)
        return findings

    with RunningAws(AwsBehaviour(**QUICK)) as server:  # type: ignore[arg-type]
        findings = visit(client(server, tmp_path, settle_seconds=0.5), scenario)
        assert left_over(server) == []
    wrong = {one.question for one in findings if one.as_assumed is False}
    assert wrong <= {LISTED}, "how long a look takes is a matter of this machine"
    assert told[-1] == "everything that it created is removed"


def test_what_goes_wrong_half_way_is_told_and_cleaned_up(tmp_path: Path) -> None:
    async def scenario(here: Visit) -> None:
        with pytest.raises(ProviderUnavailable, match="could not create its server"):
            await here.aws.live_check().run(here.run, lambda _: None)

    with RunningAws(AwsBehaviour(**{**QUICK, "vcpus": 0})) as server:  # type: ignore[arg-type]
        visit(client(server, tmp_path, settle_seconds=0.5), scenario)
        assert left_over(server) == []
