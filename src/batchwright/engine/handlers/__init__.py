"""What acts for each operation type. Beside the closing sweep nothing else creates, destroys or runs anything."""

from collections.abc import Mapping

from batchwright.engine.handlers.base import Handler
from batchwright.engine.handlers.command import CommandHandler
from batchwright.engine.handlers.server_batch import ServerHandler
from batchwright.engine.handlers.taskserv_batch import TaskservHandler

__all__ = ["HANDLERS", "Handler"]

HANDLERS: Mapping[str, type[Handler]] = {
    "server_batch": ServerHandler,
    "taskserv_batch": TaskservHandler,
    "command": CommandHandler,
}
