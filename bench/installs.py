"""Installs beside peers: nginx with a configuration of its own on 8 fresh local servers, and again where it is there.

`python -m bench.installs [ROUNDS]` prints a table. Bare pyinfra and ansible-core do the same work with the same files,
packages and parallelism, each from an environment of its own, and check each server over HTTP as Batchwright does.
"Again" is with --reinstall for Batchwright: each server is looked at, as the others do. Its same command again, which
installs nothing that the environment has, is told beside it. Making and destroying the servers is not counted. Each
tool gets fresh servers in each round.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Mapping
from pathlib import Path

SERVERS = 8
PEERS = {"pyinfra": "pyinfra==3.10.0", "ansible": "ansible-core==2.19.14"}
FIRST_MOST, AGAIN_MOST, ANSIBLE_MOST = 1.15, 0.8, 0.5  # of bare pyinfra, and of ansible in both

MAIN = """\
user www-data;
worker_processes auto;
pid /run/nginx.pid;
error_log /var/log/nginx/error.log;
include /etc/nginx/modules-enabled/*.conf;
events { worker_connections 512; }
http {
    include /etc/nginx/mime.types;
    access_log /var/log/nginx/access.log;
    include /etc/nginx/conf.d/*.conf;
}
"""
SITE = "server { listen ADDRESS:8080 default_server; root /var/www/html; index index.nginx-debian.html; }\n"

PYINFRA = """\
from io import StringIO
from pathlib import Path
from pyinfra import host
from pyinfra.operations import apt, files, server, systemd
from pyinfra.operations.util import any_changed

apt.packages(packages=["nginx"], no_recommends=True)
main = files.put(src="nginx.conf", dest="/etc/nginx/nginx.conf", mode="644")
site = StringIO(Path("site.conf").read_text().replace("ADDRESS", host.data.ssh_hostname))
own = files.put(src=site, dest="/etc/nginx/conf.d/own.conf", mode="644")
server.shell(commands=["nginx -t -q"], _if=any_changed(main, own))
systemd.service(service="nginx", running=True, enabled=True)
systemd.service(service="nginx", running=True, restarted=True, _if=any_changed(main, own))
server.shell(commands=[f"curl -fsS --retry 5 --retry-connrefused -o /dev/null http://{host.data.ssh_hostname}:8080/"])
"""

ANSIBLE = """\
- hosts: provider_local
  gather_facts: false
  tasks:
    - apt: { name: nginx, install_recommends: false }
    - copy: { src: nginx.conf, dest: /etc/nginx/nginx.conf, mode: "644" }
      register: main
    - copy:
        content: "{{ lookup('file', 'site.conf').replace('ADDRESS', ansible_host) }}\\n"
        dest: /etc/nginx/conf.d/own.conf
        mode: "644"
      register: own
    - command: nginx -t -q
      when: main.changed or own.changed
    - systemd_service: { name: nginx, enabled: true, state: started }
    - systemd_service: { name: nginx, state: restarted }
      when: main.changed or own.changed
    - uri: { url: "http://{{ ansible_host }}:8080/" }
      register: answer
      until: answer.status == 200
      retries: 5
      delay: 1
"""
ANSIBLE_SETTINGS = """\
[defaults]
forks = 10
host_key_checking = true
[ssh_connection]
pipelining = true
ssh_args = -o ControlMaster=auto -o ControlPersist=60s -o ControlPath=FOLDER/%C
"""


class Servers:
    """Fresh local servers in a state folder of their own; `batchwright` is called there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environ = {**os.environ, "BATCHWRIGHT_STATE_DIR": str(folder / "state")}

    def __enter__(self) -> Servers:
        self.workflow(nginx=False)
        self.batchwright("run", "bench.json")
        return self

    def __exit__(self, *_: object) -> None:
        self.batchwright("destroy", "bench", "--yes")

    def workflow(self, *, nginx: bool) -> None:
        """Write the workflow file."""
        configs = [{"name": f"web-{at}", "plan": "1xCPU-512MB", "zone": "here"} for at in range(SERVERS)]
        operations: list[dict[str, object]] = [
            {"id": "servers", "type": "server_batch", "provider": "local", "server_configs": configs}
        ]
        if nginx:
            entry = {"name": "nginx", "variables": {"port": 8080, "worker_connections": 512}}
            operations.append(
                {"id": "web", "type": "taskserv_batch", "provider": "local", "dependencies": ["servers"],
                 "taskservs": [entry]}
            )  # fmt: skip
        batch = {"name": "bench", "version": "1.0", "operations": operations}
        (self.folder / "bench.json").write_text(json.dumps({"batch_workflow": batch}))

    def batchwright(self, *words: str) -> str:
        """What the command prints."""
        return call([sys.executable, "-m", "batchwright", *words], self.folder, self.environ)


def call(command: list[str], folder: Path, environ: Mapping[str, str]) -> str:
    """What a command prints. Raises RuntimeError with its output if it fails."""
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def batchwright(servers: Servers) -> tuple[Callable[[], object], ...]:
    """First; again, each server looked at; and a run that finds nothing to do."""
    servers.workflow(nginx=True)
    return (
        lambda: servers.batchwright("run", "bench.json"),
        lambda: servers.batchwright("run", "bench.json", "--reinstall", "nginx"),
        lambda: servers.batchwright("run", "bench.json"),
    )


def pyinfra(servers: Servers) -> tuple[Callable[[], object], ...]:
    """First and again."""
    folder = servers.folder
    listed = servers.batchwright("servers", "--inventory", "json")
    hosts = json.loads(listed)["_meta"]["hostvars"]
    inventory = [
        (name, {
            "ssh_hostname": each["ansible_host"], "ssh_user": "root", "ssh_key": each["ansible_ssh_private_key_file"],
            "ssh_known_hosts_file": str(folder / "state/known_hosts/local"), "ssh_strict_host_key_checking": "yes",
        })
        for name, each in hosts.items()
    ]  # fmt: skip
    (folder / "inventory.py").write_text(f"servers = {inventory!r}\n")
    (folder / "install.py").write_text(PYINFRA)
    command = [str(environment("pyinfra") / "bin/pyinfra"), "-y", "inventory.py", "install.py"]
    return (lambda: call(command, folder, servers.environ),) * 2


def ansible(servers: Servers) -> tuple[Callable[[], object], ...]:
    """First and again; its master connections of the first end before the second."""
    folder = servers.folder
    (folder / "hosts").write_text(servers.batchwright("servers", "--inventory", "ini"))
    (folder / "install.yml").write_text(ANSIBLE)
    sockets = folder / "sockets"
    sockets.mkdir()
    (folder / "ansible.cfg").write_text(ANSIBLE_SETTINGS.replace("FOLDER", str(sockets)))
    command = [str(environment("ansible") / "bin/ansible-playbook"), "-i", "hosts", "install.yml"]
    environ = {**servers.environ, "ANSIBLE_CONFIG": str(folder / "ansible.cfg"), "HOME": str(folder)}

    def play() -> None:
        call(command, folder, environ)
        for socket in sockets.iterdir():
            subprocess.run(["ssh", "-o", f"ControlPath={socket}", "-O", "exit", "x"], check=False, capture_output=True)

    return (play,) * 2


def environment(peer: str) -> Path:
    """The peer's own virtual environment, made at its first use."""
    place = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "batchwright-bench" / PEERS[peer]
    if not (place / "done").exists():
        venv.create(place, with_pip=True, clear=True)
        subprocess.run([place / "bin/pip", "install", "-q", PEERS[peer]], check=True, capture_output=True)
        (place / "done").touch()
    return place


def measure(tool: Callable[[Servers], tuple[Callable[[], object], ...]]) -> list[tuple[float, float]]:
    """Seconds, and CPU seconds here and on the servers together, of each of its calls, on servers of its own."""
    figures = []
    with tempfile.TemporaryDirectory() as folder, Servers(Path(folder)) as servers:
        (servers.folder / "nginx.conf").write_text(MAIN)
        (servers.folder / "site.conf").write_text(SITE)
        for step in tool(servers):
            cpu, start = _cpu(servers), time.perf_counter()
            step()
            figures.append((time.perf_counter() - start, _cpu(servers) - cpu))
    return figures


def _cpu(servers: Servers) -> float:
    """Of processes that have ended here, and of the servers' control groups, of either version."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    total = used.ru_utime + used.ru_stime
    for server in (servers.folder / "state/local/servers").iterdir():
        group = f"batchwright-{server.name}"
        for file in Path("/sys/fs/cgroup").glob(f"cpuacct/{group}/cpuacct.usage"):
            total += int(file.read_text()) / 1e9
        for file in Path("/sys/fs/cgroup").glob(f"{group}/cpu.stat"):
            total += int(file.read_text().split()[1]) / 1e6
    return total


def main(rounds: int) -> None:
    """Each tool in turn, as often as asked; the median of each counts."""
    tools = {"batchwright": batchwright, "pyinfra": pyinfra, "ansible": ansible}
    seen: dict[str, list[list[tuple[float, float]]]] = {name: [] for name in tools}
    for _ in range(rounds):
        for name, tool in tools.items():
            seen[name].append(measure(tool))
    medians = {name: [_median(column) for column in zip(*rows, strict=True)] for name, rows in seen.items()}
    print(f"| {SERVERS} servers, nginx, median of {rounds} | first, s | CPU s | again, s | CPU s |")
    print("|--|--|--|--|--|")
    labels = {"batchwright": "Batchwright", "pyinfra": PEERS["pyinfra"], "ansible": PEERS["ansible"]}
    for name, ((first, first_cpu), (again, again_cpu), *_) in medians.items():
        spread = ["/".join(f"{row[at][0]:.1f}" for row in seen[name]) for at in (0, 1)]
        print(
            f"| {labels[name]} | {first:.1f} ({spread[0]}) | {first_cpu:.1f} | {again:.1f} ({spread[1]}) "
            f"| {again_cpu:.1f} |"
        )
    (ours, again), peer, other = [[each[0] for each in medians[name][:2]] for name in tools]
    print()
    same = medians["batchwright"][2][0]
    print(f"The same command again: {same:.1f} s, {same / peer[1]:.2f} of pyinfra; it looks at the servers only.")
    print(f"First: {ours / peer[0]:.2f} of pyinfra (goal {FIRST_MOST}), {ours / other[0]:.2f} of ansible "
          f"(goal {ANSIBLE_MOST}).")  # fmt: skip
    print(f"Again: {again / peer[1]:.2f} of pyinfra (goal {AGAIN_MOST}), {again / other[1]:.2f} of ansible "
          f"(goal {ANSIBLE_MOST}).")  # fmt: skip


def _median(column: tuple[tuple[float, float], ...]) -> tuple[float, float]:
    return statistics.median(each[0] for each in column), statistics.median(each[1] for each in column)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
