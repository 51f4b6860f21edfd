"""What pyinfra says while it works on a server: operations, lines of output, changes, and what did not work."""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Callable

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


def would(meta: OperationMeta) -> bool:
    """Takes the place of `did_change` where nothing is done."""
    return bool(meta._maybe_is_change)


def _name(state: State, key: str) -> str:
    return ", ".join(sorted(state.get_op_meta(key).names))


class ProgressListener(BaseStateCallback, logging.Handler):  # type: ignore[misc]
    """Hears pyinfra's callbacks, its echo and its warnings of one server, and tells each line with `say`.

    `tail` is the end of the output of the last operation, `failed` the name of one that has begun and not succeeded.
    """

    def __init__(self, server: str, say: Callable[[str], None]) -> None:
        logging.Handler.__init__(self, logging.WARNING)
        self._server, self._say = server, say
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self.failed = ""

    def begin(self) -> None:
        """Start to record callbacks, output and warnings."""
        set_echo(lambda message=None, **_: self._line(str(message)))
        logger = logging.getLogger("pyinfra")
        logger.addHandler(self)
        logger.propagate = False

    def emit(self, record: logging.LogRecord) -> None:
        """A warning or an error of pyinfra's."""
        self._line(record.getMessage())

    def _line(self, message: str) -> None:
        match = _PREFIXED.match(message)
        if match is None or match["host"] != self._server:
            return
        for text in match["text"].split("\n"):  # at nothing else: a secret may have other ends of lines in it
            if _NOISE.match(text):
                continue
            text = shortened(text, LINE_MAX)
            self.tail.append(text)
            self._say(text)

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

    # -- callbacks, as pyinfra calls them -----------------------------------------------------------------------

    def operation_host_start(self, state: State, host: Host, key: str) -> None:
        if host in state.failed_hosts:
            raise PyinfraError("the state of the server could not be read")
        self.failed = _name(state, key)
        self.tail.clear()
        self._say(f"== {self.failed}")

    def operation_host_success(self, _state: State, _host: Host, _key: str, _retries: int = 0) -> None:
        self.failed = ""
