"""A run told event by event, for the tests of views and screens."""

from __future__ import annotations

from batchwright.model import events as ev
from batchwright.model.fault import Fault, FaultClass
from batchwright.model.lifecycle import RunState
from batchwright.model.plan import Plan
from batchwright.model.run import Run
from batchwright.model.taskserv import Taskserv
from batchwright.model.workflow import Operation
from batchwright.testing.plans import plan_of, servers, taskservs, workflow

T0 = 1_700_000_000.0
CATALOGUE = {
    "containerd": Taskserv("containerd", "1.7", "", 10.0),
    "kubernetes": Taskserv("kubernetes", "1.34", "", 10.0, requires=("containerd",)),
    "redis": Taskserv("redis", "7.0", "", 10.0),
}
DOWN = Fault(FaultClass.TRANSIENT, "the service is not available", code="503", hint="Wait for it.")
BAD = Fault(FaultClass.INVALID, "no such plan", hint="Choose another plan.")


class Story:
    """Applies events to a fold and keeps them; times are seconds after T0."""

    def __init__(self, *operations: Operation, **rest: object) -> None:
        plan: Plan = plan_of(workflow(*operations, **rest), CATALOGUE)
        created = ev.RunCreated(T0, "abcdefghijkl", plan, "ada")
        self.run = Run(created)
        self.history: list[ev.AnyEvent] = [created]

    def tell(self, event: ev.AnyEvent) -> Story:
        self.run.apply(event)
        self.history.append(event)
        return self

    def begin(self, at: float = 0.0) -> Story:
        return self.tell(ev.DriverStarted(T0 + at, "host:1:1", 1)).tell(ev.RunStarted(T0 + at))

    def start(self, *steps: str, at: float) -> Story:
        for step in steps:
            record = self.run.record(step)
            token = self.run.token(self.run.step(step))
            self.tell(ev.StepStarted(T0 + at, step, record.attempt + 1, token))
        return self

    def succeed(self, *steps: str, at: float, made: bool = True) -> Story:
        for step in steps:
            self.tell(ev.StepSucceeded(T0 + at, step, f"ref-{step.rpartition('/')[2]}", "10.0.0.1", made))
        return self

    def fail(self, step: str, at: float, fault: Fault = BAD) -> Story:
        return self.tell(ev.StepFailed(T0 + at, step, self.run.record(step).attempt, fault))

    def retry(self, step: str, at: float, until: float, fault: Fault = DOWN, *, counted: bool = True) -> Story:
        attempt = self.run.record(step).attempt
        return self.tell(ev.StepRetrying(T0 + at, step, attempt, T0 + until, fault, counted))

    def skip(self, step: str, at: float, reason: str, because: str) -> Story:
        return self.tell(ev.StepSkipped(T0 + at, step, reason, because))

    def end(self, status: RunState, at: float, reason: str = "") -> Story:
        return self.tell(ev.RunEnded(T0 + at, status, reason))


def fleet(**rest: object) -> Story:
    """Two servers, then two task services on each, then a server that only waits for them."""
    return Story(
        servers("web", "a", "b"),
        taskservs("kube", "kubernetes", after=["web"], provider="aws"),
        servers("late", "c", after=["kube"]),
        **rest,
    )
