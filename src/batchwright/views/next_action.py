"""What to do now about a run, in one line with the exact command."""

from __future__ import annotations

from batchwright.model.lifecycle import RUN_ENDED, RunState
from batchwright.model.run import Run, made_something, unsettled


def next_action(run: Run, *, driven: bool) -> str:
    """What to do now, in one line with the exact command."""
    own = run.id
    if run.asking and run.status is not RunState.PAUSED:
        answer = f"answer it: batchwright approve {own}, or batchwright refuse {own}"
        return answer if driven else f"{answer}; no process drives this run, so then: batchwright resume {own}"
    if run.status not in RUN_ENDED and not driven:
        return f"no process drives this run; continue it with: batchwright resume {own}"
    undo = f"batchwright rollback {own}" if run.plan.rollback_enabled and _made_anything(run) else ""
    match run.status:
        case RunState.PAUSED:
            return f"continue it with: batchwright resume {own}"
        case RunState.PENDING | RunState.RUNNING | RunState.ROLLING_BACK:
            return f"watch it with: batchwright monitor {own}"
        case RunState.COMPLETED:
            what = "undo what it did" if _changed_anything(run) else "remove what it created"
            missing = "run the file again for what is missing" if run.degraded else "nothing is left to do"
            return f"{f'{missing}, or ' if run.degraded else ''}to {what}: {undo}" if undo else missing
        case RunState.FAILED | RunState.CANCELLED:
            asked = next((i for i in range(len(run.records)) if unsettled(run, i)), None)
            if asked is not None:
                return _ask(run, asked, undo)
            first = "fix the cause, then " if run.status is RunState.FAILED else ""
            resume = f"{first}finish the remaining steps with: batchwright resume {own}"
            return f"{resume}, or undo it with: {undo}" if undo else resume
        case RunState.ROLLED_BACK:
            back = ", and what it changed is as before" if _changed_anything(run) else ""
            return f"nothing that it created is left{back}; you can run the file again"
        case RunState.ROLLBACK_INCOMPLETE:
            return f"fix the cause, then retry the rest with: {undo}"


def _ask(run: Run, i: int, undo: str) -> str:
    step = run.plan.steps[i].id
    told = f"check whether {step} took effect, then run it again with: batchwright resume {run.id} --redo {step}"
    told += f", or mark it as done with: batchwright resume {run.id} --skip {step}"
    return f"{told}, or undo the run with: {undo}" if undo else told


def _changed_anything(run: Run) -> bool:
    steps = zip(run.plan.steps, run.records, strict=True)
    return any(step.before is not None and not step.existed and record.attempt for step, record in steps)


def _made_anything(run: Run) -> bool:
    return run.status in RUN_ENDED and any(made_something(run, i) for i in range(len(run.records)))
