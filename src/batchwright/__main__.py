"""The `batchwright` command, which `python -m batchwright` is too.

The commands that open one door from another stand above the doors, and are known here by their place alone: whoever
types another command does not wait for their imports.
"""

from __future__ import annotations

from typing import NoReturn

from batchwright.cli import main as command_line

command_line.COMMANDS += [
    (command_line.SERVICE, "batchwright.serve:serve", "serve --port 9090"),
    (command_line.SERVICE, "batchwright.serve_worker:worker", "worker --runs 20"),
    (command_line.SERVICE, "batchwright.serve_mcp:mcp", "mcp --folder workflows"),
]


def main() -> NoReturn:
    """Run the whole command line."""
    command_line.main()


if __name__ == "__main__":
    main()
