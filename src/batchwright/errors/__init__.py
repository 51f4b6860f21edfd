"""One tree of errors: each has a stable code, a one-line message and a hint that says what to do.

A class's docstring is its default hint-free summary for the reference in docs/errors.md; scripts match on `code`.
"""

from batchwright.errors.base import BatchwrightError as BatchwrightError
from batchwright.errors.service import (
    AddressRefused as AddressRefused,
)
from batchwright.errors.service import (
    AuditUnwritable as AuditUnwritable,
)
from batchwright.errors.service import (
    BodyUnreadable as BodyUnreadable,
)
from batchwright.errors.service import (
    Forbidden as Forbidden,
)
from batchwright.errors.service import (
    HeadTooLarge as HeadTooLarge,
)
from batchwright.errors.service import (
    IdempotencyMismatch as IdempotencyMismatch,
)
from batchwright.errors.service import (
    MediaTypeUnknown as MediaTypeUnknown,
)
from batchwright.errors.service import (
    PeerUnknown as PeerUnknown,
)
from batchwright.errors.service import (
    RunChanged as RunChanged,
)
from batchwright.errors.service import (
    SecretRefused as SecretRefused,
)
from batchwright.errors.service import (
    ServiceBusy as ServiceBusy,
)
from batchwright.errors.service import (
    ServicePackageMissing as ServicePackageMissing,
)
from batchwright.errors.service import (
    ServiceStopping as ServiceStopping,
)
from batchwright.errors.service import (
    ServiceUnavailable as ServiceUnavailable,
)
from batchwright.errors.service import (
    TokensUnreadable as TokensUnreadable,
)
from batchwright.errors.service import (
    TooManyRequests as TooManyRequests,
)
from batchwright.errors.service import (
    Unauthorized as Unauthorized,
)


class UsageError(BatchwrightError):
    """The command was asked for in a way that cannot work."""

    code = "usage"


class FileUnreadable(BatchwrightError):
    """A workflow file or overlay could not be read."""

    code = "file-unreadable"
    hint = "Check the path and its permissions."


class EvaluatorUnavailable(BatchwrightError):
    """The Nickel evaluator could not be started."""

    code = "evaluator-unavailable"
    hint = "Install the package again: pip install --force-reinstall batchwright"


class EvaluatorUnconfined(EvaluatorUnavailable):
    """The kernel cannot confine the evaluation of a client's workflow, so it is not evaluated."""

    code = "evaluator-unconfined"
    hint = (
        "Run the service on Linux 5.13 or newer with Landlock and seccomp, for example in a container of Docker or "
        "Podman, as a user of its own. Your own files need no service: batchwright run FILE."
    )


class StoreError(BatchwrightError):
    """The store cannot do what was asked."""

    code = "store"


class StoreUnavailable(StoreError):
    """The store cannot be opened."""

    code = "store-unavailable"


class StorePackageMissing(StoreUnavailable):
    """The package of this storage backend is not installed."""

    code = "store-package-missing"


class StoreReadOnly(StoreError):
    """The state folder cannot be written."""

    code = "store-read-only"
    hint = "Make the state folder writable, or name another one with --state-dir or BATCHWRIGHT_STATE_DIR."


class StoreFull(StoreError):
    """The disk that holds the state folder is full."""

    code = "store-full"
    hint = "Free some space, then go on with: batchwright resume RUN. Nothing that was recorded is lost."


class StoreCorrupt(StoreError):
    """The store's file is damaged or is not a Batchwright store."""

    code = "store-corrupt"
    hint = "Do not delete it: it is the only record of what was made. Restore a backup, or name another state folder."


class StoreBehind(StoreCorrupt):
    """The store has less than what was acknowledged, or nobody can say."""

    code = "store-behind"
    hint = (
        "Nothing is driven. Restore a backup of the whole state folder; or look for what the missing events may have "
        "made, and go on without them with: batchwright store check --accept-loss"
    )


class StoreNewer(StoreError):
    """The store was written by a newer Batchwright."""

    code = "store-newer"
    hint = "Install a newer Batchwright, or name another state folder with --state-dir."


class StoreHeld(StoreError):
    """Another process holds the store and it takes one writer."""

    code = "store-held"


class StoreUnreachable(StoreUnavailable):
    """The SurrealDB server does not answer."""

    code = "store-unreachable"
    hint = "Look whether it runs and whether the address in BATCHWRIGHT_SURREALDB_URL or config.toml is right."


class StoreUnsupported(StoreUnavailable):
    """The SurrealDB server is of a version that this Batchwright does not know."""

    code = "store-unsupported"
    hint = "Use a server of version 2, or the store in the state folder."


class StoreDenied(StoreError):
    """The SurrealDB server refuses the user, the password, or what is asked."""

    code = "store-denied"
    hint = "Check user, password and auth_level in config.toml or BATCHWRIGHT_SURREALDB_*; the user must be an editor."


class StoreTooLarge(StoreError):
    """An entry is larger than the SurrealDB server takes in one message."""

    code = "store-too-large"
    hint = "Use a smaller workflow, or a store in the state folder."


class RunNotFound(StoreError):
    """No run has this id."""

    code = "run-not-found"
    hint = "See the ids with: batchwright list"


class RunMoved(StoreError):
    """The run lives in another store, or was left on its way there."""

    code = "run-moved"
    hint = "Configure that store as it was; docs/stores.md says how."


class RunAmbiguous(StoreError):
    """More than one run's id starts like this."""

    code = "run-ambiguous"
    hint = "Give more characters of the id."


class RunHeld(StoreError):
    """Another process drives this run."""

    code = "run-held"
    hint = "Watch it with: batchwright monitor RUN. It can be paused and cancelled from here too."


class RunUnfinished(BatchwrightError):
    """An earlier run of this workflow has not ended, and nobody drives it."""

    code = "run-unfinished"
    hint = "Go on with it: batchwright resume RUN. To start another all the same, add --anyway."


class LeaseLost(StoreError):
    """Another process took this run over; this one may no longer write to it."""

    code = "lease-lost"
    hint = "Watch the run with: batchwright monitor RUN"


class SequenceConflict(StoreError):
    """The journal has moved on since it was read."""

    code = "sequence-conflict"


class EventUnreadable(StoreError):
    """A journal entry cannot be understood by this version."""

    code = "event-unreadable"


class ServerNotFound(BatchwrightError):
    """No server has this name or reference."""

    code = "server-not-found"
    hint = "See them with: batchwright servers"


class StepNotFound(BatchwrightError):
    """The run has no step of this name."""

    code = "step-not-found"


class WorkflowInvalid(BatchwrightError):
    """The workflow file has mistakes; each is one diagnostic."""

    code = "workflow-invalid"


class PlanRefused(BatchwrightError):
    """The pre-flight found problems; nothing was started."""

    code = "plan-refused"
    hint = "Nothing was changed. Mend what is listed and try again."


class PlanChanged(BatchwrightError):
    """The plan is no longer the one that was approved."""

    code = "plan-changed"
    hint = "Nothing was changed. Look at the new plan with batchwright plan and the same options."


class NotAllowed(BatchwrightError):
    """The run is in a state in which this cannot be done."""

    code = "not-allowed"


class IllegalTransition(BatchwrightError):
    """A state change that the life cycle does not know: a bug in Batchwright."""

    code = "illegal-transition"
    hint = "This is a bug in Batchwright. Please report it with the output of: batchwright events RUN --json"


class ProviderUnavailable(BatchwrightError):
    """A provider cannot be used: unknown, its package is missing, or it cannot be reached."""

    code = "provider-unavailable"

    def __init__(self, message: str, *, hint: str | None = None, passing: bool | None = None) -> None:
        super().__init__(message, hint=hint)
        self.passing = passing  # whether asking again may help; None where the adapter does not say


class ProviderThrottled(ProviderUnavailable):
    """A provider does not answer because it was asked too often."""

    code = "provider-throttled"
    hint = "Try again in a moment, or lower the rate in its settings."

    def __init__(self, message: str, *, retry_after: float | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint, passing=True)
        self.retry_after = retry_after  # seconds that it asked to be left alone, where it said


class ConfigInvalid(BatchwrightError):
    """The configuration file or a variable of the environment has a mistake."""

    code = "config-invalid"


class SecretMissing(BatchwrightError):
    """A secret is not where the settings say that it is."""

    code = "secret-missing"


class VariableInvalid(BatchwrightError):
    """A variable of a task service has a value that it cannot have, seen when the value became known."""

    code = "variable-value"


class ServerUnreachable(BatchwrightError):
    """A server cannot be reached over SSH, or cannot be asked what it was to be asked."""

    code = "server-unreachable"


class TaskservPackageMissing(BatchwrightError):
    """A package that only task services on real servers need is not installed."""

    code = "taskserv-package-missing"
    hint = "Install them with: pip install 'batchwright[taskservs]'. To rehearse without them, add --simulate."


class CatalogueInvalid(BatchwrightError):
    """A task service's catalogue entry has a mistake."""

    code = "catalogue-invalid"
