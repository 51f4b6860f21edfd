"""Errors about environments: who may change one now, and which of its runs may go on."""

from __future__ import annotations

from typing import Any

from batchwright.errors.base import StoreError


class EnvironmentRefused(StoreError):
    """A run may not change its environment now. `run` is the run that stands in the way."""

    code = "environment-refused"

    def __init__(self, message: str, *, run: str = "", **more: Any) -> None:
        super().__init__(message, **more)
        self.run = run


class EnvironmentNotFound(StoreError):
    """There is no environment of this name."""

    code = "environment-not-found"
    hint = "List them with: batchwright environments"


class EnvironmentEmpty(EnvironmentRefused):
    """The environment has nothing that could be destroyed."""

    code = "environment-empty"


class EnvironmentBusy(EnvironmentRefused):
    """Another run is changing this environment; only one may at a time."""

    code = "environment-busy"
    hint = "Wait for it with --wait. If no process drives it: batchwright resume RUN, or batchwright cancel RUN"


class EnvironmentMoved(EnvironmentRefused):
    """The environment was changed while this change was being prepared."""

    code = "environment-moved"
    hint = "Plan again."


class EnvironmentUnsettled(EnvironmentRefused):
    """The outcome of a call is unknown, so a server may exist that no run knows."""

    code = "environment-unsettled"
    hint = (
        "Settle it: batchwright resume RUN, or batchwright rollback RUN. If the provider is gone for good: batchwright "
        "resume RUN --forget LANE"
    )


class EnvironmentElsewhere(EnvironmentRefused):
    """This environment lives in another store of this state folder."""

    code = "environment-elsewhere"
    hint = "Use that store, or move the environment: batchwright store migrate"


class ServerBorrowed(EnvironmentRefused):
    """Another environment uses a server that would be destroyed."""

    code = "server-borrowed"
    hint = "Take it out of that environment's file and run it, or destroy that environment."


class RunSuperseded(EnvironmentRefused):
    """A newer run has changed the environment since, so this run can only be looked at."""

    code = "run-superseded"
    hint = "Roll back the newer run first, or run the file again."


class EnvironmentAmbiguous(StoreError):
    """Several environments have this name: a real one and a simulated one, or one in each of two stores."""

    code = "environment-ambiguous"
    hint = "Write real:NAME or simulated:NAME, or give a run id."


class LatestAmbiguous(StoreError):
    """`latest` is not accepted for a command that destroys something while there are several environments."""

    code = "latest-ambiguous"
    hint = "Give a run id or the name of an environment: batchwright environments lists both."
