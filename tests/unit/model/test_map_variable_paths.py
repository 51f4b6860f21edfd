"""Values in maps have a name each, and the names lead back to the maps."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from batchwright.model.map_variable_paths import ValueName, flattened, keys, nested

WORDS = st.from_regex(r"[a-z][a-z0-9_]{0,5}", fullmatch=True)
KEYS = st.text(min_size=1, max_size=8)
MAPS = st.dictionaries(KEYS, st.integers(), min_size=1) | st.dictionaries(
    KEYS, st.dictionaries(WORDS, st.integers(), min_size=1), min_size=1
)


@given(WORDS, st.none() | KEYS, WORDS | st.just(""))
def test_a_name_is_read_as_it_is_written(variable: str, key: str | None, field: str) -> None:
    name = ValueName(variable, key, field if key is not None else "")
    assert ValueName.parse(str(name)) == name


@given(st.dictionaries(WORDS, st.integers() | MAPS))
def test_nested_is_the_opposite_of_flattened(variables: dict[str, object]) -> None:
    flat = flattened(variables, lambda _, value: isinstance(value, dict))
    assert not any(isinstance(value, dict) for value in flat.values())
    assert nested(flat) == variables
    for name, value in variables.items():
        assert keys(flat, name) == (tuple(value) if isinstance(value, dict) else ())
