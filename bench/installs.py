"""Installs beside peers: nginx with a configuration of its own on 8 fresh local servers, and again where it is there.

`python -m bench.installs [ROUNDS]` prints a table. Bare pyinfra and ansible-core do the same work with the same files,
packages and parallelism, each from an environment of its own, and check each server over HTTP as Batchwright does.

"Again" is measured twice for Batchwright: with --reinstall, which logs in to each server, looks at what the install
would change and checks the service, as the others do; and the same command again, which finds by the digests of what
the environment has that nothing is to be done, and looks only whether the servers are there.

Making and destroying the servers is not counted. Each tool gets fresh servers in each round. All run from compiled
modules, as pip leaves them. CPU seconds are those of the tool's processes here, and those of the servers.
"""

from __future__ import annotations

import compileall
import json
import os
import resource
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import batchwright as batchwright_package

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
        passed_on = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        self.environ = {**passed_on, "BATCHWRIGHT_STATE_DIR": str(folder / "state")}

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


class Figures(NamedTuple):
    """One call: seconds, and CPU seconds of processes here and on the servers."""

    wall: float
    here: float
    servers: float

    def __str__(self) -> str:
        return f"{self.wall:.2f} | {self.here:.1f} + {self.servers:.1f}"


def measure(tool: Callable[[Servers], tuple[Callable[[], object], ...]]) -> list[Figures]:
    """Each of its calls, on servers of its own."""
    figures = []
    with tempfile.TemporaryDirectory() as folder, Servers(Path(folder)) as servers:
        (servers.folder / "nginx.conf").write_text(MAIN)
        (servers.folder / "site.conf").write_text(SITE)
        for step in tool(servers):
            before = Figures(time.perf_counter(), _cpu_here(), _cpu_of(servers))
            step()
            after = Figures(time.perf_counter(), _cpu_here(), _cpu_of(servers))
            figures.append(Figures(*(now - then for now, then in zip(after, before, strict=True))))
    return figures


def _cpu_here() -> float:
    """Of the processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _cpu_of(servers: Servers) -> float:
    """Of the servers' control groups, of either version."""
    total = 0.0
    for server in (servers.folder / "state/local/servers").iterdir():
        group = f"batchwright-{server.name}"
        for file in Path("/sys/fs/cgroup").glob(f"cpuacct/{group}/cpuacct.usage"):
            total += int(file.read_text()) / 1e9
        for file in Path("/sys/fs/cgroup").glob(f"{group}/cpu.stat"):
            total += int(file.read_text().split()[1]) / 1e6
    return total


def compiled() -> None:
    """Compile Batchwright and what it needs, which an editable install or a fresh checkout has not."""
    for folder in (Path(batchwright_package.__file__).parent, sysconfig.get_path("purelib")):
        compileall.compile_dir(folder, quiet=2)


def main(rounds: int) -> None:
    """Each tool in turn, as often as asked; the median of each counts."""
    compiled()
    tools = {"batchwright": batchwright, "pyinfra": pyinfra, "ansible": ansible}
    seen: dict[str, list[list[Figures]]] = {name: [] for name in tools}
    before = os.getloadavg()[0]
    for _ in range(rounds):
        for name, tool in tools.items():
            seen[name].append(measure(tool))
    after = os.getloadavg()[0]
    medians = {name: [_median(column) for column in zip(*rows, strict=True)] for name, rows in seen.items()}
    print(f"{os.cpu_count()} cores; load {before:.1f} before, {after:.1f} after.")
    print()
    cpu = "CPU s here + servers"
    print(f"| {SERVERS} servers, nginx, median of {rounds} | first, s | {cpu} | again, s | {cpu} |")
    print("|--|--|--|--|--|")
    labels = {"batchwright": "Batchwright", "pyinfra": PEERS["pyinfra"], "ansible": PEERS["ansible"]}
    for name, (first, again, *_) in medians.items():
        print(f"| {labels[name]} | {first} | {again} |")
    ours, peer, other = (medians[name] for name in tools)
    print(f"| Batchwright, the same command again | | | {ours[2]} |")
    print()
    print(f"First: {_ratio(ours[0], peer[0])} of pyinfra (goal {FIRST_MOST}), "
          f"{_ratio(ours[0], other[0])} of ansible (goal {ANSIBLE_MOST}).")  # fmt: skip
    print(f"Again, each server looked at (--reinstall): {_ratio(ours[1], peer[1])} of pyinfra (goal {AGAIN_MOST}), "
          f"{_ratio(ours[1], other[1])} of ansible (goal {ANSIBLE_MOST}).")  # fmt: skip
    print(f"Again, the same command: {_ratio(ours[2], peer[1])} of pyinfra, {_ratio(ours[2], other[1])} of ansible.")


def _ratio(ours: Figures, other: Figures) -> str:
    cpu = (ours.here + ours.servers) / (other.here + other.servers)
    return f"{ours.wall / other.wall:.2f} (CPU {cpu:.2f})"


def _median(column: tuple[Figures, ...]) -> Figures:
    return Figures(*(statistics.median(each) for each in zip(*column, strict=True)))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
