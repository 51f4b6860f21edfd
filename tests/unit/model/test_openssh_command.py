"""How a server is reached, as a known_hosts file and as a command line of OpenSSH."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

from batchwright.model.openssh_command import known_hosts, ssh_command
from batchwright.model.ssh_access import SshAccess
from tests.support.needs import tool

KEY, OTHER = "ssh-ed25519 AAAAkey", "ecdsa-sha2-nistp256 AAAAother"
GATE = SshAccess("gate.example", "hop", 2222, "/keys/gate", (OTHER,))


def test_known_hosts_names_every_key_of_every_hop_once() -> None:
    web = SshAccess("10.0.0.1", host_keys=(KEY, OTHER), jump=GATE)
    db = SshAccess("10.0.0.2", port=2200, host_keys=(KEY,), jump=GATE)
    assert known_hosts([web, db]).splitlines() == [
        f"10.0.0.1 {OTHER}",
        f"10.0.0.1 {KEY}",
        f"[10.0.0.2]:2200 {KEY}",
        f"[gate.example]:2222 {OTHER}",
    ]
    assert known_hosts([]) == ""


def test_a_plain_server_is_reached_by_a_plain_line() -> None:
    assert ssh_command(SshAccess("10.0.0.1")) == ["ssh", "root@10.0.0.1"]
    assert ssh_command(GATE) == [
        "ssh",
        "-i",
        "/keys/gate",
        "-o",
        "IdentitiesOnly=yes",
        "-p",
        "2222",
        "hop@gate.example",
    ]


def test_the_words_of_a_command_arrive_as_they_are() -> None:
    assert ssh_command(SshAccess("a"), command=["echo", "two  blanks", "$HOME"])[-5:] == [
        "--",
        "root@a",
        "echo",
        "'two  blanks'",
        "'$HOME'",
    ]


def test_openssh_understands_it(tmp_path: Path) -> None:
    tool("ssh", "scripts/local.sh")
    key = tmp_path / "my key"
    key.touch(mode=0o600)
    inner = SshAccess("inner", "hop2", 2201, "/keys/100% mine", (KEY,), GATE)
    line = ssh_command(SshAccess("10.0.0.1", "admin", 2022, str(key), (KEY,), inner), "/state/100% known")
    told = subprocess.run([line[0], "-G", *line[1:]], capture_output=True, text=True, check=True, timeout=20).stdout
    config = dict(setting.partition(" ")[::2] for setting in told.splitlines())
    assert (config["hostname"], config["user"], config["port"]) == ("10.0.0.1", "admin", "2022")
    assert config["stricthostkeychecking"] == "true"
    assert config["identityfile"] == str(key)

    proxy = shlex.split(config["proxycommand"].replace("%%", "\0").replace("%h", "10.0.0.1").replace("\0", "%"))
    assert proxy[-3:] == ["-W", "[10.0.0.1]:%p", "hop2@inner"]
    assert 'IdentityFile="/keys/100%% mine"' in proxy
    assert 'UserKnownHostsFile="/state/100%% known"' in proxy
    (further,) = (word for word in proxy if word.startswith("ProxyCommand="))
    assert shlex.split(further)[-3:] == ["-W", "[%h]:%p", "hop@gate.example"]
