"""One real service process among random requests: it answers none of them with a bug, tells nothing, and stays well."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
from tests.support.command_line import PATIENCE, Command
from tests.support.fuzz import Asked, Requests, flow, forms, output, secret_of, seed_of
from tests.support.service_process import service_process
from yarl import URL

from batchwright.api.app import described

CANARY = "canary-7d1f"  # in everything that no answer may hold, and so in every place that none may name
PLACE = b"planted-home"  # a part of the path of everything that is the service's own
RUNS = "/v1/workflows/batch"
AT_ONCE = 32
BY_LIBRARY = 0.15  # the part that a client library sends
LOOKS = 1_200  # at something that is bound to happen, PAUSE seconds apart
PAUSE, ANSWER_SECONDS = 0.1, 60.0
NICKEL = json.dumps(flow("asked")).replace(":", "=")
SERVER = "127.0.0.1:9"
SECRETS = """
[service]
secrets = { env = ["LISTED"], files = ["HOME/listed"] }
"""
STORE = """
[surrealdb]
url = "ws://127.0.0.1:9"
user = "root"
password = { file = "HOME/password" }
"""
WRONG = re.compile(rb'HTTP/1\.1 5(?!03)\d\d|"code":"bug"|Traceback|' + CANARY.encode())


class Fuzzed:
    """A service with canaries around it, those who ask it, and what they were told."""

    def __init__(
        self,
        url: str,
        pid: int,
        requests: Requests,
        headers: dict[str, str],
        session: aiohttp.ClientSession,
    ) -> None:
        self.url, self.requests, self.session = url, requests, session
        self._place, self._headers, self._fds = urlsplit(url), headers, Path(f"/proc/{pid}/fd")
        self.statuses: Counter[str] = Counter()
        self.faults: list[str] = []

    def descriptors(self) -> Counter[str]:
        """What the service has open, but for connections that are ending and files of its own state."""
        found: Counter[str] = Counter()
        for one in self._fds.iterdir():
            with contextlib.suppress(OSError):
                found[re.sub(r"\d+", "N", str(one.readlink()))] += 1
        return found

    async def get(self, path: str) -> dict[str, object]:
        """What a client that behaves is told."""
        async with self.session.get(self.url + path, headers=self._headers) as answer:
            told: dict[str, object] = await answer.json()
            assert answer.status == 200, told
            return told

    async def all_runs(self) -> dict[str, str]:
        """The names and the runs of all that there is."""
        found, cursor = {}, ""
        while True:
            page = await self.get(f"{RUNS}?limit=1000{cursor}")
            found |= {str(row["workflow"]): str(row["run"]) for row in page["items"]}  # type: ignore[attr-defined]
            if not page["next_cursor"]:
                return found
            cursor = f"&cursor={page['next_cursor']}"

    async def ask(self, asked: Asked, *, library: bool) -> None:
        """Send one, and look at what comes."""
        try:
            answer = await (self._by_library(asked) if library else self._by_hand(asked))
        except (OSError, ValueError, aiohttp.ClientError, asyncio.IncompleteReadError) as error:
            self.statuses[type(error).__name__] += 1
            return
        found = re.match(rb"HTTP/1\.1 (\d+)", answer)
        code = re.search(rb'"code":"([a-z-]+)"', answer)
        self.statuses[b" ".join(one[1] for one in (found, code) if one).decode()] += 1
        wrong = WRONG.findall(answer)
        if PLACE in answer and PLACE not in asked.body:  # a path that the request holds already is no news
            wrong.append(PLACE)
        if asked.whole and not answer:
            wrong.append(b"silence")
        if wrong:
            self.faults.append(f"{wrong} in {answer[:2_000]!r}\nto {asked.raw[:2_000]!r}")
        if found and found[1] == b"202" and (run := re.search(rb'"run":"(\w+)"', answer)):
            self.requests.runs.append(run[1].decode())

    async def _by_library(self, asked: Asked) -> bytes:
        headers = [
            (key.decode("latin-1"), value.decode("latin-1"))
            for key, value in asked.headers
            if key not in (b"Content-Length", b"Transfer-Encoding")
        ]
        target = URL(self.url + asked.target, encoded=True)
        how = {"data": asked.body} if asked.body else {}
        async with (
            asyncio.timeout(ANSWER_SECONDS),
            self.session.request(asked.method, target, headers=headers, **how) as answer,
        ):  # type: ignore[arg-type]
            if answer.content_type == "text/event-stream":
                return b"HTTP/1.1 200 " + await answer.content.read(2_000)
            return b"HTTP/1.1 %d %b\r\n" % (answer.status, str(answer.raw_headers).encode()) + await answer.read()

    async def _by_hand(self, asked: Asked) -> bytes:
        reader, writer = await asyncio.open_connection(self._place.hostname, self._place.port)
        answer = b""
        try:
            writer.write(asked.raw)
            async with asyncio.timeout(ANSWER_SECONDS if asked.whole else 0.3):
                while block := await reader.read(65_536):
                    answer += block
                    if b"Connection: close" not in asked.raw or b"text/event-stream" in answer:
                        break
        except TimeoutError:
            pass  # what is not whole is not answered
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        return answer

    async def completes(self, name: str, store: str = "filesystem") -> None:
        """A workflow that is right does."""
        good = {"json": flow(name, store=store), "headers": self._headers, "params": {"simulate": "true"}}
        async with self.session.post(f"{self.url}{RUNS}/submit", **good) as answer:  # type: ignore[arg-type]
            assert answer.status == 202, await answer.text()
            run = (await answer.json())["run"]
        self.requests.runs.append(run)
        for _ in range(LOOKS):
            if (await self.get(f"{RUNS}/{run}"))["status"] == "Completed":
                return
            await asyncio.sleep(PAUSE)
        raise AssertionError(f"{run} is not Completed")

    async def evaluated(self) -> None:
        """A workflow is checked that has to be evaluated."""
        kind = {**self._headers, "Content-Type": "text/x-nickel"}
        async with self.session.post(f"{self.url}{RUNS}/validate", data=NICKEL, headers=kind) as answer:
            assert answer.status in (200, 503), await answer.text()

    async def well(self, before: Counter[str]) -> None:
        """A workflow that is right completes, nothing else runs, and all descriptors are back."""
        await self.completes("asked-last")
        for _ in range(LOOKS):
            health, more = await self.get("/health"), self.descriptors() - before
            if not health["readers"] and not more:
                break
            await asyncio.sleep(PAUSE)
        assert not more
        ill = [str(store) for store in health["stores"] if not store["ok"]]  # type: ignore[attr-defined]
        assert [words for words in ill if SERVER not in words] == []  # nobody listens where that one should be
        assert (health["still"], health["undriven"], health["readers"]) == ([], 0, 0), health
        names = await self.all_runs()
        assert [name for name in names if not re.match(r"asked-", name)] == []
        print(f"worst lag {health['event_loop_lag_seconds']} s, {len(names)} runs, answers {dict(self.statuses)}")


async def fuzz(home: Path, count: int, seed: int, *, with_tokens: bool) -> None:
    """So many requests."""
    (home / ".config/batchwright").mkdir(parents=True)
    (home / ".config/batchwright/config.toml").write_text(
        (SECRETS + STORE * (not with_tokens)).replace("HOME", str(home))
    )
    lures = [
        str(home / "beside"),
        str(home / "password"),
        str(home / "state" / "tokens.json"),
        "PLANTED",
        f"../../../..{home / 'beside'}",
    ]
    for name in ("beside", "password", "listed"):
        (home / name).write_text(f'"{CANARY}-{name}"\n')
    command = Command(home)
    tokens = {}
    for role in ("admin", "viewer") if with_tokens else ():
        words = "token", "create", "--role", role, "--state-dir", str(home / "state")
        tokens[role] = (await asyncio.to_thread(command.json, *words))["token"]  # it runs a loop of its own
    headers = {"Authorization": f"Bearer {tokens['admin']}"} if with_tokens else {}
    chance = random.Random(seed)
    with service_process(
        home, "--simulate", "--submit-rate", "100000", PLANTED=f"{CANARY}-variable", LISTED=f"{CANARY}-listed"
    ) as (url, process):
        requests = Requests(chance, json.loads(described()), tokens, lures, urlsplit(url).netloc)
        async with aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(PATIENCE), connector=aiohttp.TCPConnector(force_close=True)
        ) as session:
            there = Fuzzed(url, process.pid, requests, headers, session)
            await asyncio.gather(*(there.completes(f"asked-first-{number}") for number in range(4)))
            if with_tokens:  # the other service's is elsewhere, and not there
                await there.completes("asked-elsewhere", "surrealdb")
            await asyncio.gather(*(there.evaluated() for _ in range(16)))  # so that what does this is there
            before = there.descriptors()
            asked = ((requests.one(), chance.random() < BY_LIBRARY) for _ in range(count))

            async def work() -> None:
                for one, library in asked:
                    await there.ask(one, library=library)

            await asyncio.gather(*(work() for _ in range(AT_ONCE)))
            assert not there.faults, f"{len(there.faults)} faults, first:\n" + "\n\n".join(there.faults[:5])
            await there.well(before)
        assert process.poll() is None
    log = (home / "service.log").read_text()
    assert "Traceback" not in log
    assert CANARY not in log


def outputs(home: Path, chance: random.Random, count: int) -> None:
    """Commands that print anything end as their exit says, and their secret is in no journal, log or terminal."""
    secret, command = secret_of(chance), Command(home)
    (home / "secret").write_text(secret + "\n")
    operations = []
    for number in range(count):
        said = home / f"said-{number}"
        said.write_bytes(output(chance, [secret]))
        run = ["sh", "-c", f"cat {said}; exit 0"]
        operations.append(
            {"id": f"c{number}", "type": "command", "run": run, "env": {"S": {"file": str(home / "secret")}}}
        )
    inner = {"name": "says", "version": "1", "operations": operations}
    (home / "flow.json").write_text(json.dumps({"batch_workflow": inner}))
    place = ("--state-dir", str(home / "state"))
    done = [command("run", "flow.json", *place)]
    done += [
        command(*words, *place)
        for words in (("events", "latest"), ("logs", "latest", "c0/run"), ("status", "latest", "--json"))
    ]
    told = "".join(one.stdout + one.stderr for one in done)
    kept = b"".join(path.read_bytes() for path in (home / "state").rglob("*") if path.is_file())
    assert "\x1b" not in told
    for form in forms(secret):
        text = form.decode().strip()
        assert text not in told
        assert form.strip() not in kept
        assert json.dumps(text)[1:-1].encode() not in kept


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A user's folder whose very name no answer may hold."""
    made = tmp_path / PLACE.decode()
    made.mkdir()
    return made


@pytest.mark.parametrize("with_tokens", [True, False])
def test_some_random_requests(home: Path, with_tokens: bool) -> None:
    asyncio.run(fuzz(home, 60, 9, with_tokens=with_tokens))


@pytest.mark.long
@pytest.mark.parametrize("with_tokens", [True, False])
def test_ten_thousand_random_requests(home: Path, with_tokens: bool) -> None:
    asyncio.run(fuzz(home, 5_004, seed_of(), with_tokens=with_tokens))


def test_some_random_outputs_of_commands(home: Path) -> None:
    outputs(home, random.Random(10), 8)


@pytest.mark.long
def test_many_random_outputs_of_commands(home: Path) -> None:
    outputs(home, random.Random(seed_of()), 300)
