"""What a provider's own contract lets its servers say: gathered as options, and written again as it was."""

from __future__ import annotations

import json

from batchwright.loader import load_source
from batchwright.model.workflow import ServerConfig
from batchwright.operations.server_batch import ServerBatch
from batchwright.views.definition import definition

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMqUWfjiNeiag50772cl3PoSxq0aGHQ0J9iSLVI3g60U me"
STATIC = """{ batch_workflow = { name = "x", version = "1", operations = [{
  id = "s", type = "server_batch", provider = 'static, server_configs = [
    { name = "a", address = "10.0.0.1", host_key = "KEY",
      jump = "hop@gate.example:2222" },
    { name = "b", address = "fe80::1", user = "me", port = 2200, key = "~/.ssh/id", known_hosts = "/etc/known",
      jump = { address = "gate", key = "/keys/gate" }, labels = { role = "web" } },
  ] }] } }"""


def test_what_only_a_providers_own_contract_knows_becomes_options() -> None:
    whole = load_source(STATIC.replace("KEY", KEY), "flow.ncl").workflow
    assert whole is not None
    (batch,) = whole.operations
    assert isinstance(batch, ServerBatch)
    a, b = batch.server_configs
    assert a == ServerConfig(
        "a",
        options={
            "address": "10.0.0.1",
            "host_key": KEY,
            "jump": {"address": "gate.example", "port": 2222, "user": "hop"},
            "port": 22,
            "user": "root",
        },
    )
    assert (b.labels, b.options["port"], b.options["jump"]["port"]) == ({"role": "web"}, 2200, 22)
    assert b.options["key"] == "~/.ssh/id"
    again = json.dumps({"batch_workflow": definition(whole)})
    assert load_source(again, "again.json").workflow == whole
