"""The settings of a simulation: from a flat table (`--sim key=value`, the plan's `simulation`) to checked values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from batchwright.errors import UsageError
from batchwright.model.did_you_mean import close_matches
from batchwright.model.plan import Guard
from batchwright.model.scalar import Scalar
from batchwright.providers.simulated.script import CREATE_EFFECTS, PLAIN_EFFECTS, Script

Seconds = Annotated[float, Meta(ge=0)]
Chance = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=0)]


class Simulation(Struct, frozen=True, kw_only=True):
    """How a simulated place behaves. The defaults are a pleasant demonstration without faults."""

    seed: int = 1
    guard: Guard = Guard.LABEL_ONLY
    concurrency: Annotated[int, Meta(ge=1)] = 50

    time_scale: Seconds = 1.0  # every duration below is multiplied by it
    answer_seconds: Seconds = 0.2  # median until a create or a destroy is answered
    read_seconds: Seconds = 0.02  # until a listing is answered
    boot_seconds: Seconds = 1.5  # median from the answer until the server is ready
    install_seconds: Seconds = 1.0  # median of an install or removal of a task service
    destroy_seconds: Seconds = 0.5  # median until a destroyed server is gone
    spread: Annotated[float, Meta(ge=0, le=3)] = (
        0.3  # sigma of the log-normal the medians belong to; 0: always the median
    )

    transient: Chance = 0.0
    throttle: Chance = 0.0
    lost_answers: Chance = 0.0
    late_commits: Chance = 0.0
    late_min: Seconds = 0.5
    late_max: Seconds = 3.0
    never_ready: Chance = 0.0
    broken: Chance = 0.0
    read_errors: Chance = 0.0
    list_lag: Seconds = 0.0

    quota_servers: Count = 0  # most servers of the account; 0 for no limit
    capacity: Count = 0  # most servers of a zone; 0 for no limit
    rate: Annotated[float, Meta(ge=0)] = 0.0  # creates and destroys per second; 0 for no limit
    burst: Annotated[int, Meta(ge=1)] = 5
    destroy_rate: Annotated[float, Meta(ge=0)] = 0.0  # destroys per second, counted apart; 0: they count with creates
    publish_rate: bool = False  # whether the capabilities tell the rates
    auth_fails: bool = False

    fail: str = ""
    flaky: str = ""
    fail_destroy: str = ""
    fail_taskserv: str = ""
    fail_remove: str = ""
    fail_command: str = ""
    fail_undo: str = ""

    def __post_init__(self) -> None:
        if self.late_max < self.late_min:
            raise UsageError(
                f"simulation: late_max ({self.late_max:g}) is less than late_min ({self.late_min:g})",
                hint="Set both: --sim late_min=0.5 --sim late_max=3",
            )
        for name in ("create", "destroy", "install", "remove", "command", "undo"):
            getattr(self, f"{name}_script")()

    @classmethod
    def instant(cls, **settings: Scalar) -> Simulation:
        """Nothing takes any time: a create is answered ready at once, without awaiting anything."""
        durations = ("answer_seconds", "read_seconds", "boot_seconds", "install_seconds", "destroy_seconds")
        return cls.from_settings({**dict.fromkeys(durations, 0.0), **settings})

    @classmethod
    def from_settings(cls, settings: Mapping[str, Scalar], provider: str = "") -> Simulation:
        """For one provider: keys like "rate" hold for all, keys like "upcloud.rate" for that one. Raises UsageError."""
        general: dict[str, Any] = {}
        own: dict[str, Any] = {}
        for key, value in settings.items():
            owner, _, name = key.rpartition(".")
            checked = _checked(key, name, value)
            if not owner:
                general[name] = checked
            elif owner == provider:
                own[name] = checked
        return cls(**{**general, **own})

    def create_script(self) -> Script:
        """Scripted faults of creates."""
        flaky = ",".join(f"{p}=transient:{n or 1}" for p, _, n in (r.partition(":") for r in _rules(self.flaky)))
        return Script.parse("flaky", flaky, CREATE_EFFECTS).then(Script.parse("fail", self.fail, CREATE_EFFECTS))

    def destroy_script(self) -> Script:
        """Scripted faults of destroys."""
        return Script.parse("fail_destroy", self.fail_destroy, PLAIN_EFFECTS)

    def install_script(self) -> Script:
        """Scripted faults of installs, by task service or `taskserv@server`."""
        return Script.parse("fail_taskserv", self.fail_taskserv, PLAIN_EFFECTS)

    def remove_script(self) -> Script:
        """Scripted faults of removals, by task service or `taskserv@server`."""
        return Script.parse("fail_remove", self.fail_remove, PLAIN_EFFECTS)

    def command_script(self) -> Script:
        """Scripted faults of commands, by program, operation or step."""
        return Script.parse("fail_command", self.fail_command, PLAIN_EFFECTS)

    def undo_script(self) -> Script:
        """Scripted faults of commands' undo programs, by program, operation or step."""
        return Script.parse("fail_undo", self.fail_undo, PLAIN_EFFECTS)

    def late_possible(self) -> bool:
        """Whether a create can take effect after its answer is given up."""
        return self.late_commits > 0 or self.create_script().mentions("late")

    def settle_seconds(self) -> float:
        """Longer than a create that took effect can stay out of sight."""
        worst = (self.late_max if self.late_possible() else 0.0) + self.list_lag
        return worst * self.time_scale * 1.25 + 0.5 if worst else 0.0


def _rules(text: str) -> list[str]:
    return [rule.strip() for rule in text.split(",") if rule.strip()]


_TYPES = {field.name: field.type for field in msgspec.structs.fields(Simulation)}


def _checked(key: str, name: str, value: Scalar) -> object:
    if name not in _TYPES:
        near = close_matches(name, _TYPES, n=1)
        hint = f"Did you mean {near[0]}?" if near else "The settings are listed in docs/simulation.md."
        raise UsageError(f"simulation: there is no setting {key}", hint=hint)
    wanted = _TYPES[name]
    try:
        checked = str(value) if wanted is str else msgspec.convert(value, wanted, strict=False)
    except msgspec.ValidationError as error:
        raise UsageError(f"simulation: {key} = {value}: {error}", hint="See docs/simulation.md.") from error
    if isinstance(checked, float) and not math.isfinite(checked):
        raise UsageError(f"simulation: {key} = {value}: expected a finite number", hint="See docs/simulation.md.")
    return checked
