"""The fields in which a server that exists differs from what is asked for, and how each is changed. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from batchwright.model.call_outcome import Observed
from batchwright.model.plan import FieldChange
from batchwright.model.server_labels import label_text, labels_named
from batchwright.model.update_behavior import ChangeWay, FieldWay

Asked = Mapping[str, Any]  # a request for a server, in builtins
_NAMES = ("plan", "zone", "image", "network")  # the values of the other fields are words


class FieldDifference(Struct, frozen=True):
    """One field: what it is and what is asked for, in words, and how it is changed.

    `way` is None if it can differ and cannot be changed. `note` is what the provider has to say about it. `drifted`: it
    is not what was asked for last, which is still asked for.
    """

    field: str
    found: str
    wanted: str
    way: ChangeWay | None = ChangeWay.REPLACE
    note: str = ""
    drifted: bool = False

    @property
    def change(self) -> FieldChange:
        """The same for the plan."""
        return FieldChange(self.field, self.found, self.wanted, stops=self.way is ChangeWay.STOPPED, note=self.note)

    def __str__(self) -> str:
        found, wanted = (f'"{one}"' if self.field in _NAMES else one for one in (self.found, self.wanted))
        note = f" ({self.note})" if self.note else ""
        verb = "are" if self.field.endswith("s") else "is"
        return f"{self.field} {verb} {found}, the workflow asks for {wanted}{note}"


def differences(
    found: Observed, wanted: Asked, before: Asked | None, ways: Mapping[str, FieldWay], *, image: bool
) -> list[FieldDifference]:
    """All of them. `before` is what was asked for last, if that is known; `image`: the user names one."""
    shown = [("plan", found.plan), ("zone", found.zone), *([("image", found.image)] if image and found.image else [])]
    return [
        *(_shown(name, now, wanted, before, ways) for name, now in shown if now != wanted.get(name, "")),
        *(_asked_for(wanted, before) if before is not None else ()),
        *_labels(found, wanted, before, ways),
    ]


def _shown(name: str, found: str, wanted: Asked, before: Asked | None, ways: Mapping[str, FieldWay]) -> FieldDifference:
    way, new = ways.get(name, FieldWay(ChangeWay.REPLACE)), wanted.get(name, "")
    drifted = before is not None and before.get(name, "") == new
    return FieldDifference(name, found, new, way.way, way.note, drifted)


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
    return found


def _labels(
    found: Observed, wanted: Asked, before: Asked | None, ways: Mapping[str, FieldWay]
) -> list[FieldDifference]:
    """What a server's labels are, of those that are or were asked for. No server is replaced for its labels."""
    last, new = (one.get("labels", {}) for one in (before or {}, wanted))
    now = labels_named(found.labels, last, new)
    if now is None:
        now = last if before is not None else new  # nobody shows them
    if now == new:
        return []
    live = before is not None and "labels" in ways and ways["labels"].way is ChangeWay.LIVE
    way, drifted = ChangeWay.LIVE if live else None, before is not None and last == new
    return [FieldDifference("labels", label_text(now), label_text(new), way, drifted=drifted)]


def _keys(keys: tuple[str, ...]) -> str:
    return ", ".join(key.split()[-1] for key in keys) or "none"
