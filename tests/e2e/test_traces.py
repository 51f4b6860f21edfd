"""Spans at a collector, of a run whose process is killed again and again."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

from tests.support.command_line import Command
from tests.support.webhook_receiver import WebhookReceiver

SERVERS = 24
FILE = """{ batch_workflow = { name = "fleet", version = "1", parallel_limit = 3, operations = [
  { id = "web", type = "server_batch", provider = "upcloud",
    server_configs = std.array.generate
      (fun i => { name = "web-%{std.to_string i}", plan = "1xCPU-1GB", zone = "de-fra1" }) 24 }] } }
"""
SIM = ("--sim", "answer_seconds=0.3", "--sim", "boot_seconds=0.3", "--sim", "transient=0.1")
KILLS = 3


def spans(bodies: list[bytes]) -> list[dict[str, Any]]:
    parts = [json.loads(body)["resourceSpans"][0]["scopeSpans"][0]["spans"] for body in bodies]
    return [span for part in parts for span in part]


def test_a_collector_has_every_span_once_although_the_process_was_killed(tmp_path: Path) -> None:
    (tmp_path / "fleet.ncl").write_text(FILE)
    config = tmp_path / "config/batchwright"
    config.mkdir(parents=True)
    with WebhookReceiver(status=200) as collector:
        secret = '{ env = "COLLECTOR_KEY" }'
        (config / "config.toml").write_text(
            f'[traces]\nurl = "{collector.url}"\nsimulated = true\nheaders = {{ api-key = {secret} }}\n'
        )
        typed = Command(tmp_path, XDG_CONFIG_HOME=str(tmp_path / "config"), COLLECTOR_KEY="of-the-collector")
        words: tuple[str, ...] = ("run", "fleet.ncl", *SIM)
        for kills in range(KILLS):
            process = typed.start(*words, "--state-dir", "state")
            collector.wait_for(kills + 1)
            process.send_signal(signal.SIGKILL)
            process.wait()
            words = ("resume", "latest")
        typed(*words, "--state-dir", "state", code=None)
        typed("trace", "latest", "--otlp", "all.jsonl", "--state-dir", "state")
        headers = {request.headers["api-key"] for request in collector.requests}
        got = spans([request.body for request in collector.requests])
    wanted = spans((tmp_path / "all.jsonl").read_bytes().splitlines())
    assert headers == {"of-the-collector"}
    by_id = {span["spanId"]: span for span in wanted}
    assert len(by_id) == len(wanted) > 2 * SERVERS
    assert {span["spanId"]: span for span in got} == by_id
    assert all(span == by_id[span["spanId"]] for span in got)  # what was sent twice, since nobody knew, is the same
    assert len(got) - len(wanted) <= KILLS * 400
    lives = next(one["events"] for one in wanted if one["name"] == "run fleet")
    assert sum(event["name"] == "driver started" for event in lives) == KILLS + 1
