"""How a field of a server becomes another without a new server."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class ChangeWay(StrEnum):
    """What changing a field does to the server.

    >>> ChangeWay("stopped")
    <ChangeWay.STOPPED: 'stopped'>
    """

    LIVE = "live"  # it is changed while the server runs
    STOPPED = "stopped"  # the server is stopped, changed and started: it is interrupted
    REPLACE = "replace"  # only a new server has the new value


class FieldWay(Struct, frozen=True, omit_defaults=True):
    """How one field of one server would be changed to one value.

    `note` is for people: why only a new server can have the value, or what a change in place leaves as it is.

    >>> FieldWay(ChangeWay.REPLACE, "the disk of small (20 GB) is smaller than the server's (40 GB)").way
    <ChangeWay.REPLACE: 'replace'>
    """

    way: ChangeWay
    note: str = ""
