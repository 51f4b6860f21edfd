"""The outcome of a server's first boot, as it reports it: unit states in one file, its script's output in another.
Pure.

States come from the service manager, never from text that a program on the server may print.
"""

from __future__ import annotations

READY_UNIT, SCRIPT_UNIT, SSH_UNIT = "batchwright-ready.service", "batchwright-user-data.service", "ssh.service"
STATES_BYTES = 4096  # of the file of states, read from its beginning
SAID_LINES, LINE_MAX = 5, 300  # of what the script printed last


def states(text: str) -> dict[str, str]:
    """Unit -> ActiveState, from what `systemctl show -p Id -p ActiveState UNIT...` prints."""
    found: dict[str, str] = {}
    for block in text.split("\n\n"):
        fields = dict(line.partition("=")[::2] for line in block.splitlines())
        if fields.get("Id"):
            found[fields["Id"]] = fields.get("ActiveState", "")
    return found


def last_said(text: str) -> list[str]:
    """The last non-empty lines, made printable, each cut at its beginning if it is long."""
    plain = ("".join(one if one.isprintable() else " " for one in line).strip() for line in text.split("\n"))
    return [f"...{line[-LINE_MAX:]}" if len(line) > LINE_MAX else line for line in plain if line][-SAID_LINES:]
