"""files and unit on a real server: what is beside the workflow file is put, changed, undone, and leaves nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from batchwright.artifact_tree import read_source
from batchwright.model.call_outcome import Applied, Rejected
from batchwright.model.secret_reference import SecretReference
from batchwright.model.taskserv_variable import VariableType
from batchwright.operations.taskserv_batch import TaskservRequest
from batchwright.operations.taskserv_batch.variables import filled_values, value_problems
from batchwright.taskservs.base import TaskservCall
from tests.real.life import CATALOGUE, Server, on_servers, traces
from tests.real.servers import need_image

SECRET = "pl4nted 'secret' $HOME % \\ \N{SNOWMAN}"
PROGRAM = """
import http.server, os, sys
class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        said = f"{sys.argv[1]} {os.environ['GREETING']} {os.getuid() != 0} VERSION"
        self.send_response(200)
        self.end_headers()
        self.wfile.write(said.encode())
    def log_message(self, *_): pass
print("listening", flush=True)
http.server.HTTPServer((os.environ["ADDRESS"], 8000), Answers).serve_forever()
"""


def asked(folder: Path, name: str, entry: str, variables: dict[str, Any]) -> TaskservRequest:
    """The request that the planner would make."""
    known = CATALOGUE[entry]
    values = filled_values(known, "local", known.flattened(variables))
    assert list(value_problems(known, known.flattened(variables))) == []
    sources = {
        key: read_source(folder / str(value), is_file=variable.type is VariableType.FILE).digest
        for key, value in values.items()
        if (variable := known.variable(key)) and variable.type in (VariableType.SOURCE, VariableType.FILE)
    }
    return TaskservRequest(name, known.version, "default", values, None, known.digest, entry, sources)


class Own(Server, frozen=True):
    """A server that installs with sources from a folder."""

    folder: Path = Path()

    async def put(self, request: TaskservRequest, folder: Path | None = None) -> Applied | Rejected:
        call = TaskservCall(f"{request.name}-job", 600.0, None, self.said.append, str(folder or self.folder))
        outcome = await self.runner.install(request, self.target, call)
        assert isinstance(outcome, Applied | Rejected), outcome
        return outcome

    async def puts(self, request: TaskservRequest, folder: Path | None = None) -> bool:
        outcome = await self.put(request, folder)
        assert isinstance(outcome, Applied), "\n".join([*self.said, str(outcome)])
        return outcome.changed


def program(folder: Path, version: str) -> None:
    (folder / "shop").mkdir(exist_ok=True)
    (folder / "shop" / "app.py").write_text(PROGRAM.replace("VERSION", version))
    start = folder / "shop" / "start"
    start.write_text('#!/bin/sh\nexec python3 app.py "$@"\n')
    start.chmod(0o755)


@pytest.mark.parametrize("image", ["debian-12", pytest.param("debian-13", marks=pytest.mark.long)])
def test_a_program_of_ones_own_and_files_are_put_changed_and_undone(tmp_path: Path, image: str) -> None:
    need_image(image)
    sources, elsewhere = tmp_path / "sources", tmp_path / "elsewhere"
    sources.mkdir()
    elsewhere.mkdir()

    async def scenario(bare: Server) -> None:
        server = Own(bare.target, bare.runner, bare.said, sources)
        before = await traces(server)
        await of_files(server, elsewhere)
        await of_a_unit(server, elsewhere)
        after = await traces(server)
        left = {what: sorted({*after[what]} ^ {*before[what]}) for what in before}
        assert not any(left.values()), left
        assert await server.runner.installed(server.target) == ()
        assert "pl4nted" not in "\n".join(server.said)

    on_servers(tmp_path, ("own",), scenario, SECRET, network="own", image=image)


async def of_files(server: Own, elsewhere: Path) -> None:
    (server.folder / "app.toml").write_text("at = {{ server.name }}\npassword = {{password}}\nlevel = {{ level }}\n")
    await server.sh("echo before > /etc/greeting; chmod 640 /etc/greeting; ln -s /etc/hostname /etc/linked")
    files = {
        "/etc/greeting": {"content": "on ${server.name}\n"},
        "/etc/own/deep/app.toml": {"source": "app.toml", "template": True, "group": "www-data"},
        "/etc/linked": {"content": SecretReference(env="PW"), "mode": "0640"},
    }
    values = {"password": SecretReference(env="PW"), "level": "info"}
    first = asked(server.folder, "settings", "files", {"files": files, "values": values})
    assert await server.runner.preview(first, server.target, TaskservCall(folder=str(server.folder)))
    assert await server.puts(first)
    assert not await server.puts(first), "\n".join(server.said)
    assert await server.sh("cat /etc/greeting; stat -c '%a %U' /etc/greeting") == "on own\n644 root"
    said = await server.sh("cat /etc/own/deep/app.toml; stat -c '%a %G' /etc/own/deep/app.toml")
    assert said == f"at = own\npassword = {SECRET}\nlevel = info\n600 www-data"
    assert await server.sh("cat /etc/linked; stat -c '%a %F' /etc/linked") == f"{SECRET}640 regular file"
    assert await server.is_well(first)
    await server.sh("echo by hand >> /etc/greeting")
    assert not await server.is_well(first)
    assert any("/etc/greeting" in one for one in await server.runner.preview(first, server.target))
    assert await server.puts(first)

    (server.folder / "app.toml").write_text("new = {{ level }}\n")
    second = asked(
        server.folder, "settings", "files", {"files": {k: files[k] for k in list(files)[1:]}, "values": values}
    )
    assert await server.puts(second)
    assert await server.sh("cat /etc/greeting; stat -c %a /etc/greeting") == "before\n640"
    assert await server.sh("cat /etc/own/deep/app.toml") == "new = info"
    assert await server.puts(first, elsewhere)  # the undo: what it was is on the server still
    assert "level = info" in await server.sh("cat /etc/own/deep/app.toml")

    other = asked(server.folder, "more", "files", {"files": {"/etc/greeting": {"content": ""}}})
    refused = await server.put(other)
    assert isinstance(refused, Rejected)
    assert "/etc/greeting is one of the files of settings" in refused.fault.message
    open_to_all = {"files": {"/etc/x": {"content": SecretReference(env="PW"), "mode": "0644"}}}
    refused = await server.put(asked(server.folder, "more", "files", open_to_all))
    assert isinstance(refused, Rejected)
    assert "0600 or 0640" in refused.fault.message
    assert not await server.remove(other)
    assert await server.remove(first)
    assert not await server.remove(first)
    state = await server.sh(
        "cat /etc/greeting; readlink /etc/linked; ls -d /etc/own 2>&1 || true; rm /etc/linked /etc/greeting"
    )
    assert state == "before\n/etc/hostname\nls: cannot access '/etc/own': No such file or directory"


async def of_a_unit(server: Own, elsewhere: Path) -> None:
    program(server.folder, "one")
    environment = {"GREETING": SecretReference(env="PW"), "ADDRESS": "${server.address}", "EMPTY": ""}
    variables = {"source": "shop", "run": ("./start", "a 'b' $HOME %n"), "environment": environment, "port": 8000}
    first = asked(server.folder, "shop", "unit", {**variables, "ready": "/health"})
    look = f"""python3 -c 'import urllib.request as r; print(r.urlopen("http://{server.target.address}:8000").read().decode())'"""
    assert await server.puts(first)
    assert await server.runner.installed(server.target) == ("shop",)
    assert await server.sh(look) == f"a 'b' $HOME %n {SECRET} True one"
    assert not await server.puts(first), "\n".join(server.said)
    assert await server.is_well(first)
    assert "listening" in await server.sh("journalctl -o cat -u shop")
    private = "runuser -u shop -- cat /opt/shop/environment 2>&1; systemctl show -p Environment shop; ps axeww"
    assert "pl4nted" not in (await server.sh(f"{{ {private}; }} | grep -v python3")).replace("GREETING=", "")

    program(server.folder, "two")
    second = asked(server.folder, "shop", "unit", {**variables, "ready": "/health"})
    assert second.sources != first.sources
    refused = await server.put(second, elsewhere)
    assert isinstance(refused, Rejected)
    assert f"there is no {elsewhere}/shop" in refused.fault.message
    program(elsewhere, "three")
    refused = await server.put(second, elsewhere)
    assert isinstance(refused, Rejected)
    assert "is not what was planned" in refused.fault.message
    assert (await server.sh(look)).endswith("one")
    assert await server.puts(second)
    assert (await server.sh(look)).endswith("two")
    assert await server.puts(first, elsewhere)  # the undo, without the source
    assert (await server.sh(look)).endswith("one")

    broken = replace(first, variables={**first.variables, "run": ("./start", "x"), "ready": "/", "port": 8001})
    refused = await server.put(broken)
    assert isinstance(refused, Rejected)
    assert "the check ready fails" in refused.fault.message
    assert "listening" in refused.fault.message
    assert await server.remove(first)
    assert not await server.remove(first)
    assert await server.sh("getent passwd shop; ls -d /opt/shop /var/lib/shop 2>/dev/null; true") == ""
