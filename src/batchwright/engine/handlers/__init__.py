"""The code that acts for each operation type. Besides the closing sweep, nothing else changes anything outside."""

from collections.abc import Mapping

from batchwright.engine.handlers.approval import ApprovalHandler
from batchwright.engine.handlers.base import Handler
from batchwright.engine.handlers.check import CheckHandler
from batchwright.engine.handlers.command import CommandHandler
from batchwright.engine.handlers.server_batch import ServerHandler
from batchwright.engine.handlers.taskserv_batch import TaskservHandler

__all__ = ["HANDLERS", "Handler"]

HANDLERS: Mapping[str, type[Handler]] = {
    "server_batch": ServerHandler,
    "taskserv_batch": TaskservHandler,
    "command": CommandHandler,
    "check": CheckHandler,
    "approval": ApprovalHandler,
}
