"""What nobody should send and no program should print: requests over the OpenAPI document, and outputs.

Everything comes from one `random.Random`; a test prints its seed, and BATCHWRIGHT_FUZZ_SEED sets it.
"""

from __future__ import annotations

import base64
import html
import json
import os
import random
import shlex
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote, quote_plus

from msgspec import Struct

SEED = "BATCHWRIGHT_FUZZ_SEED"
_TEXTS = (
    "| |latest|..|%2e%2e%2f|%00|%ff%fe|%ed%a0%80|\U0001f4a9|\u202e|%|%zz|-1|0|1|1e999|"
    "9999999999999999999999999999999999999999|NaN|true|null|[]|{}|' OR 1=1 --|${server.address}|*|"
    "../../etc/passwd|file:///etc/passwd|\x1b[2J|\x00|a=b|a=1e400|=|999999d|30m|Completed|%0d%0aX-Injected: yes|"
    "\u0660|bm9uZQ|MWU5OTk6|LTFlOTk5OmE|{{7*7}}|%s%n|\ud7ff|x y|+|&"
)
TEXTS = [*_TEXTS.split("|"), "a" * 300]
_SHORT = (
    b"Host: evil.example|Host: |Host: [::1|Host: localhost:99999999|Host: \xff|Origin: null|Origin: http://[evil|"
    b"Origin: https://evil.example|X-Forwarded-For: ::1|X-Forwarded-Host: localhost|X-Forwarded-Proto: https|"
    b"Forwarded: for=127.0.0.1;host=x|Transfer-Encoding: chunked|Transfer-Encoding: gzip, chunked|"
    b"Transfer-Encoding: xchunked|Content-Length: 0|Content-Length: -1|Content-Length: +5|"
    b"Content-Length: 999999999999999999999999999999|Expect: 100-continue|Expect: 500-error|Range: bytes=0-|"
    b"Authorization: Bearer|Authorization: Bearer bw_\xff|Authorization: Basic Og==|Cookie: a=\x01|"
    b"Upgrade: websocket|Upgrade: h2c|Connection: upgrade|Connection: close, keep-alive|TE: trailers|"
    b"Trailer: Host|Content-Encoding: gzip|Accept: text/event-stream|Accept: \xff/*;q=NaN|Accept-Encoding: *;q=0|"
    b"Sec-Fetch-Site: x|X\xff: 1|X Y: 1|X-Control: \x01\x1b[2J|X-Fold: a\r\n b|If-Match: *|"
    b'If-Match: "aaaaaaaaaaaa-1"|If-Match: W/\xe9|: |Idempotency-Key: same|Idempotency-Key: k\xff|'
    b"Idempotency-Kez: near|Last-Event-ID: 1|Last-Event-ID: -1|Last-Event-ID: 999999999999999999999999999999|"
    b"Content-Type: \xff/\x80;;=|Content-Type: a/b;charset=utf-99|X-HTTP-Method-Override: DELETE|"
    b"X-Original-URL: /v1/servers|Via: \t"
).split(b"|")
HEADERS = [
    *((name, value) for name, _, value in (one.partition(b": ") for one in _SHORT)),
    (b"Range", b"bytes=9-1,-" + b"9" * 99),
    (b"Authorization", b"Bearer " + b"x" * 9000),
    (b"X-Big", b"x" * 20000),
    (b"X-Huge", b"x" * 80000),
    (b"Cookie", b"=;" * 99),
]
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PATCH", "get", "BREW", "G\x01T")
_KINDS = (
    b"application/json|application/json; charset=utf-16|APPLICATION/JSON|application/yaml|text/x-nickel|text/plain|"
    b"multipart/form-data; boundary=x|application/x-www-form-urlencoded||application/json\xff"
)
KINDS = _KINDS.split(b"|")


def seed_of() -> int:
    """The seed that is set, or a new one; printed, so that what fails can be repeated."""
    seed = int(os.environ.get(SEED) or random.SystemRandom().randrange(2**32))
    print(f"\nseed: {SEED}={seed}", flush=True)
    return seed


class Asked(Struct):
    """Bytes for one connection. `name`, of the workflow in it, begins with `asked` if that may begin a run.

    `whole`: it is framed right, so an answer must come.
    """

    raw: bytes
    name: str
    method: str
    target: str
    headers: list[tuple[bytes, bytes]]
    body: bytes
    whole: bool = True


class Requests:
    """Random requests. `lures` are names of files and variables that nobody may read."""

    def __init__(
        self, chance: random.Random, document: dict[str, Any], tokens: dict[str, str], lures: Sequence[str], host: str
    ) -> None:
        self._chance, self._tokens, self._lures, self._host = chance, tokens, lures, host
        self._operations = [
            (method.upper(), path, operation)
            for path, item in document["paths"].items()
            for method, operation in item.items()
        ]
        self._operations += [one for one in self._operations if "requestBody" in one[2]] * 4
        self.runs: list[str] = []  # that are known by now
        self._count = 0

    def text(self) -> str:
        """For a parameter: one of TEXTS, or a few characters of any kind."""
        if self._chance.random() < 0.7:
            return self._chance.choice(TEXTS)
        return "".join(
            chr(self._chance.choice((self._chance.randrange(0x80), self._chance.randrange(0xD800)))) for _ in range(9)
        )

    def _value(self, name: str, schema: dict[str, Any]) -> str:
        if self._chance.random() < 0.25:
            return self.text()
        known = {
            "simulate": "true",
            "sim": "boot_seconds=0",
            "since": "30m",
            "status": "Completed",
            "step": "web",
            "cursor": "bm9u",
        }
        if name == "run":
            return self._chance.choice(self.runs or ["latest"])
        return known.get(name, "1" if schema.get("type") == "integer" else "")

    def one(self) -> Asked:
        """A request."""
        chance = self._chance
        self._count += 1
        method, path, operation = chance.choice(self._operations)
        query: list[tuple[str, str]] = []
        for parameter in operation.get("parameters", ()):
            value = self._value(parameter["name"], parameter.get("schema", {}))
            if parameter["in"] == "path":
                path = path.replace("{" + parameter["name"] + "}", self._quoted(value) or "-")
            elif parameter["in"] == "query" and chance.random() < 0.5:
                query += [(parameter["name"], value)] * chance.choice((1, 1, 1, 2, 40))
        if chance.random() < 0.1:
            query.append((self.text(), self.text()))
        target = path + ("?" if query else "") + "&".join(f"{self._quoted(k)}={self._quoted(v)}" for k, v in query)
        if chance.random() < 0.1:
            method = chance.choice(METHODS)
        if chance.random() < 0.03:
            target = chance.choice(
                (f"http://evil.example{target}", "*", f"//{target}", target + "#x", target + "?" + "a" * 40_000)
            )
        if chance.random() < 0.05:
            return self._submission()
        role = chance.choice(("admin", "admin", "viewer", "nobody"))
        name = f"{'asked' if role == 'admin' or not self._tokens else 'unasked'}-{self._count}"
        body = self._body(name) if method not in ("GET", "HEAD") or chance.random() < 0.1 else b""
        return self._framed(method, target, name, body, role)

    def _quoted(self, text: str) -> str:
        return text if "%" in text and self._chance.random() < 0.8 else quote(text, safe="")

    def _submission(self) -> Asked:
        """One that may begin a run: its name says so."""
        name = f"asked-{self._count}"
        headers = [(b"Host", self._host.encode()), (b"Content-Type", b"application/json"), *self._auth("admin")]
        body = json.dumps(flow(name)).encode()
        headers += [(b"Content-Length", b"%d" % len(body)), (b"Connection", b"close")]
        target = "/v1/workflows/batch/submit?simulate=true&sim=boot_seconds=0.01"
        return Asked(_raw("POST", target, headers, body), name, "POST", target, headers, body)

    def _auth(self, role: str) -> list[tuple[bytes, bytes]]:
        return [(b"Authorization", f"Bearer {self._tokens[role]}".encode())] if role in self._tokens else []

    def _framed(self, method: str, target: str, name: str, body: bytes, role: str) -> Asked:
        chance = self._chance
        headers = [(b"Host", self._host.encode()), *self._auth(role)]
        if body or chance.random() < 0.1:
            headers.append((b"Content-Type", chance.choice((*KINDS[:1] * 6, *KINDS))))
        headers += [chance.choice(HEADERS) for _ in range(chance.choice((0, 0, 0, 1, 1, 3)))]
        if chance.random() < 0.02:
            headers += [(b"X-Many", b"%d" % number) for number in range(chance.choice((90, 101, 400)))]
        framing, sent = chance.random(), body
        whole = not {b"Transfer-Encoding", b"Content-Length", b"Expect", b"Upgrade"} & {key for key, _ in headers}
        if framing < 0.7:
            headers.append((b"Content-Length", b"%d" % len(body)))
        elif framing < 0.85:
            headers.append((b"Transfer-Encoding", b"chunked"))
            sent = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in cut(chance, body)) + b"0\r\n\r\n"
        elif framing < 0.93:  # less comes than is told
            headers.append((b"Content-Length", b"%d" % (len(body) + chance.randrange(1, 99))))
            whole = False
        else:  # more comes than is told: another request begins in it
            headers.append((b"Content-Length", b"%d" % chance.randrange(len(body) + 1)))
            whole = False
        if chance.random() < 0.8:
            headers.append((b"Connection", b"close"))
        chance.shuffle(headers)
        raw = _raw(method, target, headers, sent)
        if chance.random() < 0.04:
            at = chance.randrange(len(raw))
            raw, whole = raw[:at] + chance.randbytes(chance.randrange(9)) + raw[at + chance.randrange(9) :], False
        return Asked(raw, name, method, target, headers, body, whole=whole)

    def _body(self, name: str) -> bytes:
        chance, lure = self._chance, self._chance.choice(self._lures)
        good = json.dumps(flow(name))
        deep = chance.choice((50, 600, 30_000))
        value = chance.choice(
            ("1e999", "-0", "9" * 5_000, '"\\ud800"', '"\\u0000"', "NaN", "[" * deep + "]" * deep, f'"{self.text()}"')
        )
        odd = good.replace('"1"', value, 1)
        reading = (
            f'{{ batch_workflow = import "{lure}" }}',
            f'import "{lure}" as \'Text',
            f"batch_workflow: !include {lure}",
            json.dumps(flow(name, env={"A": {"file": lure}})),
            json.dumps(flow(name, env={"A": {"env": lure}})),
            json.dumps(flow(name, env={"A": {"command": ["cat", lure]}})),
            f"a: &a [{lure}, *a]\nbatch_workflow: *a",
            json.dumps(flow(name, provider="static", options={"key": lure, "known_hosts": lure})),
            json.dumps(flow(name, store="surrealdb")),
            json.dumps(flow(name, user_data={"file": lure})),
        )
        parts = (
            good,
            odd,
            *reading,
            good[: chance.randrange(len(good))],
            self.text(),
            value,
            "{" * deep,
            "- " * deep,
            "(" * deep,
            '--x\r\nContent-Disposition: form-data; name="a"; filename="../b"\r\n\r\n' + good + "\r\n--x--",
            "a=1&b=2",
            f"POST /v1/workflows/batch/submit HTTP/1.1\r\nHost: {self._host}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(good)}\r\n\r\n{good}",
        )
        raw = chance.choice(parts).encode("utf-8", "surrogatepass")
        return chance.choice(
            (
                raw,
                raw,
                raw,
                raw,
                b"\xef\xbb\xbf" + raw,
                raw.replace(b":", b"\0", 1),
                b"\x1f\x8b\x08" + raw,
                raw + b"\xff",
            )
        )


def _raw(method: str, target: str, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> bytes:
    lines = [f"{method} {target} HTTP/1.1".encode("utf-8", "surrogatepass"), *(b"%b: %b" % pair for pair in headers)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def flow(
    name: str, *, env: dict[str, Any] | None = None, store: str = "filesystem", provider: str = "simulated", **rest: Any
) -> dict[str, Any]:
    """A small workflow, of a command where it has an environment."""
    config = {"name": f"{name}-web", "plan": "small", "zone": "zone-a", **rest}
    operations: list[dict[str, Any]] = [
        {"id": "web", "type": "server_batch", "provider": provider, "server_configs": [config]}
    ]
    if env is not None:
        operations = [{"id": "do", "type": "command", "run": ["true"], "env": env}]
    return {"batch_workflow": {"name": name, "version": "1", "storage_backend": store, "operations": operations}}


# -- outputs of programs --------------------------------------------------------------------------------------------

SAID = (
    b"\x1b[2J|\x1b]0;title\x07|\x1b[|\x1b]8;;http://x|\x9b31m|\x90|\xc2\x9b2J|\x00|\x08\x08|\r|\r\n|\xff\xfe|"
    b"\xf0\x9f\x92|\xed\xa0\x80|\xc0\x80|\xe2\x80\xae|\xe2\x80\xa8|\xef\xb8\x8f|\x85|\x0c|\x1c|\n|\n|\n|| |ok\n|"
    b'100 %\r|event: end\ndata: {}\n\n|{"type":"step_done","seq":9}\n|== Install\n|[s0000001] faked\n|'
    b"ssh.service failed\n|Id=ssh.service\nActiveState=failed\n\n|BATCHWRIGHT_MARK=0\n|***|exit 0\n|<3>|%n%s|"
    b"ended 0\n|temp\n|platform\n|\x1bPq|\xf3\xa0\x81\x81|"
    b"e\xcc\x81e\xcc\x81e\xcc\x81e\xcc\x81e\xcc\x81e\xcc\x81e\xcc\x81e\xcc\x81e\xcc\x81e\xcc\x81e\xcc\x81e\xcc\x81e\xcc\x81e\xcc\x81e\xcc\x81e\xcc\x81e\xcc\x81e\xcc\x81e\xcc\x81e\xcc\x81e\xcc\x81e\xcc\x81e\xcc\x81e\xcc\x81e\xcc\x81e\xcc\x81e\xcc\x81e\xcc\x81e\xcc\x81e\xcc\x81e\xcc\x81e\xcc\x81e\xcc\x81e\xcc\x81e\xcc\x81e\xcc\x81e\xcc\x81e\xcc\x81e\xcc\x81e\xcc\x81|"
    b"Traceback (most recent|\x1b"
).split(b"|")
HOSTS = ("a", "b", "nobody", "", "\N{PILE OF POO}")


def secret_of(chance: random.Random) -> str:
    """A secret, with characters that every encoding writes in another way."""
    plain = [chance.choice("abcdefghkmnpqrstuvwxyz23456789") for _ in range(chance.randrange(12, 40))]
    for _ in range(chance.randrange(4)):
        plain[chance.randrange(len(plain))] = chance.choice(" '\"\\&<%+/\t$\u00e9\u20ac\N{PILE OF POO}\x1b")
    return "Ca9" + "".join(plain) + "nary"


def forms(secret: str) -> list[bytes]:
    """The secret as programs write it."""
    raw = secret.encode()
    texts = (
        secret,
        json.dumps(secret),
        json.dumps(secret, ensure_ascii=False),
        json.dumps(json.dumps(secret)),
        repr(secret),
        repr(raw),
        shlex.quote(secret),
        quote(secret, safe=""),
        quote(quote(secret, safe=""), safe=""),
        quote_plus(secret),
        html.escape(secret),
        raw.hex(),
        raw.hex().upper(),
        "".join(f"\\u{ord(one):04x}" for one in secret) if secret.isascii() else secret,
        *(base64.b64encode(b"xyz"[:more] + raw).decode()[more and more + 1 :] for more in range(3)),
        base64.urlsafe_b64encode(raw).decode(),
        base64.encodebytes(raw).decode(),
    )
    return [text.encode() for text in texts]


def coloured(chance: random.Random, secret: str) -> bytes:
    """The secret with a part of it in another colour, as grep shows what it has found."""
    at = chance.randrange(1, len(secret))
    return secret[:at].encode() + b"\x1b[01;31m" + secret[at:].encode() + b"\x1b[0m"


def output(chance: random.Random, secrets: Sequence[str]) -> bytes:
    """What a program might print, with secrets in it."""
    parts: list[bytes] = []
    for _ in range(chance.randrange(1, 30)):
        kind = chance.random()
        if kind < 0.5:
            parts.append(chance.choice(SAID))
        elif kind < 0.6:
            parts.append(chance.randbytes(chance.randrange(40)))
        elif kind < 0.65:
            parts.append(
                chance.choice((b"x", b"\xe2\x82\xac", b"\x1b[0m", b" ")) * chance.choice((900, 16_384, 70_000))
            )
        elif kind < 0.95 and secrets:
            parts += [b" ", chance.choice(forms(chance.choice(secrets))), b" "]
        elif secrets:
            parts += [b"\n", coloured(chance, chance.choice(secrets)), b"\n"]
    return b"".join(parts)


def cut(chance: random.Random, data: bytes) -> Iterator[bytes]:
    """In chunks of any size, none of them empty."""
    at = 0
    while at < len(data):
        size = chance.choice((1, 2, 7, 100, 4_096, 65_536))
        yield data[at : at + size]
        at += size


def words(chance: random.Random, secrets: Sequence[str]) -> bytes:
    """What a runner's child process might say to us: messages that are right, nearly right, and none."""
    lines: list[bytes] = []
    for _ in range(chance.randrange(1, 12)):
        host, text = chance.choice(HOSTS), output(chance, secrets)[:2_000].decode(errors="replace")
        right = chance.choice(
            (
                {"type": "line", "host": host, "text": text},
                {"type": "done", "host": host, "ok": chance.random() < 0.5, "tail": [text]},
                {"type": "stopped", "host": host},
            )
        )
        line = json.dumps(right, ensure_ascii=chance.random() < 0.5).encode()
        wrong = (
            line.replace(b'"host"', b'"h"'),
            line[: len(line) // 2],
            b"[" * 50_000,
            line[:-1] + b',"x":' + b"[" * 50_000,
            b"",
            b"null",
            b'{"type":"line","host":"a","text":"\xff"}',
            b'{"type":"line","host":"a","text":"\\ud800"}',
            b'{"type":"done","host":"a","ok":1}',
            b'{"type":"done","host":"a","ok":true,"operations":1e999}',
            output(chance, secrets),
        )
        lines.append(line if chance.random() < 0.85 else chance.choice(wrong))
    return b"\n".join(lines) + chance.choice((b"\n", b""))
