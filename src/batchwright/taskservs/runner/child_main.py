"""The child process of the runner: pyinfra on many servers, once. A fork server has loaded this module for it.

pyinfra keeps its context in globals, so it is used once per process and never in ours. Each server has a greenlet of
its own in which the deploy's operations are carried out as they are called: no server waits for another.
"""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()  # before anything else is imported, so that servers do not wait for each other

# ruff: noqa: E402
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import gevent
from gevent.fileobject import FileObject
from gevent.pool import Group
from pyinfra.api import Config, Inventory, State
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.host import Host as PyinfraHost
from pyinfra.api.operation import OperationMeta
from pyinfra.connectors import ssh
from pyinfra.connectors.util import read_output_buffers
from pyinfra.context import ctx_config, ctx_host, ctx_state

from batchwright.model.openssh_command import known_hosts
from batchwright.taskservs.runner.child_protocol import (
    ChildJob,
    Done,
    Host,
    OutputLine,
    Stopped,
    Verb,
    Word,
    job_decoder,
    stop_decoder,
    written,
)
from batchwright.taskservs.runner.deploys import Deploy, DeployFailed, load_deploy, values
from batchwright.taskservs.runner.progress import ProgressListener, would
from batchwright.taskservs.runner.pyinfra_login import RSA_TRIES, credentials, needs_agent, tunnel
from batchwright.taskservs.runner.pyinfra_login_output import PyinfraMarkedOutput
from batchwright.taskservs.runner.shell_snippets import ENVIRONMENT, MARK

CONNECT_SECONDS = 15
REST_SECONDS = 5  # for the rest of an output after a command's end; what the command left running may hold it open
KEEPALIVE_SECONDS = 15
TAIL_LINES = 30
LOST = 3  # exit code: whoever started this process is gone


class Child:
    """Carries out one job. `say` writes one line to the parent."""

    def __init__(self, job: ChildJob, say: Callable[[Word], None], known: Path) -> None:
        self._job, self._say = job, say
        self._hosts = {host.id: host for host in job.hosts}
        self._greenlets: dict[str, gevent.Greenlet] = {}
        names = [(host.id, _data(host, known)) for host in job.hosts]
        self._state = State(
            Inventory((names, {})),
            Config(CONNECT_TIMEOUT=CONNECT_SECONDS, PARALLEL=max(1, len(names))),
            check_for_changes=job.verb is Verb.PREVIEW,
        )
        self._state.cwd = job.folder
        self._state.print_output = True
        self._state.is_executing = job.verb is not Verb.PREVIEW
        self._listening = ProgressListener(self._hosts, lambda host, text: say(OutputLine(host, text)))
        self._state.add_callback_handler(self._listening)

    def run(self) -> None:
        """All servers at once; returns when the last has ended."""
        self._listening.begin()
        ssh.read_output_buffers = _read_to_the_end_of_the_command
        if self._job.verb is Verb.PREVIEW:
            OperationMeta.did_change = would
        group = Group()
        with ctx_state.use(self._state):
            deploy = load_deploy(self._job)
            for number, host in enumerate(self._state.inventory):
                host.loop_position = [number]  # so that no two servers share what pyinfra keeps per operation
                self._greenlets[host.name] = group.spawn(self._one, host, deploy)
            group.join()

    def stop(self, name: str) -> None:
        """Send nothing more to this server."""
        greenlet = self._greenlets.get(name)
        if greenlet is not None:
            greenlet.kill(block=True, timeout=2)
        self._say(Stopped(name))

    def _one(self, host: PyinfraHost, deploy: Deploy) -> None:
        mine = self._hosts[host.name]
        ctx_host.set(host)
        config = _config(mine)
        ctx_config.set(config)
        try:
            self._connect(host, mine)
            config.SHELL = PyinfraMarkedOutput(host.connector).shell
            deploy(values(self._job, mine))
            self._done(host, mine)
        except DeployFailed as failed:
            self._done(host, mine, fault=str(failed), bug=failed.bug)
        except PyinfraError as error:  # before the deploy: a key that cannot be read
            self._done(host, mine, fault=str(error))
        finally:
            if host.connected:
                host.connector.client.close()

    def _connect(self, host: PyinfraHost, mine: Host) -> None:
        for disabled in RSA_TRIES:
            more = {**credentials(mine.access.key), "disabled_algorithms": disabled}
            if mine.access.jump is not None:
                more["sock"] = tunnel(mine.access, CONNECT_SECONDS)
            host.connector.data["ssh_paramiko_connect_kwargs"] = more
            host.connect(show_errors=False)
            if host.connected or "uthenticat" not in self._listening.why_unconnected(host.name):
                break
        if not host.connected:
            raise DeployFailed(self._listening.why_unconnected(host.name))
        host.connector.client.get_transport().set_keepalive(KEEPALIVE_SECONDS)

    def _done(self, host: PyinfraHost, mine: Host, fault: str = "", *, bug: bool = False) -> None:
        heard = self._listening.of(mine.id)
        if host in self._state.failed_hosts and not fault:
            fault = "the state of the server could not be read"
        failed = heard.failed if fault else ""
        preview = self._job.verb is Verb.PREVIEW
        changes = heard.would_change(self._state, host) if preview else heard.changed(self._state, host)
        operations, tail = len(self._state.ops[host]), tuple(heard.tail)[-TAIL_LINES:] if fault else ()
        self._say(Done(mine.id, not fault, operations, changes, failed, fault, tail, bug))


def _read_to_the_end_of_the_command(*buffers: Any, **rest: Any) -> Any:
    """Takes the place of pyinfra's reading, which waits for as long as anything holds a command's output open."""

    def close() -> None:
        channel = buffers[0].channel
        channel.status_event.wait()
        gevent.sleep(REST_SECONDS)
        channel.close()

    closing = gevent.spawn(close)
    try:
        return read_output_buffers(*buffers, **rest)
    finally:
        closing.kill()


def _data(host: Host, known: Path) -> dict[str, object]:
    access = host.access
    return {
        "ssh_hostname": access.host,
        "ssh_port": access.port,
        "ssh_user": access.user,
        "ssh_config_file": os.devnull,
        "ssh_known_hosts_file": str(known),
        "ssh_strict_host_key_checking": "yes",
    }


def _config(host: Host) -> Config:
    """What holds for every command on this server: its mark, root's rights, and no questions."""
    env = {**ENVIRONMENT, MARK: host.token, "APT_CONFIG": "/var/lib/batchwright/apt.conf"}
    return Config(SUDO=host.access.user != "root", TEMP_DIR=host.temp or None, ENV=env)


def _heed(child: Child, lines: BinaryIO) -> None:
    """Do what the parent asks; when it is gone, this process has nobody to work for."""
    for line in lines:
        child.stop(stop_decoder.decode(line).host)
    os._exit(LOST)


def main() -> None:
    """Read the job, carry it out. In a fork: the event loop that gevent made at loading is the server's."""
    gevent.reinit()
    wire = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # whatever a deploy prints is no message
    lines = FileObject(sys.stdin.fileno(), "rb", closefd=False)
    job = job_decoder.decode(lines.readline())
    if not any(needs_agent(host.access) for host in job.hosts):
        os.environ.pop("SSH_AUTH_SOCK", None)  # a deploy gets no key that its servers do not ask for
    with tempfile.TemporaryDirectory(prefix="batchwright-") as folder:
        known = Path(folder) / "known_hosts"
        known.touch(mode=0o600)
        known.write_text(known_hosts(host.access for host in job.hosts))
        child = Child(job, lambda word: _write(wire, word), known)
        heeding = gevent.spawn(_heed, child, lines)
        child.run()
        heeding.kill()
    os._exit(0)  # at once: threads of connections to servers that hang are not waited for


def _write(wire: BinaryIO, word: Word) -> None:
    left = memoryview(written(word))
    while left:
        left = left[os.write(wire.fileno(), left) :]
