"""Servers for OpenSSH and Ansible, whatever clouds and files say: read back by the real tools."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.support.examples import share
from tests.support.needs import tool

from batchwright.errors import UsageError
from batchwright.model.openssh_command import is_plain
from batchwright.model.ssh_access import SshAccess
from batchwright.views.ansible_inventory import inventory_ini, inventory_json
from batchwright.views.host_aliases import LoginHost, aliases
from batchwright.views.ssh_config import ssh_config

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFfplimWnViY9wu5MK1IS6q6QeNQIzqZwtogRcsp1Mvo"
GATE = SshAccess("gate.example", "hop", 2222, "/keys/the gate's key", (KEY,))
WEB = LoginHost(
    "web-1", "upcloud", "0123-abc", "rfgjo5s5ar24", "de-fra1", "1xCPU-2GB", "shop/staging", "web-servers",
    ("nginx", "redis"), SshAccess("10.0.0.5", "root", 22, "/keys/team key", (KEY,)), "/state/known_hosts/upcloud",
)  # fmt: skip
DB = replace(WEB, alias="db", access=SshAccess("fd00::5", "admin", 2200, "", (KEY,), GATE), taskservs=())


def asked_of_ssh(text: str, alias: str, folder: Path) -> dict[str, str]:
    """What OpenSSH itself makes of the file."""
    tool("ssh", "scripts/local.sh")
    file = folder / "ssh config"
    file.write_text(text)
    done = subprocess.run(["ssh", "-G", "-F", str(file), alias], capture_output=True, text=True, check=True)
    return dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)


def test_openssh_reads_what_is_written(tmp_path: Path) -> None:
    text = ssh_config([WEB, DB])
    web, db = asked_of_ssh(text, "web-1", tmp_path), asked_of_ssh(text, "db", tmp_path)
    assert (web["hostname"], web["user"], web["port"]) == ("10.0.0.5", "root", "22")
    assert web["identityfile"] == "/keys/team key"
    assert (web["identitiesonly"], web["stricthostkeychecking"]) == ("yes", "true")
    assert web["userknownhostsfile"] == "/state/known_hosts/upcloud"
    assert web["globalknownhostsfile"] == "/dev/null"
    assert (db["hostname"], db["user"], db["port"]) == ("fd00::5", "admin", "2200")
    assert shlex.split(db["proxycommand"].replace("%%", "%"))[:3] == ["ssh", "-i", "/keys/the gate's key"]
    assert db["proxycommand"].endswith("-W '[%h]:%p' hop@gate.example")


@pytest.mark.parametrize("path", ['/a "b"/key', "/a\nProxyCommand evil", "/a\\b", "/${HOME}/key"])
def test_a_path_that_the_file_cannot_hold_is_refused(path: str) -> None:
    for host in (replace(WEB, access=replace(WEB.access, key=path)), replace(WEB, known_hosts=path)):
        with pytest.raises(UsageError, match="cannot hold this path"):
            ssh_config([host])


def test_a_percent_sign_in_a_path_means_nothing(tmp_path: Path) -> None:
    odd = replace(WEB, access=replace(WEB.access, key="/keys/100%h"), known_hosts="/state/%d/known")
    read = asked_of_ssh(ssh_config([odd]), "web-1", tmp_path)
    assert read["identityfile"] == "/keys/100%%h", "it is shown as it is written, and read as one"
    assert read["userknownhostsfile"] == "/state/%d/known"


@pytest.mark.parametrize(
    ("host", "user"),
    [("-oProxyCommand=x", "root"), ("10.0.0.5\nHost *", "root"), ("a b", "root"), ("10.0.0.5", "-oProxyCommand=x"),
     ("10.0.0.5", "a b"), ("10.0.0.5", "root\n"), ("", "root"), ("10.0.0.5", "")],
)  # fmt: skip
def test_hosts_and_users_that_are_no_plain_words_are_not_logged_in_to(host: str, user: str) -> None:
    assert is_plain(WEB.access)
    assert is_plain(DB.access)
    assert not is_plain(SshAccess(host, user))
    assert not is_plain(replace(WEB.access, jump=SshAccess(host, user)))


@settings(max_examples=share(100))
@given(st.lists(st.tuples(st.text(max_size=8), st.integers(0, 999).map("ref-{}".format)), unique_by=lambda p: p[1]))
def test_an_alias_is_one_plain_word_for_one_server(pairs: list[tuple[str, str]]) -> None:
    found = aliases(pairs)
    assert len(set(found)) == len(pairs)
    for alias in found:
        assert alias not in ("all", "ungrouped", "localhost")
        assert alias[0].isalnum()
        assert all(letter.isascii() and (letter.isalnum() or letter in "._-") for letter in alias)


HOSTILE = (
    "{{ lookup('pipe', 'touch EVIL') }}", "a b=c", "it's", '"quoted"', "x\nevil ansible_host=1.2.3.4", "[all]",
    "#comment", "True", "12", "1.5", "None", "{% raw %}", "ünï", "\\n", "{'a': 1}", "-x", "{# #}", "\u2028",
    "\x85", "\x0b", "a\x1cb", "\U0001f600",
)  # fmt: skip


PLAYBOOK = """\
- hosts: all
  gather_facts: false
  connection: local
  tasks:
    - copy:
        dest: "{{ folder }}/{{ inventory_hostname }}.json"
        content: "{{ told | to_json }}"
      vars:
        told:
          %s
"""
SHOWN = (
    *("ansible_host", "ansible_port", "ansible_user", "ansible_ssh_private_key_file", "ansible_ssh_common_args"),
    *(f"batchwright_{word}" for word in ("ref", "zone", "plan", "environment", "operation", "taskservs")),
)


def read_by_ansible(inventory: Path, folder: Path) -> dict[str, dict[str, Any]]:
    """The variables of all hosts as a task sees them, after templating."""
    binary = tool("ansible-playbook", "scripts/setup.sh")
    folder.mkdir()
    (folder / "play.yaml").write_text(
        PLAYBOOK % "\n          ".join(f"{name}: \"{{{{ {name} | default('') }}}}\"" for name in SHOWN)
    )
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "LC_ALL": "C.UTF-8"}
    more = [
        "-e",
        f"folder={folder}",
        "-e",
        "ansible_become=false",
        "-e",
        f"ansible_python_interpreter={sys.executable}",
    ]
    line = [binary, "-i", str(inventory), *more, str(folder / "play.yaml")]
    done = subprocess.run(line, env=environ, capture_output=True, text=True, timeout=300, check=False, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return {path.stem: msgspec.json.decode(path.read_bytes()) for path in folder.glob("*.json")}


@pytest.mark.long
def test_ansible_reads_what_is_written_and_carries_out_none_of_it(tmp_path: Path) -> None:
    fields = [("zone", "plan", "environment", "operation")[i % 4] for i in range(len(HOSTILE))]
    mark = tmp_path / "evil"
    texts = [text.replace("EVIL", str(mark)) for text in HOSTILE]
    hosts = [WEB, DB] + [
        replace(WEB, alias=f"h{i}", ref=text, taskservs=(text, text), **{field: text})
        for i, (text, field) in enumerate(zip(texts, fields, strict=True))
    ]
    ini, script = tmp_path / "hosts.ini", tmp_path / "hosts.sh"
    ini.write_text(inventory_ini(hosts))
    (tmp_path / "hosts.json").write_text(inventory_json(hosts))
    script.write_text(f"#!/bin/sh\nexec cat {shlex.quote(str(tmp_path / 'hosts.json'))}\n")
    script.chmod(0o700)
    for inventory in (ini, script):
        seen = read_by_ansible(inventory, tmp_path / inventory.suffix.removeprefix("."))
        assert set(seen) == {host.alias for host in hosts}
        for host in hosts:
            told = seen[host.alias]
            assert told["batchwright_ref"] == host.ref
            for name in ("zone", "plan", "environment", "operation"):
                assert told[f"batchwright_{name}"] == getattr(host, name)
            assert (told["ansible_host"], told["ansible_user"]) == (host.access.host, host.access.user)
            assert told["ansible_ssh_private_key_file"] == host.access.key
            assert tuple(told["batchwright_taskservs"] or ()) == host.taskservs
        options = shlex.split(seen["db"]["ansible_ssh_common_args"])
        assert 'UserKnownHostsFile="/state/known_hosts/upcloud"' in options
        assert any(option.startswith("ProxyCommand=ssh -i '/keys/the gate'") for option in options)
    assert not mark.exists()


def test_groups_are_words_of_ansible_and_two_names_do_not_share_one() -> None:
    told = msgspec.json.decode(inventory_json([WEB, DB, replace(WEB, alias="x", operation="web_servers")]))
    groups = set(told) - {"_meta"}
    assert {"environment_shop_staging", "operation_web_servers", "provider_upcloud", "taskserv_nginx"} < groups
    assert told["operation_web_servers"]["hosts"] == ["web-1", "db"]
    (other,) = [name for name in groups if name.startswith("operation_web_servers_")]
    assert told[other]["hosts"] == ["x"]
    assert told["_meta"]["hostvars"]["web-1"]["batchwright_taskservs"] == ["nginx", "redis"]
