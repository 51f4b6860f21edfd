"""Random workflows in JSON, most of them right, many nearly so, with texts that two judges may see differently."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from random import Random
from typing import Any

import msgspec

from batchwright.loader.sources import schema_folder

ODD_TEXTS = (
    *("", " ", "\t", "\n", "a\n", "\na", "a b", " a", "a\r\n", "\r\n", "a\x0b", "\x0c", "a\x1cb", "\x1c"),
    *("\x1f", "\x7f", "\x00", "a\x00"),
    *("\x85", "a\x85b", "\xa0", "a\xa0b", "\u1680", "\u180e", "\u2003", "\u200b", "\u2028", "a\u2029"),
    *("\u202f", "\u3000", "\ufeff"),
    *("e\u0301", "\u0301", "a\u0301b", "ab\u0301", "abc\u0301", "abcd\u0301", "\u0600a", "\u0600ab"),
    *("\u0600abc", "a\u200db", "\u2764\ufe0f", "👩‍💻", "🇩🇪", "ü", "Größe", "各", "각", "ﬁ"),
    *("a" * 32, "a" * 33, "a" * 63, "a" * 64, "a" * 253, "a" * 255, "a" * 256, "é" * 255, "e\u0301" * 200),
    *("1" * 41,),
    *("0", "00", "007", "-1", "1.5", "1e3", "0x10", "true", "null", "NaN", "inf"),
    *("0s", "1s", "01s", "30s", "10m", "24h", "25h", "1.5m", "0.001s", "1.0s", "86400s", "86401s", "720h"),
    *("1d", "1 s", "\u0661s", "999999999s"),
    *("0%", "1%", "50%", "99%", "100%", "101%", "050%", "5.5%"),
    *("2026-12-31", "2026-02-31", "2026-13-01", "0000-01-01", "\u0662026-12-31"),
    *("-", "-a", "a-", "a-b", "_", "_a", "a_b", "A", "aB", "a.b", ".a", "a.", "a+b", "1.0.0", "1.0.0+b-1"),
    *("a/b", "a:b", "a,b", 'a"b', "a]b", '["a"]', "{}", "a\\b"),
    *("batchwright", "batchwright-x", "xbatchwright", "BATCHWRIGHT_X", "BATCHWRIGHT", "PATH", "EUR", "EURO"),
    *("${server.address}", "${servers.web-0.address}", "${HOME}", "$${x.y}", "${", "${run.id}", "%{x}"),
    *("m%\"a\"%", "$fields", "$value", "$names", "$keys", "'tag"),
    *("#!/bin/sh\ntrue", "#cloud-config\na: 1", "#cloud-config\na: 1\na: 2", "echo", "\ufeff#!/bin/sh"),
    *("#!/bin/sh\r\n", "#clod-config"),
    *("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ me", "ssh-rsa x"),
    *("-----BEGIN PRIVATE KEY-----",),
    *("~/x", "/x", "~x", "nginx", "redis", "containerd", "kubernetes", "cilium", "1xCPU-2GB", "1xCPU-2 GB"),
    *("de-fra1",),
)  # fmt: skip
ODD_NUMBERS = (
    *("0", "-0", "1", "-1", "2", "3", "10", "20", "21", "63", "100", "255", "256", "1000", "1001", "86400"),
    *("86401", "1000000", "1000001"),
    *("1.0", "1e0", "1E2", "0.5", "1.5", "1e-7", "2592000", "2592001", "999999999999999", "9007199254740993"),
    *("1" * 30, "1e400", "-1.0"),
)  # fmt: skip
ODD_VALUES = (
    "null",
    "true",
    "false",
    "[]",
    "{}",
    "[[]]",
    "[null]",
    '{"a":1}',
    '{"env":"X"}',
    "NaN",
    "Infinity",
    "01",
    "'a'",
)
SPOILT = 0.35  # of all workflows have something odd put in somewhere


class PlainWorkflows:
    """Makes one text after the other, by the table of the contracts."""

    def __init__(self, random: Random) -> None:
        self._random = random
        table = msgspec.json.decode((schema_folder() / "plain_table.json").read_bytes())
        self._table: dict[str, Any] = table["fields"]

    def text(self) -> str:
        """A workflow file."""
        random = self._random
        workflow = self._of(self._table["batch_workflow"])
        workflow["operations"] = self._operations()
        for name in ("notify", "limits"):
            if random.random() < 0.9:
                workflow.pop(name, None)
        if random.random() < 0.9 and not workflow.get("rollback_enabled", True):
            workflow.pop("rollback_enabled")
        file: dict[str, Any] = {"batch_workflow": workflow}
        if random.random() < 0.02:
            file[random.choice(("$schema", "inputs", "rehearsal", "other"))] = random.choice((*ODD_TEXTS, {}))
        text = json.dumps(file, indent=random.choice((None, None, 1)), ensure_ascii=random.random() < 0.3)
        return self._spoilt(text) if random.random() < SPOILT else text

    # ---- right, but for what holds between the parts ----

    def _operations(self) -> list[dict[str, Any]]:
        random, types = self._random, self._table["batch_workflow"]["fields"]["operations"]["element"]["types"]
        found: list[dict[str, Any]] = []
        servers: list[str] = []
        for number in range(random.choice((1, 1, 2, 2, 3, 4, 6))):
            kind = random.choices(sorted(types), [1, 1, 4, 8, 8])[0]
            one = {**self._of(types[kind]), "type": kind, "id": f"op-{number}"}
            ids = [other["id"] for other in found]
            self._connect(one, ids, servers)
            for config in one.get("server_configs", ()):
                config["name"] = f"web-{len(servers)}" if random.random() < 0.99 else "web-0"
                servers.append(config["name"])
            found.append(one)
        if random.random() < 0.02:
            random.choice(found)["id"] = random.choice(found)["id"]
        if random.random() < 0.3:
            random.shuffle(found)
        return found

    def _connect(self, one: dict[str, Any], ids: list[str], servers: list[str]) -> None:
        random = self._random
        one.pop("dependencies", None)
        if one.get("when") and random.random() < 0.95:
            one["when"] = dict.fromkeys(self._some(ids), "yes")
        if ids and random.random() < 0.7:
            one["dependencies"] = [self._need(name) for name in self._some(ids)]
        if random.random() < 0.01:
            one["dependencies"] = [random.choice(("op-1", "op-9", one["id"]))]
        if "targets" in one and random.random() < 0.97:
            one["targets"] = self._some([*ids, *servers])
            if not one["targets"]:
                del one["targets"]
        if (one["type"] == "command" and "targets" not in one) or "waves" not in one:
            for name in ("waves", "hold_after", "hold", "min_success"):
                if random.random() < 0.95:
                    one.pop(name, None)

    def _need(self, name: str) -> Any:
        random = self._random
        if random.random() < 0.6:
            return name
        need = {"id": name}
        if random.random() < 0.7:
            need["kind"] = random.choice(("hard", "soft", "failed"))
        if random.random() < 0.3:
            need["per"] = random.choice(("operation", "server"))
        return need

    def _some(self, names: list[str]) -> list[str]:
        return self._random.sample(names, self._random.randint(0, min(3, len(names))))

    # ---- a value of a row ----

    def _of(self, row: Mapping[str, Any]) -> Any:
        return getattr(self, f"_{row['kind']}")(row)

    def _fitting(self, pattern: str) -> str:
        fitting = [text for text in ODD_TEXTS if re.search(pattern, text)]
        plain = [text for text in fitting if text.isascii() and text.isprintable()]
        return self._random.choice(plain if self._random.random() < 0.85 else fitting)

    def _text(self, row: Mapping[str, Any]) -> str:
        return self._fitting(row["pattern"])

    def _short_text(self, _row: Mapping[str, Any]) -> str:
        return self._random.choice(ODD_TEXTS)

    def _boolean(self, _row: Mapping[str, Any]) -> bool:
        return self._random.random() < 0.7

    def _scalar(self, _row: Mapping[str, Any]) -> Any:
        return self._random.choice((*ODD_TEXTS, *range(-3, 9), True, False, 999999999999999, 1.5))

    def _integer(self, row: Mapping[str, Any]) -> int:
        return self._random.choice((row["low"], row["high"], self._random.randint(row["low"], row["high"])))

    def _one_of(self, row: Mapping[str, Any]) -> str:
        plug_ins = ["rack"] if row["what"] == "provider" else []
        return str(self._random.choice([*row["names"], *plug_ins]))

    def _duration(self, row: Mapping[str, Any]) -> Any:
        return self._random.choice((1, 60, row["longest"], "1s", "30s", "10m", "1h", "24h", "01s", "1.5m", 0.5))

    def _list(self, row: Mapping[str, Any]) -> list[Any]:
        return [self._of(row["element"]) for _ in range(self._random.randint(row["least"], row["least"] + 1))]

    def _map(self, row: Mapping[str, Any]) -> dict[str, Any]:
        return {self._fitting(row["pattern"]): self._of(row["value"]) for _ in range(self._random.randint(0, 3))}

    def _record(self, row: Mapping[str, Any]) -> dict[str, Any]:
        chosen = [name for name in row["fields"] if name in row["required"] or self._random.random() < 0.12]
        self._random.shuffle(chosen)
        return {name: self._of(row["fields"][name]) for name in chosen}

    def _shorthand(self, row: Mapping[str, Any]) -> Any:
        record = self._of(row["record"])
        return record[row["field"]] if self._random.random() < 0.5 else record

    def _any_of(self, row: Mapping[str, Any]) -> Any:
        return self._of(self._random.choice(row["rows"]))

    def _by_type(self, row: Mapping[str, Any]) -> Any:
        return self._of(row["types"]["server_batch"])

    def _unsure(self, _row: Mapping[str, Any]) -> Any:
        return self._random.choice((*ODD_TEXTS, 1, {}, [], True))

    # ---- spoilt ----

    def _spoilt(self, text: str) -> str:
        """With one token of JSON changed, doubled or taken away, or a byte put in anywhere."""
        random = self._random
        tokens = re.findall(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+', text)
        place = random.randrange(len(tokens))
        match random.randrange(6):
            case 0:
                tokens[place] = json.dumps(random.choice(ODD_TEXTS), ensure_ascii=random.random() < 0.5)
            case 1:
                tokens[place] = random.choice((*ODD_NUMBERS, *ODD_VALUES))
            case 2:
                tokens[place : place + 2] = []
            case 3:
                tokens.insert(place, random.choice(tokens))
            case 4:
                keys = [at for at, token in enumerate(tokens[:-1]) if tokens[at + 1] == ":" and token[0] == '"']
                key = random.choice(keys)
                tokens[key] = random.choice([tokens[other] for other in keys])
            case _:
                values = [at for at, token in enumerate(tokens[1:], 1) if tokens[at - 1] == ":" and token not in "{["]
                tokens[random.choice(values)] = random.choice(
                    (*ODD_NUMBERS, *ODD_VALUES, *map(json.dumps, ODD_TEXTS), '"\\ud800"', '"\\ud83d\\ude00"', '"\\/"')
                )
        return random.choice((" ", "", "\n", "\r\n", "\u00a0" if random.random() < 0.1 else "\t")).join(tokens)
