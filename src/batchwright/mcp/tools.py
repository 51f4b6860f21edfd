"""The six tools as clients see them. A model pays for every word here with each request, so there are few."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

RUN_MOST, TEXT_MOST, WORKFLOW_MOST = 220, 500, 1_000_000  # characters
WAIT_MOST = 25  # seconds
COUNT_MOST = 100
_RUN = {"type": "string", "description": "id, environment or latest", "maxLength": RUN_MOST}
_ASK = {"type": "string", "maxLength": TEXT_MOST}
_BUDGET = {"type": "integer", "description": "most tokens of the answer"}


class Tool(Struct, frozen=True):
    """One tool. `reads`: it changes nothing."""

    name: str
    description: str
    properties: dict[str, dict[str, Any]]
    required: tuple[str, ...] = ()
    reads: bool = True

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of its arguments."""
        required = {"required": list(self.required)} if self.required else {}
        return {"type": "object", "properties": self.properties, **required}


STATUS = Tool(
    "status",
    "How far a run is, what it waits for, when it may end. With after=EVENT and wait it returns once there is news.",
    {
        "run": _RUN,
        "after": {"type": "integer"},
        "wait": {"type": "integer", "description": f"seconds, to {WAIT_MOST}"},
        "budget": _BUDGET,
    },
)
DIAGNOSE = Tool(
    "diagnose",
    "Why a run failed or hangs: causes with evidence, what differs from the last good run.",
    {"run": _RUN, "query": {**_ASK, "description": "cause=KIND, offset=N"}, "budget": _BUDGET},
)
SHOW = Tool(
    "show",
    "One thing in full: a step, operation, server, event number or `questions`; or a report: `recovery` (resume, roll "
    "back: what each would do), `provider NAME` (speed, throttling), `compare` (with the last good run).",
    {"run": _RUN, "what": _ASK, "budget": _BUDGET},
    ("what",),
)
FIND = Tool(
    "find",
    "Rows: steps, servers, operations, providers, causes, events, log; then key=value (state operation provider server "
    "cause step text offset after) and words.",
    {"run": _RUN, "query": _ASK, "budget": _BUDGET},
    ("query",),
)
PLAN_CHANGE = Tool(
    "plan_change",
    "What a change would do, and its hash; nothing is changed. `run`: run a workflow file; with like, count and zone, "
    "the file is first given more servers like that one, and the edit returned. resume, cancel, rollback: of a run.",
    {
        "action": {"enum": ["run", "resume", "cancel", "rollback"]},
        "run": _RUN,
        "file": {"type": "string", "description": "path here"},
        "text": {"type": "string", "description": "or the workflow itself"},
        "like": {"type": "string", "description": "server"},
        "count": {"type": "integer"},
        "zone": {"type": "string"},
        "budget": _BUDGET,
    },
    ("action",),
)
APPLY = Tool(
    "apply",
    "Carry out a planned change by its hash, after a person approved it in Batchwright. Ask the user to approve it.",
    {"hash": {"type": "string"}},
    ("hash",),
    reads=False,
)
READING: Sequence[Tool] = (STATUS, DIAGNOSE, SHOW, FIND, PLAN_CHANGE)


def offered(*, apply: bool) -> Sequence[Tool]:
    """The tools of a server, in the order in which they are always listed."""
    return (*READING, APPLY) if apply else READING


def invalid_argument(tool: Tool, given: Mapping[str, Any]) -> str:
    """What is wrong with the arguments of a call, empty if nothing is."""
    for name, value in given.items():
        schema = tool.properties.get(name)
        if schema is None:
            return f"{tool.name} has no argument {name[:60]!r}; it has {', '.join(tool.properties)}"
        if "enum" in schema:
            if value not in schema["enum"]:
                return f"{name} must be one of {', '.join(schema['enum'])}"
        elif schema["type"] == "string":
            most = WORKFLOW_MOST if name == "text" else schema.get("maxLength", TEXT_MOST)
            if not isinstance(value, str) or len(value) > most:
                return f"{name} must be a text of at most {most:,} characters"
            if "\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
                return f"{name} has a character that no text has"
        elif isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**53:
            return f"{name} must be a whole number"
    missing = [name for name in tool.required if name not in given]
    return f"{tool.name} needs {', '.join(missing)}" if missing else ""
