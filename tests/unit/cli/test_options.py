"""What words on the command line mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchwright.app.key_values import scalar
from batchwright.cli.options import settings_of, simulation_of, source_of, window
from batchwright.errors import UsageError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("-1", -1),
        ("0.2", 0.2),
        ("1e3", 1000.0),
        ("true", True),
        ("False", False),
        ("web-1=late", "web-1=late"),
    ],
)
def test_a_value_is_what_it_looks_like(text: str, value: object) -> None:
    assert scalar(text) == value
    assert type(scalar(text)) is type(value)


def test_a_setting_implies_the_simulation() -> None:
    assert simulation_of(False, None) is None
    assert simulation_of(True, None) == {}
    assert simulation_of(False, ["seed=7", "aws.fail=web-1=late"]) == {"seed": 7, "aws.fail": "web-1=late"}


@pytest.mark.parametrize("pair", ["seed", "=7", " =7"])
def test_a_pair_needs_a_key_and_an_equals_sign(pair: str) -> None:
    with pytest.raises(UsageError, match="expected a key, = and a value"):
        simulation_of(False, [pair])


def test_a_key_is_given_once() -> None:
    with pytest.raises(UsageError, match="--set region is given twice"):
        source_of(Path("f"), None, ["region=a", "region=b"])


def test_the_source_has_overlays_and_inputs() -> None:
    source = source_of(Path("f.ncl"), [Path("prod.ncl")], ["region=de-fra1", "note=a=b"])
    assert source.overlays == (Path("prod.ncl"),)
    assert source.inputs == {"region": "de-fra1", "note": "a=b"}


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30m", 1800), ("24h", 86400), ("7D", 604800)])
def test_a_span(text: str, seconds: float) -> None:
    assert window(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "24", "1.5h", "-1h", "24x"])
def test_what_is_not_a_span(text: str) -> None:
    with pytest.raises(UsageError, match="is not a time span"):
        window(text)


def test_the_named_state_folder_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BATCHWRIGHT_STATE_DIR", str(tmp_path / "env"))
    assert settings_of(None).state_dir == tmp_path / "env"
    assert settings_of(tmp_path / "named").state_dir == tmp_path / "named"
