"""Workflows in plain JSON that are certainly right, read without an evaluation: in a tenth of the time.

For anything else there is no answer here, and the file is evaluated as ever.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from batchwright.loader import cycles, duplicate_keys, reference_checks, taskserv_checks, value_format_checks
from batchwright.loader.contract_report import WHOLE
from batchwright.loader.plain_contracts import INTEGER_MAX, Unsure, file_judge, unsure
from batchwright.loader.sources import Sources
from batchwright.model.taskserv import Taskserv

GROWTH = 8  # times as many values as a file has, the report of an evaluation has at most
_SIMPLE = re.compile(r"[A-Za-z0-9_.@:-]+")  # names that mean nothing in JSON
ESCAPES = ("\\u0000", "\\ud", "\\uD")  # NUL and surrogates, which JSON parsers read in several ways


def certain(
    sources: Sources, providers: Mapping[str, Path | None], catalogue: Mapping[str, Taskserv] | None
) -> dict[str, Any] | None:
    """The workflow of one JSON file as the contracts would give it, if nothing is wrong or doubtful; else None."""
    text, original = sources.main[0].text, sources.original
    if text.count(",") * GROWTH > sources.limits.nodes or any(escape in text for escape in ESCAPES):
        return None
    if original and original != text and any(duplicate_keys.in_json(original)):
        return None
    try:
        workflow: dict[str, Any] = file_judge(providers)(_parsed(text))[WHOLE[0]]
    except (Unsure, ValueError, RecursionError):  # JSONDecodeError is a ValueError
        return None
    operations = workflow["operations"]
    if len(operations) > sources.limits.operations or not _rules_hold(workflow, operations):
        return None
    return None if _is_doubtful(text, operations, catalogue) else workflow


def _parsed(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_object, parse_int=_integer, parse_float=unsure, parse_constant=unsure)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise Unsure  # a key stands twice
    return found


def _integer(digits: str) -> int:
    if len(digits) > len(str(INTEGER_MAX)) - 1 or digits == "-0":
        raise Unsure
    return int(digits)


def _rules_hold(workflow: Mapping[str, Any], operations: Sequence[Mapping[str, Any]]) -> bool:
    """The rules of schemas/rules.ncl."""
    ids = {one["id"] for one in operations}
    servers = [server["name"] for one in operations for server in one.get("server_configs", ())]
    known = ids.union(servers)
    if len(ids) < len(operations) or len(set(servers)) < len(servers):
        return False
    for one in operations:
        needs = [need["id"] for need in one["dependencies"]]
        targets = one.get("targets", ())
        if not (ids.issuperset(needs) and ids.issuperset(one.get("when", ())) and known.issuperset(targets)):
            return False
        uses = [use["name"] for use in one.get("taskservs", ())]
        if not all(map(_SIMPLE.fullmatch, one.get("of", ()))):
            return False
        if not all(map(_are_different, (needs, targets, uses, one.get("outputs", ()), one.get("of", ())))):
            return False
    policies = [workflow["on_failure"], *(one.get("on_failure") for one in operations)]
    return workflow["rollback_enabled"] or "rollback" not in policies


def _are_different(names: Collection[str]) -> bool:
    return len(set(names)) == len(names)


def _is_doubtful(text: str, operations: Sequence[Mapping[str, Any]], catalogue: Mapping[str, Taskserv] | None) -> bool:
    """Whether there is anything to say about the workflow as a whole; a warning is something too."""
    return (
        any(cycles.cycles(operations))
        or any(value_format_checks.mistaken(operations))
        or (("${" in text or "\\u" in text) and any(reference_checks.mistaken(operations)))
        or (catalogue is not None and any(taskserv_checks.mistaken(operations, catalogue)))
    )
