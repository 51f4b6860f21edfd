"""`batchwright mcp`, started by the official SDK's client as a user's own client starts it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from tests.support.command_line import Command, environment
from tests.support.mcp_clients import over_pipes, told

CANARY = "cAnArY-4711-sEcReT"
FILE = {
    "batch_workflow": {
        "name": "shop",
        "version": "1",
        "operations": [
            {
                "id": "web",
                "type": "server_batch",
                "provider": "simulated",
                "server_configs": [{"name": "web-1", "plan": "small", "zone": "zone-a"}],
            },
            {
                "id": "tell",
                "type": "command",
                "run": ["/bin/sh", "-c", f"echo password={CANARY}; exit 3"],
                "env": {"API_TOKEN": CANARY},
                "idempotent": True,
                "retry": {"max_attempts": 1},
            },
        ],
    }
}


def test_a_client_starts_the_command_and_reads(tmp_path: Path) -> None:
    shell = Command(tmp_path)
    (tmp_path / "shop.json").write_text(json.dumps(FILE))
    (tmp_path.parent / "outside.json").write_text(json.dumps(FILE))
    shell("run", "shop.json", "--state-dir", "state", code=1)  # the program ends with 3

    async def main() -> list[str]:
        words = "--state-dir", str(tmp_path / "state"), "--folder", str(tmp_path)
        texts = []
        async with over_pipes(*words, env=environment(tmp_path)) as client:
            assert [one.name for one in (await client.list_tools()).tools][-1] == "plan_change"
            failed, text = await told(client, "diagnose")
            assert (failed, "tell" in text) == (False, True)
            texts.append(text)
            for tool, given in (
                ("status", {}),
                ("show", {"what": "tell"}),
                ("find", {"query": "log step=tell"}),
                ("find", {"query": "events"}),
                ("plan_change", {"action": "rollback"}),
            ):
                failed, text = await told(client, tool, **given)
                assert not failed, text
                texts.append(text)
            failed, text = await told(client, "plan_change", action="run", file="shop.json")
            assert (failed, "nothing was changed" in text) == (False, True), text
            texts.append(text)
            failed, text = await told(client, "plan_change", action="run", file="shop.json", like="web-1", count=2)
            assert (failed, "adds to web in shop.json: web-2 web-3" in text) == (False, True), text
            assert json.loads((tmp_path / "shop.json").read_text()) == FILE  # the file stays as it is
            for outside in ("../outside.json", "/etc/hostname", "state/journal.db"):
                assert (await told(client, "plan_change", action="run", file=outside))[0]
        return texts

    texts = asyncio.run(main())
    assert any("***" in text for text in texts)
    assert CANARY not in "".join(texts)


def test_nothing_is_applied_without_a_service(tmp_path: Path) -> None:
    refused = Command(tmp_path)("mcp", "--allow-apply", "--state-dir", "state", code=2)
    assert "--allow-apply needs a service" in refused.stderr
