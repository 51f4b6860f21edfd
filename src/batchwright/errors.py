"""One tree of errors: each has a stable code, a one-line message and a hint that says what to do.

A class's docstring is its default hint-free summary for the reference in docs/errors.md; scripts match on `code`.
"""


class BatchwrightError(Exception):
    """Something Batchwright can explain went wrong."""

    code = "error"
    hint = ""

    def __init__(self, message: str, *, hint: str | None = None, diagnostics: tuple[object, ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.diagnostics = diagnostics  # the findings behind it, where there are some
        if hint is not None:
            self.hint = hint


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


class ServicePackageMissing(BatchwrightError):
    """A package that only the service needs is not installed."""

    code = "service-package-missing"
    hint = "Install them with: pip install 'batchwright[service]'"


class AddressRefused(BatchwrightError):
    """The service does not listen on this address."""

    code = "address-refused"


class ServiceUnavailable(BatchwrightError):
    """The service cannot be reached, none is named, or what answers is none."""

    code = "service-unavailable"
    hint = "Start one with: batchwright serve. Or name another with --url or BATCHWRIGHT_URL."


class ServiceStopping(BatchwrightError):
    """The service is stopping and takes no more work."""

    code = "service-stopping"
    hint = "Try again when it has been started again."


class TooManyRequests(BatchwrightError):
    """More is asked of the service than it takes on at a time."""

    code = "too-many-requests"
    hint = "Try again in a moment."


class ServiceBusy(BatchwrightError):
    """The service has no room for this request beside those that it answers now."""

    code = "service-busy"
    hint = "Try again in a moment."


class HeadTooLarge(BatchwrightError):
    """A request's address and headers are larger than they may be."""

    code = "head-too-large"
    hint = "Send fewer or shorter headers and parameters."


class IdempotencyMismatch(BatchwrightError):
    """Something else was submitted under this Idempotency-Key before."""

    code = "idempotency-mismatch"
    hint = "Use a new key for a new submission. Nothing was started."


class RunChanged(BatchwrightError):
    """The run has moved on since the state that If-Match names."""

    code = "run-changed"
    hint = "Look at the run again, then decide again."


class BodyUnreadable(BatchwrightError):
    """The body of a request cannot be read as what it says it is."""

    code = "body-unreadable"


class MediaTypeUnknown(BatchwrightError):
    """The body of a request is of a type that this call does not take."""

    code = "media-type-unknown"
    hint = "Send application/json, text/x-nickel or application/yaml, and say which in Content-Type."


class Unauthorized(BatchwrightError):
    """The request carries no token, or one that is not valid."""

    code = "unauthorized"
    hint = "Send Authorization: Bearer TOKEN. Make one with: batchwright token create --role ROLE"


class Forbidden(BatchwrightError):
    """The token's role, or where the request comes from, does not allow this."""

    code = "forbidden"


class PeerUnknown(Forbidden):
    """Without a token only the user who runs the service, and root, are let in, and this is not known to be one."""

    code = "peer-unknown"
    hint = "Use a token: batchwright token create --role ROLE, then send Authorization: Bearer TOKEN."


class AuditUnwritable(BatchwrightError):
    """What was asked for cannot be written into the audit trail, so it was not done."""

    code = "audit-unwritable"
    hint = "Nothing was done. See why in the service's log; free some space, or mend the state folder."


class SecretRefused(Forbidden):
    """The workflow of a client names a secret that the operator of the service has not listed."""

    code = "secret-refused"
    hint = "Nothing was looked up and nothing was started."


class TokensUnreadable(BatchwrightError):
    """The file of the tokens is damaged, or others may read it."""

    code = "tokens-unreadable"


class ConfigInvalid(BatchwrightError):
    """The configuration file or a variable of the environment has a mistake."""

    code = "config-invalid"


class SecretMissing(BatchwrightError):
    """A secret is not where the settings say that it is."""

    code = "secret-missing"


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
