"""What pyinfra says while it works, by server: operations, lines of output, changes, and what did not work."""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.host import Host
from pyinfra.api.operation import OperationMeta
from pyinfra.api.output import set_echo
from pyinfra.api.state import BaseStateCallback, State

from batchwright.printable import shortened

TAIL_LINES = 30
LINE_MAX = 128 * 1024  # characters; what is shown is cut later, when secrets have been taken out of it
_PREFIXED = re.compile(r"^\[(?P<host>[^\]]+)\] (?:nested )?(?P<text>.*)$", re.DOTALL)
_NOISE = re.compile(r"^\s*$|^\(Reading database \.\.\. (\d+%)?$|^Error: executed \d+ commands")  # it says nothing

Say = Callable[[str, str], None]


class HostReport:
    """What was heard of one server. `tail` is the end of the output of the last operation."""

    def __init__(self) -> None:
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self.failed = ""
        self.unconnected = ""

    def changed(self, state: State, host: Host) -> tuple[str, ...]:
        """The operations that did change something."""
        return tuple(
            _name(state, key)
            for key, data in state.ops[host].items()
            if data.operation_meta.is_complete() and data.operation_meta.did_change()
        )

    def would_change(self, state: State, host: Host) -> tuple[str, ...]:
        """The operations that would. Conditions on the change of another are judged: pyinfra counts them as met."""
        for data in state.ops[host].values():  # in the order of the deploy, so what is asked about has been judged
            conditions = data.global_arguments.get("_if") or []
            each = conditions if isinstance(conditions, list) else [conditions]
            data.operation_meta._maybe_is_change = would(data.operation_meta) and all(one() for one in each)
        return tuple(_name(state, key) for key, data in state.ops[host].items() if would(data.operation_meta))


def would(meta: OperationMeta) -> bool:
    """Takes the place of `did_change` where nothing is done."""
    return bool(meta._maybe_is_change)


def _name(state: State, key: str) -> str:
    return ", ".join(sorted(state.get_op_meta(key).names))


class ProgressListener(BaseStateCallback, logging.Handler):  # type: ignore[misc]
    """Hears pyinfra's callbacks, its echo and its warnings."""

    def __init__(self, hosts: Iterable[str], say: Say) -> None:
        logging.Handler.__init__(self, logging.WARNING)
        self._heard = {host: HostReport() for host in hosts}
        self._say = say

    def begin(self) -> None:
        """Start to record callbacks, output and warnings."""
        set_echo(lambda message=None, **_: self._line(str(message)))
        logger = logging.getLogger("pyinfra")
        logger.addHandler(self)
        logger.propagate = False

    def of(self, host: str) -> HostReport:
        """What was heard of this server."""
        return self._heard[host]

    def why_unconnected(self, host: str) -> str:
        """Why no connection came about."""
        return self._heard[host].unconnected or "no connection"

    def emit(self, record: logging.LogRecord) -> None:
        """A warning or an error of pyinfra's."""
        self._line(record.getMessage())

    def _line(self, message: str) -> None:
        match = _PREFIXED.match(message)
        if match is None or match["host"] not in self._heard:
            return
        for text in match["text"].split("\n"):  # at nothing else: a secret may have other ends of lines in it
            if _NOISE.match(text):
                continue
            text = shortened(text, LINE_MAX)
            self._heard[match["host"]].tail.append(text)
            self._say(match["host"], text)

    # -- callbacks, as pyinfra calls them -----------------------------------------------------------------------

    def host_connect_error(self, _state: State, host: Host, error: Any) -> None:
        self._heard[host.name].unconnected = str(error.args[0] if error.args else error)

    def operation_host_start(self, state: State, host: Host, key: str) -> None:
        if host in state.failed_hosts:
            raise PyinfraError("the state of the server could not be read")
        heard, name = self._heard[host.name], _name(state, key)
        heard.failed = name
        heard.tail.clear()
        self._say(host.name, f"== {name}")

    def operation_host_success(self, _state: State, host: Host, _key: str, _retries: int = 0) -> None:
        self._heard[host.name].failed = ""
