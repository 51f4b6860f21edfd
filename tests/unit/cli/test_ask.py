"""`ask` as users type it: what docs/agents.md shows works as it stands."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import textwrap
import tomllib
from pathlib import Path

import msgspec
import pytest
from tests.support.command_line import Done, environment, run_in_process
from tests.support.fake_service import fake_service

from batchwright.app.settings import AgentsConfig

DOCS = (Path(__file__).parents[3] / "docs" / "agents.md").read_text(encoding="utf-8")
FILE = """{ batch_workflow = {
  name = "shop", version = "1", operations = [
    { id = "web", type = "server_batch", provider = "upcloud", server_configs = [
      { name = "web-01", plan = "1xCPU-2GB", zone = "de-fra1" },
      { name = "web-02", plan = "1xCPU-2GB", zone = "de-fra1" },
    ] },
  ],
} }
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A folder with a workflow whose newest run has failed for a quota."""
    (tmp_path / "shop.ncl").write_text(FILE, encoding="utf-8")
    done = batchwright(tmp_path, "run shop.ncl --simulate --sim time_scale=0.01 --sim fail=web-02=quota")
    assert done.returncode == 1, done.stderr
    return tmp_path


def batchwright(folder: Path, line: str, **more: str) -> Done:
    env = environment(folder, BATCHWRIGHT_STATE_DIR=str(folder / "state"), **more)
    return run_in_process(shlex.split(line), env, folder)


def test_what_the_docs_show_works(shop: Path) -> None:
    lines = re.findall(r"^    batchwright (ask [^#\n]*[^#\s])", DOCS, re.MULTILINE)
    assert len(lines) >= 5
    for line in lines:
        done = batchwright(shop, line)
        assert done.returncode == 0, (line, done.stderr)
        assert done.stdout


def test_answers_are_counted_and_printed_for_people(shop: Path) -> None:
    done = batchwright(shop, "ask diagnoser latest")
    assert "1 step failed: quota at upcloud de-fra1" in done.stdout
    assert "<data>" not in done.stdout
    told = json.loads(batchwright(shop, "ask diagnoser latest --json").stdout)["reports"][0]
    assert told["payload"]["first_step"] == "web/web-02"
    (row,) = json.loads(batchwright(shop, "ask usage --json").stdout)["usage"]
    assert (row["answers"], row["tokens"], row["calls"]) == (2, 2 * told["tokens"], 0)
    assert "2 answers" in batchwright(shop, "ask usage").stdout


def test_a_ledger_that_cannot_be_written_keeps_no_answer_back(shop: Path) -> None:
    (shop / "state" / "agent-usage").write_text("in the way", encoding="utf-8")
    done = batchwright(shop, "ask monitor latest")
    assert done.returncode == 0
    assert "not counted in the ledger" in done.stderr
    assert "Failed: 1 of 2 steps done, 1 failed." in done.stdout


def test_what_is_shown_is_what_is_sent(shop: Path) -> None:
    shown = json.loads(batchwright(shop, "ask recovery latest --show --json").stdout)
    with fake_service() as service:
        service.on("POST", "/chat/completions", {"choices": [{"message": {"content": "Ask for more quota."}}]})
        place = shop / ".config" / "batchwright"
        place.mkdir(parents=True)
        (place / "config.toml").write_text(f'[agents]\nurl = "{service.url}"\nmodel = "small"\n', encoding="utf-8")
        done = batchwright(shop, "ask recovery latest --model")
        (asked,) = service.asked
    assert done.returncode == 0, done.stderr
    assert [one["content"] for one in asked.json()["messages"]] == [shown[0]["system"], shown[0]["user"]]
    assert "small says (nothing is done by it):" in done.stdout


def test_the_patch_of_an_author_is_printed_byte_for_byte(shop: Path) -> None:
    file = shop / "tabs.ncl"
    file.write_bytes(
        FILE.replace("    ", "\t").replace('1xCPU-2GB", zone', '1xCPU-2GB",\tzone', 1).encode() + b"# \x0c \t\n"
    )
    done = batchwright(shop, "ask author tabs.ncl --like web-02")
    assert done.returncode == 0, done.stderr
    subprocess.run(["patch", "-s", "-p1", "--fuzz=0"], input=done.stdout, text=True, cwd=shop, check=True)
    assert 'name = "web-03"' in file.read_text(encoding="utf-8")


REFUSED = {
    "ask nobody latest": "there is no role 'nobody'",
    "ask monitor": "what is it about?",
    "ask monitor latest --budget 5": "a budget of 5 tokens",
    "ask author shop.ncl": "which change?",
    "ask rehearser shop.ncl": "is no report of a rehearsal",
    "ask monitor latest --model": "no language model is set up",
}


def test_what_cannot_be_answered_says_why(shop: Path) -> None:
    for line, said in REFUSED.items():
        done = batchwright(shop, line)
        assert (done.returncode, said in done.stderr) == (2, True), (line, done.stderr)


def test_the_settings_that_the_docs_show_are_valid() -> None:
    shown = re.search(r"^    \[agents\]\n((?:    \S.*\n)+)", DOCS, re.MULTILINE)
    assert shown is not None
    config = msgspec.convert(tomllib.loads(textwrap.dedent(shown[1])), AgentsConfig)
    assert (config.api, config.daily_calls, config.daily_tokens) == ("openai", 100, 200_000)
