"""What judges plain JSON without Nickel follows the contracts: their table is up to date, and a change is looked at."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Any

import msgspec
from scripts.reference import PLAIN_TABLE, plain_table

from batchwright.loader.sources import schema_folder

# The table follows what a field takes by itself. What the code of a contract or of a rule says must be said again in
# loader/plain_contracts.py, loader/plain_json.py or schemas/plain_table.ncl: look at them, let
# `pytest -m long tests/property/test_plain_json.py` pass, then write the new digest here.
DIGEST = "0536930ec178f06fcad2c3464d0380fe4848d7171b55fd5ace785f45dcdda933"


def test_the_table_is_what_the_contracts_make() -> None:
    assert PLAIN_TABLE.read_text() == plain_table(), "write it again with: python scripts/reference.py"


def test_a_change_of_the_contracts_was_looked_at() -> None:
    texts = [(schema_folder() / name).read_bytes() for name in ("contracts.ncl", "rules.ncl", "workflows.ncl")]
    assert hashlib.sha256(b"\0".join(texts)).hexdigest() == DIGEST


def test_the_patterns_mean_the_same_to_python_and_to_nickel() -> None:
    """No class that has other characters in Unicode but \\S, of which Python knows fewer; anchors only at the ends."""
    patterns = set(_patterns(msgspec.json.decode(PLAIN_TABLE.read_bytes())))
    assert len(patterns) > 10
    for pattern in patterns:
        bare = re.sub(r"\[\^?[^\]]*\]", "", pattern.removeprefix("^").removesuffix("$"))
        assert set(re.findall(r"\\.", pattern)) <= {r"\S", r"\x"}, pattern
        assert not re.search(r"[$^]|\(\?[^:i]", bare), pattern


def _patterns(row: Any) -> Iterator[str]:
    if isinstance(row, list):
        for one in row:
            yield from _patterns(one)
    elif isinstance(row, dict):
        for name, one in row.items():
            if name in ("pattern", "reserved") and isinstance(one, str):
                yield one
            yield from _patterns(one)
