"""The one table of fault words, and the way from KEY=VALUE words to checked settings.

`--sim` of a simulated run and `--fault` of an emulator take the same words. A place adds the settings that only it
has in a subclass; docs/faults.md is written from the descriptions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Annotated, Any, ClassVar, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from batchwright.errors import UsageError
from batchwright.fault_injection.fault_names import CREATE_EFFECTS
from batchwright.fault_injection.script import FaultScript
from batchwright.model.did_you_mean import close_matches
from batchwright.model.scalar import Scalar

Seconds = Annotated[float, Meta(ge=0)]
Chance = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=0)]
Rate = Annotated[float, Meta(ge=0)]
Positive = Annotated[int, Meta(ge=1)]

OLD_WORDS = {  # as earlier versions called them
    "errors": "transient",
    "unavailable": "transient",
    "html502": "bad_gateway",
    "stuck": "never_ready",
    "servers": "quota_servers",
}
_OLD_SWITCHES = {"auth_fails": "wrong", "expired": "expired"}  # each is now a value of `auth`


class FaultSettings(Struct, frozen=True, kw_only=True):
    """Fault probabilities and limits. Probabilities are from 0 to 1, durations are in seconds."""

    create_effects: ClassVar[tuple[str, ...]] = CREATE_EFFECTS  # what `fail` may say

    seed: Annotated[int, Meta(description="seed of all random draws")] = 0
    time_scale: Annotated[Seconds, Meta(description="multiplies every duration")] = 1.0

    transient: Annotated[
        Chance, Meta(description="probability that a change is refused with a transient error; it has no effect")
    ] = 0.0
    throttle: Annotated[
        Chance, Meta(description='probability that a change is refused with "too many requests"; it has no effect')
    ] = 0.0
    bad_gateway: Annotated[
        Chance,
        Meta(description="probability that a gateway answers a change with an error page; half of them take effect"),
    ] = 0.0
    lost_answers: Annotated[
        Chance, Meta(description="probability that a change takes effect but its answer is lost")
    ] = 0.0
    late_commits: Annotated[
        Chance, Meta(description="probability that a create gets no answer and takes effect only later")
    ] = 0.0
    late_min: Annotated[Seconds, Meta(description="the shortest delay of a late commit")] = 0.5
    late_max: Annotated[Seconds, Meta(description="the longest delay of a late commit")] = 3.0
    never_ready: Annotated[Chance, Meta(description="probability that a server never becomes ready")] = 0.0
    broken: Annotated[Chance, Meta(description="probability that a server comes up broken")] = 0.0
    read_errors: Annotated[Chance, Meta(description="probability that a read fails")] = 0.0
    list_lag: Annotated[Seconds, Meta(description="time until something new appears in listings")] = 0.0
    auth: Annotated[
        Literal["", "expired", "wrong"],
        Meta(description="`expired` or `wrong`: all credentials are refused for this reason"),
    ] = ""
    rate: Annotated[Rate, Meta(description="calls per second; calls beyond that are refused. 0: no limit")] = 0.0
    burst: Annotated[Positive, Meta(description="burst size of the rate")] = 5
    capacity: Annotated[Count, Meta(description="maximum servers of a zone; 0: no limit")] = 0
    fail: Annotated[str, Meta(description="scripted faults of creates, by the server's name")] = ""

    def __post_init__(self) -> None:
        if self.late_max < self.late_min:
            raise UsageError(
                f"late_max ({self.late_max:g}) is less than late_min ({self.late_min:g})",
                hint="Set both: late_min=0.5 and late_max=3",
            )
        self.create_script()

    def create_script(self) -> FaultScript:
        """The scripted faults of creates. Raises UsageError."""
        return FaultScript.parse("fail", self.fail, self.create_effects)

    def scaled(self, seconds: float) -> float:
        """A duration in seconds of this machine's clock."""
        return seconds * self.time_scale


S = TypeVar("S", bound=FaultSettings)


def parse(kind: type[S], words: Mapping[str, Scalar], where: str) -> S:
    """Settings from words such as {"lost_answers": "0.1"}. Raises UsageError that begins with `where`."""
    try:
        return kind(**dict(checked(kind, key, key, value) for key, value in words.items()))
    except UsageError as error:
        raise UsageError(f"{where}: {error.message}", hint=error.hint) from error


def checked(kind: type[FaultSettings], key: str, name: str, value: Scalar) -> tuple[str, Any]:
    """The canonical name and the value of a setting; `key` is what the user wrote. Raises UsageError."""
    types = _types(kind)
    if name not in types and name in _OLD_SWITCHES:
        on = _converted(key, value, bool)
        return "auth", _OLD_SWITCHES[name] if on else ""
    name = name if name in types else OLD_WORDS.get(name, name)
    if name not in types:
        near = close_matches(name, types, n=1)
        hint = f"Did you mean {near[0]}?" if near else "docs/faults.md lists the settings."
        raise UsageError(f"there is no setting {key}", hint=hint)
    return name, _converted(key, value, types[name])


@cache
def _types(kind: type[FaultSettings]) -> dict[str, Any]:
    return {field.name: field.type for field in msgspec.structs.fields(kind)}


def _converted(key: str, value: Scalar, kind: Any) -> Any:
    try:
        found = msgspec.convert(str(value) if _is_text(kind) else value, kind, strict=False)
    except msgspec.ValidationError as error:
        raise UsageError(f"{key} = {value}: {error}", hint="docs/faults.md lists the settings.") from error
    if isinstance(found, float) and not math.isfinite(found):
        raise UsageError(f"{key} = {value}: expected a finite number", hint="docs/faults.md lists the settings.")
    return found


def _is_text(kind: Any) -> bool:
    return getattr(kind, "__origin__", kind) is str


def described(kind: type[FaultSettings]) -> Iterator[tuple[str, str, str]]:
    """The name, the default and the meaning of each setting: for docs/faults.md and `emulate --explain`.

    A subclass that only changes a default leaves the meaning to its base.
    """
    meanings: dict[str, str] = {}
    for base in reversed([one for one in kind.__mro__ if issubclass(one, FaultSettings)]):
        for name, type_ in _types(base).items():
            metas = [meta for meta in getattr(type_, "__metadata__", ()) if isinstance(meta, Meta)]
            meanings.update((name, meta.description) for meta in metas if meta.description)
    for field in msgspec.structs.fields(kind):
        shown = f"{field.default:g}" if isinstance(field.default, float) else str(field.default).lower()
        yield field.name, shown, meanings[field.name]
