"""Webhooks with the real command and the real service, and a receiver on loopback."""

from __future__ import annotations

import asyncio
import base64
import re
import signal
import urllib.request
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.support.command_line import PATIENCE, Command
from tests.support.nushell import ROOT, Nu
from tests.support.service_process import service_process
from tests.support.webhook_receiver import WebhookReceiver

from batchwright.app.webhook_delivery import WebhookDeliverer
from batchwright.client import local
from batchwright.journal.base import Journal
from batchwright.model.delivery import Delivery

LOOKS = 6_000  # at something that is bound to happen
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
FAST = ("--sim", "answer_seconds=0", "--sim", "boot_seconds=0")
FILE = """{{ batch_workflow = {{ name = "shop", version = "1", operations = [
  {{ id = "web", type = "server_batch", provider = "upcloud",
    server_configs = [{{ name = "a", plan = "1xCPU-1GB", zone = "de-fra1" }}] }}],
  notify = [{{ name = "ci", url = "{url}", secret = {{ env = "CI_SECRET" }}, simulated = true }}] }} }}
"""
CONFIG = """[webhooks]
private_hosts = ["127.0.0.1"]
[service]
secrets = {{ env = ["CI_SECRET"] }}
{more}
"""


def user(folder: Path, url: str, more: str = "") -> Command:
    (folder / "shop.ncl").write_text(FILE.format(url=url))
    configured(folder, more)
    return Command(folder, XDG_CONFIG_HOME=str(folder / "config"), CI_SECRET=SECRET)


def configured(folder: Path, more: str = "") -> dict[str, str]:
    config = folder / "config" / "batchwright"
    config.mkdir(parents=True, exist_ok=True)
    (config / "config.toml").write_text(CONFIG.format(more=more))
    return {"XDG_CONFIG_HOME": str(folder / "config"), "CI_SECRET": SECRET}


def run(typed: Command, *words: str) -> tuple[str, str]:
    """A run of the file; gives its id and what was said on stderr."""
    done = typed("run", "shop.ncl", *FAST, "--state-dir", "state", *words)
    return re.findall(r"^run (\w{12})$", done.stdout, re.MULTILINE)[0], done.stderr


def documented() -> dict[str, Any]:
    """The receiver's part in docs/webhooks.md."""
    text = (ROOT / "docs" / "webhooks.md").read_text()
    [code] = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    known: dict[str, Any] = {}
    exec(code, known)
    return known


def test_a_run_tells_what_happens_and_the_documented_receiver_verifies_it(tmp_path: Path) -> None:
    with WebhookReceiver() as receiver:
        typed = user(tmp_path, receiver.url + "?token=hidden")
        found, said = run(typed)
        assert "webhook" not in said
        typed("rollback", found, "--yes", "--state-dir", "state")
    types = [msgspec.json.decode(one.body)["type"] for one in receiver.requests]
    assert types == ["run.started", "run.completed", "run.rolling_back", "run.rolled_back"]
    verified = documented()["verified"]
    for one in receiver.requests:
        assert verified(SECRET, one.headers, one.body)
        assert not verified(SECRET, one.headers, one.body + b" ")
        assert not verified("whsec_" + "A" * 44, one.headers, one.body)
        assert not verified(SECRET, {**one.headers, "webhook-timestamp": "1000000000"}, one.body)
    [line] = typed.json("webhooks", "list", "shop", "--state-dir", "state")["webhooks"]
    assert (line["run"], line["webhook"], line["receiver"]) == (found, "workflow/ci", receiver.shown)
    assert (line["state"], line["delivered"], line["answer"]) == ("delivered", 4, "204")
    stored = (tmp_path / "state" / "journal.db").read_bytes() + typed(
        "events", found, "--state-dir", "state"
    ).stdout.encode()
    assert SECRET.encode() not in stored


@pytest.fixture
def tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the end of a run a command waits for the first try of each message, not for seconds."""
    flush = WebhookDeliverer.flush

    async def flushed(self: WebhookDeliverer, journal: Journal, run: str, seconds: float) -> list[Delivery]:
        if seconds != local.FLUSH_SECONDS:  # what is sent again
            return await flush(self, journal, run, seconds)
        for _ in range(LOOKS):
            if all(row.attempts for row in await journal.deliveries(run)):
                break
            await asyncio.sleep(0.01)
        return await flush(self, journal, run, 0.0)

    monkeypatch.setattr(WebhookDeliverer, "flush", flushed)


@pytest.mark.usefixtures("tried_once")
def test_what_a_command_could_not_deliver_is_said_kept_and_sent_again(tmp_path: Path) -> None:
    with WebhookReceiver() as receiver:
        pass  # its port is free again: nobody listens
    typed = user(tmp_path, receiver.url)
    found, said = run(typed)
    assert f"webhook workflow/ci ({receiver.shown}) was not told everything yet: " in said
    assert f"batchwright webhooks resend {found}" in said
    shown = typed("webhooks", "list", "--state-dir", "state").stdout
    assert re.search(rf"^{found}  workflow/ci  \S+ +retrying +0 ", shown, re.MULTILINE)
    with WebhookReceiver(port=receiver.port) as receiver:
        typed("webhooks", "resend", found, "--state-dir", "state")
        assert receiver.ids() == [f"{found}:3", receiver.ids()[-1]]
        [line] = typed.json("webhooks", "list", "--state", "delivered", "--state-dir", "state")["webhooks"]
        assert (line["delivered"], line["state"]) == (2, "delivered")
        typed("webhooks", "resend", f"{found}:3", "--state-dir", "state")
        assert receiver.ids()[2:] == [f"{found}:3"]
        refused = typed("webhooks", "resend", f"{found}:4", "--state-dir", "state", code=2)
        assert f"nothing about event 4 of run {found} is told to a webhook [webhook-not-found]" in refused.stderr
        refused = typed("webhooks", "resend", "--failed", "--state-dir", "state", code=2)
        assert "nothing about any run was given up" in refused.stderr


def test_a_command_that_is_killed_leaves_its_messages_to_the_next(tmp_path: Path) -> None:
    with WebhookReceiver() as receiver:
        typed = user(tmp_path, receiver.url)
        receiver.hold()
        process = typed.start("run", "shop.ncl", *FAST, "--state-dir", "state")
        receiver.wait_for(1)
        process.kill()
        process.wait(PATIENCE)
        receiver.release()
        [row] = typed.json("list", "--state-dir", "state")["runs"]
        if row["status"] != "Completed":  # it may have ended just before
            typed("resume", row["run"], "--state-dir", "state")
        typed("webhooks", "resend", row["run"], "--state-dir", "state")
        ids = receiver.ids()
        assert ids[:2] == [f"{row['run']}:3"] * 2
        [line] = typed.json("webhooks", "list", "--state-dir", "state")["webhooks"]
        assert (line["state"], ids[-1].partition(":")[0]) == ("delivered", row["run"])


@pytest.mark.usefixtures("tried_once")
def test_a_redirect_leads_nowhere(tmp_path: Path) -> None:
    with WebhookReceiver(status=307) as receiver:
        found, said = run(user(tmp_path, receiver.url))
        assert "was not told everything yet: 307: redirects are not followed" in said
        assert receiver.ids() == [f"{found}:3"]


def ask(url: str, path: str, method: str = "GET") -> Any:
    request = urllib.request.Request(url + path, method=method, data=b"" if method == "POST" else None)
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return msgspec.json.decode(answer.read())


def submitted(url: str, file: Path) -> str:
    request = urllib.request.Request(
        url + "/v1/workflows/batch/submit?simulate=true&sim=answer_seconds%3D0&sim=boot_seconds%3D0",
        data=file.read_bytes(),
        headers={"Content-Type": "text/x-nickel"},
    )
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return str(msgspec.json.decode(answer.read())["run"])


def test_a_service_that_is_killed_before_it_knows_the_answer_sends_again(tmp_path: Path) -> None:
    """SIGKILL between the message and the cursor, of the file's webhook and of the operator's."""
    with WebhookReceiver() as receiver, WebhookReceiver() as other:
        more = f'[[notify]]\nname = "ops"\nurl = "{other.url}"\nsecret = {{ env = "CI_SECRET" }}\nsimulated = true'
        user(tmp_path, receiver.url, more)
        env = configured(tmp_path, more)
        receiver.hold()
        with service_process(tmp_path, **env) as (url, process):
            run = submitted(url, tmp_path / "shop.ncl")
            receiver.wait_for(1)
            other.wait_for(2)  # one that hangs does not delay the others
            process.send_signal(signal.SIGKILL)
            process.wait(PATIENCE)
        receiver.release()
        assert receiver.ids() == [f"{run}:3"]
        with service_process(tmp_path, **env) as (url, _):
            receiver.wait_for(3)
            ended = receiver.ids()[-1]
            assert receiver.ids() == [f"{run}:3", f"{run}:3", ended]
            other.wait_for(2)
            assert list(dict.fromkeys(other.ids())) == [f"{run}:3", ended]
            again = ask(url, f"/v1/webhooks/resend?run={run}&event=3", "POST")["items"]
            assert [line["again"] for line in again] == [[f"{run}:3"], [f"{run}:3"]]
            receiver.wait_for(4)
            assert receiver.ids()[-1] == f"{run}:3"
            nu = Nu(tmp_path, url)
            rows = nu.value("batch webhooks latest | select run webhook receiver | sort-by webhook")
            assert rows == [
                {"run": run, "webhook": "config/ops", "receiver": other.shown},
                {"run": run, "webhook": "workflow/ci", "receiver": receiver.shown},
            ]
            assert len(nu.value(f"batch resend-webhooks {run} --event 3")) == 2
            receiver.wait_for(5)
            assert nu("batch resend-webhooks --failed").returncode != 0
