"""What a plan freezes of each provider about servers of one name: how long a new one is not used, and why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from batchwright.errors import UsageError
from batchwright.providers import registry
from batchwright.testing.virtual_clock import VirtualClock


def facts(name: str, folder: Path, **settings: Any) -> tuple[float, bool, bool]:
    """For how long, whether the provider promises that this is long enough, and whether the account is exclusive."""
    given = settings if name == "simulated" else {"state_dir": str(folder), **settings}
    frozen = registry.connect(name, VirtualClock(), given).capabilities.facts(name, "account")
    return frozen.visible_seconds, frozen.visible_promised, frozen.exclusive


@pytest.mark.parametrize(
    ("name", "settings", "wanted"),
    [
        ("aws", {}, (60.0, False, False)),
        ("aws", {"visible_seconds": 20}, (20.0, False, False)),
        ("aws", {"settle_seconds": 2}, (2.0, False, False)),
        ("aws", {"exclusive": True}, (0.0, True, True)),
        ("upcloud", {}, (30.0, False, False)),
        ("upcloud", {"settle_seconds": 0.6}, (0.6, False, False)),
        ("upcloud", {"exclusive": True}, (0.0, True, True)),
        ("hetzner", {}, (0.0, True, False)),
        ("local", {}, (0.0, True, False)),
        ("static", {}, (0.0, True, False)),
        ("simulated", {}, (0.0, True, False)),
        ("simulated", {"list_lag": 4.0, "time_scale": 0.5}, (2.0, True, False)),
        ("simulated", {"list_lag": 4.0, "guard": "unique_name"}, (0.0, True, False)),
    ],
)
def test_for_how_long_a_new_server_is_not_used(
    name: str, settings: dict[str, Any], wanted: tuple[float, bool, bool], tmp_path: Path
) -> None:
    assert facts(name, tmp_path, **settings) == wanted


@pytest.mark.parametrize("name", ["aws", "upcloud"])
@pytest.mark.parametrize("settings", [{"visible_seconds": 0}, {"visible_seconds": -1}, {"exclusive": "perhaps"}])
def test_a_time_that_is_none_is_refused_where_other_stores_may_create_servers(
    name: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=name):
        facts(name, tmp_path, **settings)
