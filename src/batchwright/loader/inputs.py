"""Values for the inputs of a file, as given by --set: text on the command line, typed by the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from batchwright.loader import nickel_expressions
from batchwright.loader.contract_report import suggestion
from batchwright.loader.evaluator_client import Evaluator, NickelError
from batchwright.loader.nickel_diagnostics import explained
from batchwright.loader.nickel_expressions import INPUTS
from batchwright.loader.sources import Sources
from batchwright.model.diagnostic import Diagnostic

TYPES = {"String": "a text", "Number": "a number", "Bool": "true or false", "Array": "an array", "Record": "a record"}


class InputRefused(Exception):
    """The inputs cannot be used; each reason is a diagnostic."""

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        super().__init__("inputs refused")
        self.diagnostics = tuple(diagnostics)


def values(evaluator: Evaluator, sources: Sources, inputs: Mapping[str, str]) -> dict[str, str]:
    """Each input as a Nickel expression. Raises InputRefused, and NickelError when the files cannot be evaluated."""
    if not inputs:
        return {}
    raw = nickel_expressions.merged([source.content for source in sources.main], {})
    listed = msgspec.json.decode(evaluator.run(nickel_expressions.children(raw, (INPUTS,))))
    has_inputs = INPUTS in (msgspec.json.decode(evaluator.run(nickel_expressions.children(raw, ()))) or ())
    names = listed if has_inputs and isinstance(listed, list) else []
    file = sources.main[0].shown
    none = f"This file has no inputs; declare them in `{INPUTS}`, next to `batch_workflow`."
    refused = [
        Diagnostic(
            "unknown-input",
            f"unknown input `{name}`",
            file=file,
            line=1,
            column=1,
            hint=suggestion(name, names) or none,
        )
        for name in inputs
        if name not in names
    ]
    chosen: dict[str, str] = {}
    for name, value in inputs.items():
        if name in names:
            reading = _reading(evaluator, sources, name, value)
            if isinstance(reading, Diagnostic):
                refused.append(reading)
            else:
                chosen[name] = reading
    if refused:
        raise InputRefused(refused)
    return chosen


def _reading(evaluator: Evaluator, sources: Sources, name: str, value: str) -> str | Diagnostic:
    """The value as the type of the input's default; without a default, as what its contract takes: text or JSON."""
    files = [source.content for source in sources.main]
    as_text, as_json = nickel_expressions.text(value), f"(std.deserialize 'Json {nickel_expressions.text(value)})"
    try:
        wanted = _type(evaluator, nickel_expressions.merged(files, {}), name)
    except NickelError:
        wanted = None  # it has no default
    readings = {None: [as_text, as_json], "String": [as_text]}.get(wanted, [as_json])
    refusal = Diagnostic("input-refused", "", file=sources.main[0].shown, line=1, column=1)
    for reading in readings:
        try:
            got = _type(evaluator, nickel_expressions.merged(files, {name: reading}), name)
        except NickelError as error:
            found, _ = explained(error, sources)
            is_contract = found.code == "contract-broken"
            reason = found.message if is_contract else f"expected {TYPES.get(str(wanted), 'another type')}"
            refusal = msgspec.structs.replace(found, code="input-refused", message=reason, hint="")
            continue
        if wanted in (None, got):
            return reading
        refusal = msgspec.structs.replace(refusal, message=f"expected {TYPES.get(str(wanted), 'another type')}")
    return msgspec.structs.replace(refusal, message=f'input `{name}` does not accept "{value}": {refusal.message}')


def _type(evaluator: Evaluator, raw: str, name: str) -> str:
    return msgspec.json.decode(evaluator.run(nickel_expressions.type_of(raw, (INPUTS, name))), type=str)
