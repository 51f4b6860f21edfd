"""The settings of a simulation: from a flat table (`--sim key=value`, the plan's `simulation`) to checked values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta

from batchwright.errors import UsageError
from batchwright.fault_injection.fault_names import CALL_EFFECTS, CREATE_EFFECTS, PROGRAM_EFFECTS
from batchwright.fault_injection.script import FaultScript
from batchwright.fault_injection.settings import Count, FaultSettings, Rate, Seconds, checked
from batchwright.model.fault import FaultClass
from batchwright.model.plan import Guard
from batchwright.model.scalar import Scalar
from batchwright.model.update_behavior import ChangeWay

_WHERE = "simulation"
_SCRIPTS = {
    "fail_destroy": CALL_EFFECTS,
    "fail_change": CALL_EFFECTS,
    **dict.fromkeys(("fail_taskserv", "fail_remove", "fail_command", "fail_undo", "fail_check"), PROGRAM_EFFECTS),
}


class Simulation(FaultSettings, frozen=True, kw_only=True):
    """How a simulated place behaves. The defaults are a pleasant demonstration without faults."""

    seed: int = 1
    guard: Annotated[
        Guard,
        Meta(
            description="what protects against duplicates when a create is repeated: `label_only` (nothing; names and"
            " labels are not unique, the hardest case), `token` (the same token returns the same server) or"
            " `unique_name` (a name already in use is refused)"
        ),
    ] = Guard.LABEL_ONLY
    concurrency: Annotated[int, Meta(ge=1, description="maximum calls in flight that the provider allows")] = 50

    answer_seconds: Annotated[Seconds, Meta(description="median time to answer a create or a destroy")] = 0.2
    read_seconds: Annotated[Seconds, Meta(description="time to answer a listing")] = 0.02
    boot_seconds: Annotated[Seconds, Meta(description="median time from the answer until the server is ready")] = 1.5
    install_seconds: Annotated[
        Seconds, Meta(description="median time to install or remove a task service, and of a command")
    ] = 1.0
    destroy_seconds: Annotated[Seconds, Meta(description="median time until a destroyed server is gone")] = 0.5
    stop_seconds: Annotated[
        Seconds, Meta(description="median time until a server that is stopped for another plan has stopped")
    ] = 0.5
    spread: Annotated[
        float,
        Meta(ge=0, le=3, description="sigma of the log-normal distribution of these times; 0: always the median"),
    ] = 0.3

    resizes: Annotated[
        ChangeWay,
        Meta(
            description="how a server gets another plan: `live` (while it runs), `stopped` (it is stopped and started"
            " again) or `replace` (only a new server has it)"
        ),
    ] = ChangeWay.STOPPED
    quota_servers: Annotated[Count, Meta(description="maximum servers of the account; 0: no limit")] = 0
    destroy_rate: Annotated[
        Rate,
        Meta(
            description="a separate limit for destroys per second, as some clouds have. 0: they count with the creates"
        ),
    ] = 0.0
    publish_rate: Annotated[
        bool, Meta(description="whether the provider publishes its rates; real ones often do not")
    ] = False

    flaky: Annotated[
        str, Meta(description="creates that are refused as transient, once or the given number of times: `web-01:2`")
    ] = ""
    fail_destroy: Annotated[str, Meta(description="scripted faults of destroys, by the server's name")] = ""
    fail_change: Annotated[
        str,
        Meta(
            description="scripted faults of changes of a server's plan or labels, by the server's name; the calls that"
            " stop and start it have none"
        ),
    ] = ""
    fail_taskserv: Annotated[
        str, Meta(description="scripted faults of installs, by task service or `taskserv@server`")
    ] = ""
    fail_remove: Annotated[
        str, Meta(description="scripted faults of removals, by task service or `taskserv@server`")
    ] = ""
    answer: Annotated[
        str, Meta(description="answers of commands that name some, by operation: `probe:no`; otherwise the first one")
    ] = ""
    output: Annotated[
        str,
        Meta(description="what commands give, by operation and name: `migrate.revision:42`; otherwise made-up texts"),
    ] = ""
    fail_command: Annotated[str, Meta(description="scripted faults of commands, by program, operation or step")] = ""
    fail_undo: Annotated[
        str, Meta(description="scripted faults of commands' undo programs, by program, operation or step")
    ] = ""

    fail_check: Annotated[
        str, Meta(description="scripted faults of looks of checks over `http` and `tcp`, by operation or step")
    ] = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        for setting in _SCRIPTS:
            self.script(setting)

    @classmethod
    def instant(cls, **settings: Scalar) -> Simulation:
        """Nothing takes any time: a create is answered ready at once, without awaiting anything."""
        timed = ("answer", "read", "boot", "install", "destroy", "stop")
        return cls.from_settings({**{f"{what}_seconds": 0.0 for what in timed}, **settings})

    @classmethod
    def from_settings(cls, settings: Mapping[str, Scalar], provider: str = "") -> Simulation:
        """For one provider: keys like "rate" hold for all, keys like "upcloud.rate" for that one. Raises UsageError."""
        general: dict[str, Any] = {}
        own: dict[str, Any] = {}
        try:
            for key, value in settings.items():
                owner, _, name = key.rpartition(".")
                name, found = checked(cls, key, name, value)
                if not owner:
                    general[name] = found
                elif owner == provider:
                    own[name] = found
            return cls(**{**general, **own})
        except UsageError as error:
            raise UsageError(f"{_WHERE}: {error.message}", hint=error.hint) from error

    def create_script(self) -> FaultScript:
        """Scripted faults of creates."""
        flaky = ",".join(f"{p}=transient:{n or 1}" for p, _, n in (r.partition(":") for r in _rules(self.flaky)))
        return FaultScript.parse("flaky", flaky, CREATE_EFFECTS).then(super().create_script())

    def script(self, setting: str) -> FaultScript:
        """Scripted faults of other calls than creates, by the setting that holds them."""
        return FaultScript.parse(setting, getattr(self, setting), _SCRIPTS[setting])

    @property
    def chosen_answers(self) -> dict[str, str]:
        """The answer of each command that the settings name, by its operation."""
        rules = (rule.partition(":") for rule in _rules(self.answer))
        return {operation: answer for operation, _, answer in rules}

    @property
    def chosen_outputs(self) -> dict[str, str]:
        """What the settings say that commands give, by operation and name: `migrate.revision`."""
        rules = (rule.partition(":") for rule in _rules(self.output))
        return {name: value for name, _, value in rules}

    def pause(self, kind: FaultClass) -> float | None:
        """The seconds to wait that a refusal names: only too many calls do."""
        return self.time_scale if kind is FaultClass.THROTTLE else None

    def late_possible(self) -> bool:
        """Whether a create can take effect after its answer is given up."""
        return self.late_commits > 0 or self.create_script().mentions("late_commits")

    def settle_seconds(self) -> float:
        """Longer than a create that took effect can stay out of sight."""
        worst = (self.late_max if self.late_possible() else 0.0) + self.list_lag
        return self.scaled(worst) * 1.25 + 0.5 if worst else 0.0


def _rules(text: str) -> list[str]:
    return [rule.strip() for rule in text.split(",") if rule.strip()]
