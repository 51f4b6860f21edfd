"""The child process of the runner: pyinfra on one server, once. A fork server has loaded this module for it.

pyinfra keeps its context in globals, so it is used once per process and never in ours. It knows no address and no key:
its parent runs the commands.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from types import ModuleType


def _paramiko() -> ModuleType:
    """What pyinfra's API takes from paramiko: an error and a type of its SSH connector, which is not used here. All of
    paramiko would take as long to load as the API.
    """
    stand_in = ModuleType("paramiko")
    vars(stand_in).update(SSHException=type("SSHException", (Exception,), {}), PKey=type("PKey", (), {}))
    return stand_in


sys.modules["paramiko"] = _paramiko()

# ruff: noqa: E402
from pyinfra.api import Config, Inventory, State
from pyinfra.api.arguments import all_global_arguments
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.host import Host as PyinfraHost
from pyinfra.api.operation import OperationMeta
from pyinfra.context import ctx_config, ctx_host, ctx_state

from batchwright.taskservs import certificates, listen_addresses  # noqa: F401 - for deploys
from batchwright.taskservs.runner.child_protocol import ChildJob, Done, Host, OutputLine, Verb, job_decoder
from batchwright.taskservs.runner.deploys import DeployFailed, load_deploy, values
from batchwright.taskservs.runner.progress import ProgressListener, would
from batchwright.taskservs.runner.pyinfra_connector import Parent, PyinfraConnector
from batchwright.taskservs.runner.shell_snippets import ENVIRONMENT, MARK

TAIL_LINES = 30

all_global_arguments()  # evaluates pyinfra's annotations, once for all forks


class OneServer(Inventory):  # type: ignore[misc]
    """An inventory of one server, which the parent is connected to. pyinfra's own loads all kinds of connectors."""

    def __init__(self, name: str, parent: Parent) -> None:
        self._parent = parent
        super().__init__(([name], {}))

    def make_hosts_and_groups(self, names: list[str], _groups: object) -> None:
        """pyinfra's hook for it."""
        connector = partial(PyinfraConnector, self._parent)
        self.hosts = {name: PyinfraHost(name, inventory=self, groups=[], connector_cls=connector) for name in names}


class Child:
    """Carries out one job."""

    def __init__(self, job: ChildJob, parent: Parent) -> None:
        self._job, self._parent = job, parent
        preview = job.verb is Verb.PREVIEW
        inventory = OneServer(job.host.name, parent)
        self._state = State(inventory, Config(PARALLEL=1), check_for_changes=preview)
        self._state.cwd = job.folder
        self._state.print_output = True
        self._state.is_executing = not preview
        (self._host,) = inventory
        self._listening = ProgressListener(job.host.name, lambda text: parent.say(OutputLine(text)))
        self._state.add_callback_handler(self._listening)

    def run(self) -> None:
        """Run the deploy and report how it ended."""
        self._listening.begin()
        if self._job.verb is Verb.PREVIEW:
            OperationMeta.did_change = would
        config = _config(self._job.host)
        ctx_state.set(self._state)
        ctx_host.set(self._host)
        ctx_config.set(config)
        self._host.loop_position = [0]
        fault, bug = "", False
        try:
            self._host.connect()
            config.SHELL = self._host.connector.shell
            load_deploy(self._job)(values(self._job))
        except DeployFailed as failed:
            fault, bug = str(failed), failed.bug
        except PyinfraError as error:  # outside the deploy
            fault = str(error)
        self._parent.say(self._done(fault, bug=bug))

    def _done(self, fault: str, *, bug: bool) -> Done:
        heard = self._listening
        if self._host in self._state.failed_hosts and not fault:
            fault = "the state of the server could not be read"
        changed = heard.would_change if self._job.verb is Verb.PREVIEW else heard.changed
        tail = tuple(heard.tail)[-TAIL_LINES:] if fault else ()
        operations = len(self._state.ops[self._host])
        return Done(
            not fault, operations, changed(self._state, self._host), heard.failed if fault else "", fault, tail, bug
        )


def _config(host: Host) -> Config:
    """What holds for every command on this server: its mark, root's rights, and no questions."""
    env = {**ENVIRONMENT, MARK: host.token, "APT_CONFIG": "/var/lib/batchwright/apt.conf"}
    return Config(SUDO=host.sudo, TEMP_DIR=host.temp or None, ENV=env)


def main() -> None:
    """Read the job, carry it out."""
    wire = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # whatever a deploy prints is no message
    lines = os.fdopen(os.dup(0), "rb")
    with Path(os.devnull).open("rb") as nothing:  # and what it reads is none
        os.dup2(nothing.fileno(), 0)
    Child(job_decoder.decode(lines.readline()), Parent(lines, wire)).run()
    os._exit(0)  # at once: threads of a deploy are not waited for
