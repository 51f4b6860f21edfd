"""In what a server that is there differs from what the workflow asks for. Pure.

Two things are compared with what is asked for: what the provider shows now, and what the environment's runs asked for
last, which also holds what no provider tells (user data, keys, labels). Requests are in builtins, without defaults.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from batchwright.model.call_outcome import Observed
from batchwright.model.plan import FieldChange

Asked = Mapping[str, Any]
_NAMES = ("plan", "zone", "image", "network")  # the values of the other fields are words


class FieldDifference(Struct, frozen=True):
    """One field: what it is and what is asked for, in words. `live`: it can differ without a new server."""

    field: str
    found: str
    wanted: str
    live: bool = False

    @property
    def change(self) -> FieldChange:
        """The same for the plan."""
        return FieldChange(self.field, self.found, self.wanted)

    def __str__(self) -> str:
        found, wanted = (f'"{one}"' if self.field in _NAMES else one for one in (self.found, self.wanted))
        return f"{self.field} is {found}, the workflow asks for {wanted}"


def differences(found: Observed, wanted: Asked, before: Asked | None, *, image: bool) -> list[FieldDifference]:
    """All of them. `before` is what was asked for last, if that is known; `image`: the user names one."""
    shown = [("plan", found.plan), ("zone", found.zone), *([("image", found.image)] if image and found.image else [])]
    return [
        *(FieldDifference(name, now, wanted.get(name, "")) for name, now in shown if now != wanted.get(name, "")),
        *(_asked_for(wanted, before) if before is not None else ()),
    ]


def _asked_for(wanted: Asked, before: Asked) -> list[FieldDifference]:
    found: list[FieldDifference] = []
    if before.get("user_data", "") != wanted.get("user_data", ""):
        found.append(FieldDifference("user_data", "another text", "the one in the file"))
    old, new = before.get("ssh_keys", ()), wanted.get("ssh_keys", ())
    if set(old) != set(new):
        found.append(FieldDifference("ssh_keys", _keys(old), _keys(new)))
    was, now = (one.get("resolved", {}).get("network", "") for one in (before, wanted))
    if was != now:
        found.append(FieldDifference("network", was, now))
    labels = [_pairs(one.get("labels", {})) for one in (before, wanted)]
    if labels[0] != labels[1]:
        found.append(FieldDifference("labels", labels[0], labels[1], live=True))
    return found


def _keys(keys: tuple[str, ...]) -> str:
    return ", ".join(key.split()[-1] for key in keys) or "none"


def _pairs(labels: Mapping[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in sorted(labels.items())) or "none"
