"""The Nickel expressions that the loader evaluates. A user's text is only ever imported, never pasted into one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

Step = str | int
Path_ = tuple[Step, ...]

INPUTS = "inputs"  # the field of a file that --set replaces; no part of the result

# What is used on the way down a path; `inside` stops where the value has no such part.
_WALK = """
let part = fun step value =>
  if std.is_string step && std.is_record value then std.record.has_field step value
  else std.is_number step && std.is_array value && step < std.array.length value in
let get = fun step value => if std.is_string step then value."%{step}" else std.array.at step value in
let rec inside = fun path value =>
  if path == [] then value
  else if part (std.array.first path) value then inside (std.array.drop_first path) (get (std.array.first path) value)
  else value in
let rec exists = fun path value =>
  path == []
  || part (std.array.first path) value && exists (std.array.drop_first path) (get (std.array.first path) value) in
"""

_MASK = """
let rec masked = fun path value =>
  if path == [] then { "%{mark}" = [] }
  else
    let rest = masked (std.array.drop_first path) in
    let change = fun step part => if step == std.array.first path then rest part else part in
    if std.is_array value then std.array.map_with_index change value else std.record.map change value in
"""


def text(value: str) -> str:
    """A Nickel text that means exactly `value`."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("%{", "\\%{")
    return '"' + escaped.replace("\r", "\\r") + '"'


def literal(path: Iterable[Step]) -> str:
    """A path as a Nickel array."""
    return "[" + ", ".join(text(step) if isinstance(step, str) else str(step) for step in path) + "]"


def content(file: str, form: str, *, has_aliases: bool = False) -> str:
    """What a file holds; `form` is nickel, json or yaml.

    Nickel loses YAML aliases when it merges, unless they are written out first.
    """
    read = f"import {text(file)} as '{form.capitalize()}"
    return f"(std.deserialize 'Json (std.serialize 'Json ({read})))" if has_aliases else f"({read})"


def merged(contents: Sequence[str], inputs: Mapping[str, str]) -> str:
    """The file with its overlays and the values of its inputs, which are Nickel expressions."""
    parts = list(contents)
    if inputs:
        fields = ", ".join(f"{text(name)} | force = {value}" for name, value in inputs.items())
        parts.append(f"{{ {INPUTS} = {{ {fields} }} }}")
    return "(" + " & ".join(parts) + ")"


def without(raw: str, masked: Sequence[Path_], mark: str) -> str:
    """`raw` with the mark at the masked paths, which the contracts skip."""
    steps = "".join(f" |> masked {literal(path)}" for path in masked)
    return f"(let mark = {text(mark)} in {_MASK}{raw}{steps})"


def checked(raw: str, schema: Path, providers: Mapping[str, Path | None], mark: str) -> str:
    """The report of the contracts about `raw`; problems are in fields named `mark`.

    Providers beside those of the schema come with the file of their servers' contract, a function of the schema.
    """
    return (
        f"let rec report = (import {text(str(schema))})"
        f" & {{ mark = {text(mark)}, providers = {provided(providers, 'report')} }} in\n"
        f"let whole = {raw} | report.File in\n"
        f'std.record.filter (fun name _value => name != "{INPUTS}") whole'
    )


def provided(providers: Mapping[str, Path | None], schema: str) -> str:
    """The providers of plug-ins; `schema` is the contracts that those of their servers are made of."""
    own = ", ".join(f"{text(name)} = {_provider(contract, schema)}" for name, contract in providers.items())
    return f"{{ {own} }}"


def _provider(contract: Path | None, schema: str) -> str:
    return f"{{ server = (import {text(str(contract))} as 'Nickel) {schema} }}" if contract else "{}"


def located(raw: str, path: Path_) -> str:
    """An expression that ends in an error at the value at `path`, or at the innermost existing one on the way."""
    here = 'std.contract.from_validator (fun value => std.seq value (\'Error { message = "here" }))'
    return f"{_WALK}(inside {literal(path)} {raw}) | {here}"


def children(raw: str, path: Path_) -> str:
    """The field names of the record at `path`, the length of the array, or null; null too for a path to nowhere."""
    return (
        f"{_WALK}let raw = {raw} in let path = {literal(path)} in\n"
        "if !(exists path raw) then null else let value = inside path raw in\n"
        "if std.is_record value then std.record.fields value\n"
        "else if std.is_array value then std.array.length value else null"
    )


def forced(raw: str, path: Path_, steps: Sequence[Step]) -> str:
    """true, when these parts of the value at `path` can be evaluated to the end."""
    return (
        f"{_WALK}let value = inside {literal(path)} {raw} in\n"
        f"std.deep_seq (std.array.map (fun step => get step value) {literal(steps)}) true"
    )


def type_of(raw: str, path: Path_) -> str:
    """The name of the type of the value at `path`, which is evaluated to the end."""
    return f"{_WALK}let value = inside {literal(path)} {raw} in std.deep_seq value (std.typeof value)"


def imported(file: str, form: str) -> str:
    """true, when the file can be read as what it is; nothing of it is evaluated."""
    return f"let _file = {content(file, form)} in true"


def called(policy: str, data: str, names: Sequence[str]) -> str:
    """What the rules of these names give when they are called with the plan in a JSON file, by name."""
    return (
        f"let rules = {policy}.rules in let plan = {content(data, 'json')} in\n"
        'let judge = fun rule => if std.record.has_field "deny" rule then rule.deny else rule.warn in\n'
        f'{literal(names)} |> std.array.map (fun name => {{ field = name, value = judge rules."%{{name}}" plan }})\n'
        "|> std.record.from_array"
    )


def judged(raw: str, data: str, rules: Sequence[Path_]) -> str:
    """For each of these rules of `rehearsal` what it gives for each of the ends in a JSON file."""
    return (
        f"{_WALK}let ends = {content(data, 'json')} in let raw = {raw} in\n"
        f"[{', '.join(literal(path) for path in rules)}]\n"
        "|> std.array.map (fun path => let rule = inside path raw in std.array.map (fun end => rule end) ends)"
    )
