"""Random workflow sources in Nickel, JSON and YAML: mostly nearly right, with hostile imports, texts and values."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import yaml

HOSTILE_TEXTS = (
    *(
        "",
        " ",
        "\x00",
        "a\x00b",
        "\x1b[2J",
        "\u202eabc",
        "\ud7ff",
        "\U0010ffff",
        "é" * 70,
        "x" * 5_000,
        "\r\n",
        "'",
        '"',
        "\\",
    ),
    *(
        "%{x}",
        '%{import "CANARY"}',
        "${servers.a.b}",
        "${HOME}",
        "$${x}",
        "${",
        'm%"',
        '"%',
        "$value",
        "$fields",
        "$names",
    ),
    *(
        "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl",
        "ssh-ed25519 AAAA",
        "#!/bin/sh\r\n",
        "\n#!/bin/sh",
        "#cloud-config\n[[[",
        "on",
    ),
    *(
        "../../etc/passwd",
        "/proc/self/environ",
        "127.0.0.1:22",
        "0x7f.1",
        "::1%",
        "1e999",
        "NaN",
        "-",
        "a/b",
        "latest",
        "~",
    ),
)
HOSTILE_VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        -1,
        1.5,
        3.0000000000000001,
        10**30,
        -(10**400),
        1e308,
        [],
        {},
        [[]],
        [None],
        {"": ""},
        {"$value": 1},
    ),
    *(
        {"$fields": ["x"]},
        {"$keys": [1]},
        {"$problems": []},
        {"env": "HOME"},
        {"file": "CANARY"},
        {"command": ["cat", "CANARY"]},
    ),
    *(
        [["a"] * 3] * 3,
        {"a": {"b": {"c": [1, {"d": None}]}}},
        {"hard": "soft"},
        ["servers", "servers"],
        {"id": "servers"},
    ),
)
NAMES = (
    *(
        "name",
        "version",
        "operations",
        "id",
        "type",
        "provider",
        "server_configs",
        "plan",
        "zone",
        "user_data",
        "ssh_keys",
    ),
    *(
        "labels",
        "taskservs",
        "targets",
        "dependencies",
        "retry",
        "timeout",
        "run",
        "undo",
        "env",
        "directory",
        "address",
        "jump",
    ),
    *(
        "on_failure",
        "parallel_limit",
        "batch_workflow",
        "inputs",
        "$value",
        "$fields",
        "$keys",
        "$names",
        "import",
        "<<",
        "a b",
        "",
    ),
)
NICKEL = (
    *(
        'import "CANARY"',
        'import "CANARY" as \'Text',
        'import "/proc/self/environ" as \'Text',
        'import "/etc/passwd"',
        "import canary",
    ),
    *(
        'm%""%{import "CANARY"}"%',
        'x%"" in import "CANARY"',
        '"%{import "CANARY" as \'Text}"',
        "'import",
        '\'"%{import "CANARY"}"',
    ),
    *(
        "let rec f = fun x => f x in f 1",
        'std.fail_with "no"',
        "std.array.range 0 1000000",
        "1 / 0",
        "null",
        "{}.x",
        "fun x => x",
    ),
    *(
        "[1, 2] |> std.array.map (fun x => x + 1)",
        'std.string.uppercase "a"',
        "(1 | String)",
        "{ a = a }",
        "%typeof% 1",
        "'a 'b",
    ),
    *(
        'std.deserialize \'Json "{\\"a\\":1,\\"a\\":2}"',
        "{ a = 1, a = 2 }",
        "(x : Number)",
        "{ x | optional }",
        'm%"%{',
        "1e999",
    ),
    *(
        'std.string.join "" (std.array.replicate 100000 "aaaaaaaaaa")',
        '{ "%{"a"}" = 1 }',
        'std.record.get "x" {}',
        "import",
        "..",
        "_",
    ),
)
YAML_BITS = (
    *(
        "---\n",
        "...\n",
        "<<: *a\n",
        "&a ",
        "*a",
        "!!python/object:os.system ",
        "!!binary aGk=",
        "? ",
        "- ",
        ": ",
        "\t",
        "|\n",
        ">\n",
    ),
    *(
        "%YAML 1.1\n",
        "{",
        "}",
        "[",
        "]",
        "'",
        '"',
        "#",
        "\x00",
        "\x7f",
        "\x85",
        "\u2028",
        ".nan",
        ".inf",
        "0o17",
        "1_000",
        "~",
        "2001-01-01",
    ),
)


def right() -> dict[str, Any]:
    """A workflow that has one operation of each type."""
    server = {
        "name": "w1",
        "plan": "small",
        "zone": "zone-a",
        "user_data": "#!/bin/sh\n",
        "labels": {"a.b": "c"},
        "ssh_keys": [],
    }
    reached = {"name": "old", "address": "10.0.0.1", "jump": "me@gate:22"}
    operations: list[dict[str, Any]] = [
        {"id": "servers", "type": "server_batch", "provider": "simulated", "server_configs": [server]},
        {"id": "there", "type": "server_batch", "provider": "static", "server_configs": [reached]},
        {
            "id": "services",
            "type": "taskserv_batch",
            "provider": "simulated",
            "dependencies": ["servers", {"id": "there", "kind": "soft"}],
            "taskservs": ["redis", {"name": "nginx", "variables": {"port": 8080}}],
            "targets": ["w1"],
            "retry": {"max_attempts": 2},
        },
        {"id": "command", "type": "command", "run": ["true", "${HOME}"], "env": {"A": "b"}, "timeout": "10m"},
    ]
    return {"batch_workflow": {"name": "x", "version": "1", "parallel_limit": 3, "operations": operations}}


def source(dice: random.Random, canary: str) -> tuple[str, str]:
    """A text and the name of a file of its format. `canary` is a file that no source may read."""
    value = _changed(dice, right())
    form = dice.choice(("ncl", "json", "yaml"))
    text = {"ncl": lambda: _nickel(dice, value), "json": lambda: json.dumps(value), "yaml": lambda: _yaml(dice, value)}[
        form
    ]()
    bits = {"ncl": NICKEL, "json": ("{", "}", ",", '"', "[" * 200, "\x00", "NaN"), "yaml": YAML_BITS}[form]
    for _ in range(dice.choice((0, 0, 0, 1, 3))):
        text = _mutated(dice, text, bits)
    return text.replace("CANARY", canary), f"workflow.{form}"


def _changed(dice: random.Random, value: Any) -> Any:
    for _ in range(dice.choice((0, 1, 1, 2, 5))):
        owner = value
        while True:
            keys: list[Any] = list(owner) if isinstance(owner, dict) else list(range(len(owner)))
            if not keys:
                break
            key = dice.choice(keys)
            if isinstance(owner[key], dict | list) and dice.random() < 0.8:
                owner = owner[key]
                continue
            _change(dice, owner, key)
            break
    return value


def _change(dice: random.Random, owner: Any, key: Any) -> None:
    new = dice.choice(HOSTILE_TEXTS) if dice.random() < 0.5 else deepcopy(dice.choice(HOSTILE_VALUES))
    if isinstance(owner, list):
        owner[key] = new
        return
    act = dice.randrange(3)
    if act == 0:
        owner[key] = new
    elif act == 1:
        owner[dice.choice(NAMES)] = new
    else:
        owner[dice.choice(NAMES)] = owner.pop(key)


def _mutated(dice: random.Random, text: str, bits: tuple[str, ...]) -> str:
    at = dice.randrange(len(text) + 1)
    if dice.random() < 0.3:
        return text[:at] + text[at + dice.randrange(1, 20) :]
    return text[:at] + dice.choice(bits) + text[at:]


def _yaml(dice: random.Random, value: Any) -> str:
    style = dice.choice((True, False, None))
    return yaml.safe_dump(value, default_flow_style=style, allow_unicode=dice.random() < 0.5)


def _nickel(dice: random.Random, value: Any) -> str:
    """The value in Nickel, with an expression in place of some values, and perhaps something around it."""

    def written(one: Any) -> str:
        if dice.random() < 0.02:
            return f"({dice.choice(NICKEL)})"
        if isinstance(one, dict):
            return "{" + ", ".join(f"{_text(key)} = {written(part)}" for key, part in one.items()) + "}"
        if isinstance(one, list):
            return "[" + ", ".join(map(written, one)) + "]"
        if isinstance(one, str):
            multi = "\n" in one and '"%' not in one and "%{" not in one
            return f'm%"{one}"%' if multi else _text(one)
        return json.dumps(one)

    around: tuple[Callable[[str], str], ...] = (
        lambda text: text,
        lambda text: f"let x = {dice.choice(NICKEL)} in {text}",
        lambda text: f"{text} & {{ batch_workflow.description = {dice.choice(NICKEL)} }}",
        lambda text: f"# {dice.choice(NICKEL)}\n{text}",
    )
    return dice.choice(around)(written(value))


def _text(text: str) -> str:
    return (
        json.dumps(text, ensure_ascii=False)
        .replace("\\u", "u")
        .replace("%{", "\\%{")
        .replace("\\b", "")
        .replace("\\f", "")
    )
