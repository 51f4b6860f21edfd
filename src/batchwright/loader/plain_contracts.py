"""The contracts for a workflow that is plain JSON, by the table that schemas/plain_table.ncl makes of them.

What is taken here the contracts take too, and give the same values. Whatever is not certain raises Unsure: a mistake,
and also what is right but not worth the doubt, such as fractions. Then the contracts judge, and they alone say what is
wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Never

import msgspec

from batchwright.loader.sources import schema_folder

Row = Mapping[str, Any]
Judge = Callable[[Any], Any]  # gives the value with its defaults

INTEGER_MAX = 2**53
PROVIDER = "provider"  # the names of which those of plug-ins are some more
_UNITS = {"s": 1, "m": 60, "h": 3600}
_DURATION = re.compile(r"([1-9][0-9]{0,8})([smh])")
_THREE_VISIBLE = re.compile(r"[!-~]{3}")


class Unsure(Exception):
    """Only the contracts can say whether this is right."""


def file_judge(providers: Mapping[str, object]) -> Judge:
    """Judges a file but for what holds between its parts. `providers` are those of plug-ins, with their contracts."""
    apart = frozenset(name for name, contract in providers.items() if contract is not None)
    return _file_judge(frozenset(providers) - apart, apart)


@lru_cache(maxsize=8)
def _file_judge(usual: frozenset[str], apart: frozenset[str]) -> Judge:
    """`usual` providers have servers like those of the schema's own, those `apart` have a contract of their own."""
    table = (schema_folder() / "plain_table.json").read_bytes()
    return _Judges(usual, apart).of(msgspec.json.decode(table))


class _Judges:
    """Makes a judge of each row of the table, by its kind."""

    def __init__(self, usual: frozenset[str], apart: frozenset[str]) -> None:
        self._usual, self._apart = usual, apart

    def of(self, row: Row) -> Judge:
        judge: Judge = getattr(self, f"_{row['kind']}")(row)
        for rule in row.get("rules", ()):
            judge = _RULES[rule](judge)
        return judge

    def _unsure(self, _row: Row) -> Judge:
        return unsure

    def _text(self, row: Row) -> Judge:
        return _text(row["pattern"])

    def _short_text(self, row: Row) -> Judge:
        return _when(lambda value: type(value) is str and len(value) <= row["longest"])

    def _boolean(self, _row: Row) -> Judge:
        return _when(lambda value: type(value) is bool)

    def _scalar(self, _row: Row) -> Judge:
        return _when(lambda value: type(value) in (str, bool, int))

    def _integer(self, row: Row) -> Judge:
        low, high = row["low"], row["high"]
        return _when(lambda value: type(value) is int and low <= value <= high)

    def _one_of(self, row: Row) -> Judge:
        names = frozenset(row["names"])
        if row["what"] == PROVIDER:
            names = (names | self._usual) - self._apart
        return _when(lambda value: type(value) is str and value in names)

    def _duration(self, row: Row) -> Judge:
        longest = row["longest"]

        def seconds(value: Any) -> Any:
            if type(value) is str and (found := _DURATION.fullmatch(value)):
                value = int(found[1]) * _UNITS[found[2]]
            return value if type(value) is int and 0 < value <= longest else unsure(value)

        return seconds

    def _list(self, row: Row) -> Judge:
        least, element = row["least"], self.of(row["element"])

        def each(value: Any) -> Any:
            if type(value) is not list or len(value) < least:
                unsure(value)
            return [element(one) for one in value]

        return each

    def _map(self, row: Row) -> Judge:
        name, value_of = _text(row["pattern"]), self.of(row["value"])
        reserved = re.compile(row["reserved"] or "(?!)")

        def each(value: Any) -> Any:
            if type(value) is not dict or any(reserved.search(name(one)) for one in value):
                unsure(value)
            return {one: value_of(value[one]) for one in sorted(value)}  # in the order of Nickel

        return each

    def _record(self, row: Row) -> Judge:
        fields = {name: self.of(inner) for name, inner in row["fields"].items()}
        required, apart = frozenset(row["required"]), frozenset(row.get("not_at", ()))
        # a default that is a row is what its contract makes of an empty record
        defaults = {name: self.of(one)({}) if isinstance(one, dict) else one for name, one in row["defaults"].items()}

        def whole(value: Any) -> Any:
            if type(value) is not dict or not required <= value.keys() or not fields.keys() >= value.keys():
                unsure(value)
            given = {name: fields[name](one) for name, one in value.items()}
            return unsure(value) if given.get(PROVIDER) in apart else {**defaults, **given}

        return whole

    def _shorthand(self, row: Row) -> Judge:
        field, record = row["field"], self.of(row["record"])
        return lambda value: record({field: value} if type(value) is str else value)

    def _by_type(self, row: Row) -> Judge:
        types = {name: self.of(inner) for name, inner in row["types"].items()}

        def of_type(value: Any) -> Any:
            name = value.get("type") if type(value) is dict else None
            return types[name](value) if type(name) is str and name in types else unsure(value)

        return of_type

    def _any_of(self, row: Row) -> Judge:
        judges = [self.of(one) for one in row["rows"]]

        def first(value: Any) -> Any:
            for judge in judges[:-1]:
                try:
                    return judge(value)
                except Unsure:
                    continue
            return judges[-1](value)

        return first


def unsure(_value: Any) -> Never:
    """Leave a value to the contracts. Always raises Unsure."""
    raise Unsure


def _when(holds: Callable[[Any], bool]) -> Judge:
    return lambda value: value if holds(value) else unsure(value)


def _text(pattern: str) -> Judge:
    """Texts that fit a pattern of Nickel's.

    Nickel finds nothing that begins or ends inside what people see as one character. So beyond ASCII a pattern counts
    only where it takes the whole text; a visible character between two others is one for sure.
    """
    search = re.compile(pattern[:-1] + r"\Z" if pattern.endswith("$") else pattern).search
    is_whole = pattern.startswith("^") and pattern.endswith("$")

    def fits(value: Any) -> bool:
        if type(value) is not str or not search(value):
            return False
        return is_whole or value.isascii() or (pattern == r"\S" and _THREE_VISIBLE.search(value) is not None)

    return _when(fits)


def _set_rules(judge: Judge) -> Judge:
    """SetRules of the contracts."""

    def ruled(value: Any) -> Any:
        operation = judge(value)
        asks = operation.get("hold_after", "never") != "never"
        if (asks and "waves" not in operation) or ("hold" in operation and not asks):
            unsure(value)
        is_here = operation.keys().isdisjoint((PROVIDER, "targets"))  # it runs once, on this machine
        if is_here and not operation.keys().isdisjoint(_OF_SETS):
            unsure(value)
        return operation

    return ruled


_OF_SETS = ("waves", "hold_after", "hold", "min_success")
_RULES: Mapping[str, Callable[[Judge], Judge]] = {"set": _set_rules, "unsure": lambda _judge: unsure}
