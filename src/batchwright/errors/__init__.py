"""All errors: each has a stable code, a one-line message and a hint that says what to do.

Scripts match on `code`. scripts/reference.py writes docs/errors.md from the docstrings and hints of these classes.
"""

from batchwright.errors.approval import ApprovalLate as ApprovalLate
from batchwright.errors.approval import ApprovalOutdated as ApprovalOutdated
from batchwright.errors.approval import ApproverRefused as ApproverRefused
from batchwright.errors.approval import QuorumUnreachable as QuorumUnreachable
from batchwright.errors.archive import ArchiveRefused as ArchiveRefused
from batchwright.errors.archive import RunArchived as RunArchived
from batchwright.errors.artifact import SourceChanged as SourceChanged
from batchwright.errors.artifact import SourceInvalid as SourceInvalid
from batchwright.errors.artifact import SourceMissing as SourceMissing
from batchwright.errors.artifact import SourceRefused as SourceRefused
from batchwright.errors.base import BatchwrightError as BatchwrightError
from batchwright.errors.base import StoreError as StoreError
from batchwright.errors.environment import EnvironmentAmbiguous as EnvironmentAmbiguous
from batchwright.errors.environment import EnvironmentBusy as EnvironmentBusy
from batchwright.errors.environment import EnvironmentElsewhere as EnvironmentElsewhere
from batchwright.errors.environment import EnvironmentEmpty as EnvironmentEmpty
from batchwright.errors.environment import EnvironmentMoved as EnvironmentMoved
from batchwright.errors.environment import EnvironmentNotFound as EnvironmentNotFound
from batchwright.errors.environment import EnvironmentRefused as EnvironmentRefused
from batchwright.errors.environment import EnvironmentUnsettled as EnvironmentUnsettled
from batchwright.errors.environment import LatestAmbiguous as LatestAmbiguous
from batchwright.errors.environment import RunSuperseded as RunSuperseded
from batchwright.errors.environment import ServerBorrowed as ServerBorrowed
from batchwright.errors.fleet import FleetPackageMissing as FleetPackageMissing
from batchwright.errors.fleet import TemporalUnavailable as TemporalUnavailable
from batchwright.errors.place import PlaceAnswerLost as PlaceAnswerLost
from batchwright.errors.place import PlaceDiffers as PlaceDiffers
from batchwright.errors.place import PlaceRefused as PlaceRefused
from batchwright.errors.place import PlaceUnreachable as PlaceUnreachable
from batchwright.errors.place import PlaceUnusable as PlaceUnusable
from batchwright.errors.plan import EntryChanged as EntryChanged
from batchwright.errors.plan import PlanChanged as PlanChanged
from batchwright.errors.plan import PlanFileInvalid as PlanFileInvalid
from batchwright.errors.plan import PlanRefused as PlanRefused
from batchwright.errors.proposal import ProposalClosed as ProposalClosed
from batchwright.errors.proposal import ProposalNotFound as ProposalNotFound
from batchwright.errors.proposal import ProposalUnapproved as ProposalUnapproved
from batchwright.errors.provider import ProviderThrottled as ProviderThrottled
from batchwright.errors.provider import ProviderUnavailable as ProviderUnavailable
from batchwright.errors.service import AddressRefused as AddressRefused
from batchwright.errors.service import AuditUnreadable as AuditUnreadable
from batchwright.errors.service import AuditUnwritable as AuditUnwritable
from batchwright.errors.service import BodyUnreadable as BodyUnreadable
from batchwright.errors.service import Forbidden as Forbidden
from batchwright.errors.service import HeadTooLarge as HeadTooLarge
from batchwright.errors.service import IdempotencyMismatch as IdempotencyMismatch
from batchwright.errors.service import MediaTypeUnknown as MediaTypeUnknown
from batchwright.errors.service import PeerUnknown as PeerUnknown
from batchwright.errors.service import RehearsalNotFound as RehearsalNotFound
from batchwright.errors.service import RunChanged as RunChanged
from batchwright.errors.service import SecretRefused as SecretRefused
from batchwright.errors.service import ServiceBusy as ServiceBusy
from batchwright.errors.service import ServicePackageMissing as ServicePackageMissing
from batchwright.errors.service import ServiceStopping as ServiceStopping
from batchwright.errors.service import ServiceUnavailable as ServiceUnavailable
from batchwright.errors.service import TokensUnreadable as TokensUnreadable
from batchwright.errors.service import TooManyRequests as TooManyRequests
from batchwright.errors.service import Unauthorized as Unauthorized
from batchwright.errors.webhook import DeliveryMoved as DeliveryMoved
from batchwright.errors.webhook import WebhookInvalid as WebhookInvalid
from batchwright.errors.webhook import WebhookNotFound as WebhookNotFound


class UsageError(BatchwrightError):
    """The command line is not valid: an option, an argument or a combination of them is wrong.

    >>> raise UsageError("--zone is not known", hint="List the zones with: racks zones")
    Traceback (most recent call last):
    batchwright.errors.UsageError: --zone is not known
    """

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
    """The kernel cannot sandbox the evaluation of a client's workflow, so the workflow is not evaluated."""

    code = "evaluator-unconfined"
    hint = (
        "Run the service on Linux 5.13 or newer with Landlock and seccomp, for example in a Docker or Podman "
        "container, under its own user account. Your own files need no service: batchwright run FILE."
    )


class StoreUnavailable(StoreError):
    """The store cannot be opened."""

    code = "store-unavailable"


class StorePackageMissing(StoreUnavailable):
    """The Python package that this storage backend needs is not installed."""

    code = "store-package-missing"


class StoreReadOnly(StoreError):
    """The state folder is not writable."""

    code = "store-read-only"
    hint = "Make the state folder writable, or choose another one with --state-dir or BATCHWRIGHT_STATE_DIR."


class StoreFull(StoreError):
    """The disk that holds the state folder is full."""

    code = "store-full"
    hint = "Free some space, then continue with: batchwright resume RUN. Nothing recorded so far is lost."


class StoreCorrupt(StoreError):
    """The store's file is damaged or is not a Batchwright store."""

    code = "store-corrupt"
    hint = "Do not delete it: it is the only record of what was created. Restore a backup, or use another folder."


class StoreBehind(StoreCorrupt):
    """The store has lost acknowledged events, or cannot be verified."""

    code = "store-behind"
    hint = (
        "No run is driven. Restore a backup of the whole state folder. Or look for servers that the missing events may "
        "have created, then continue without those events: batchwright store check --accept-loss"
    )


class StoreNewer(StoreError):
    """The store was written by a newer Batchwright."""

    code = "store-newer"
    hint = "Install a newer Batchwright, or choose another state folder with --state-dir."


class StoreHeld(StoreError):
    """Another process has the store open, and the store allows only one writer."""

    code = "store-held"


class StoreUnreachable(StoreUnavailable):
    """The database server of a store does not answer."""

    code = "store-unreachable"
    hint = "Check that it is running and that its address in config.toml or the BATCHWRIGHT_* variable is correct."


class StoreUnsupported(StoreUnavailable):
    """The database server has a version, a storage engine or settings with which a journal is not safe."""

    code = "store-unsupported"
    hint = "Use a supported server (docs/stores.md), or a store in the state folder."


class StoreStandby(StoreUnavailable):
    """The PostgreSQL server is a standby, or was made read-only: it takes no writes."""

    code = "store-standby"
    hint = "Name the primary, or all servers: postgresql://db1,db2/NAME finds the one that takes writes."


class StoreDenied(StoreError):
    """The database server rejects the user, the password or the operation."""

    code = "store-denied"
    hint = "Check user, password and auth_level in config.toml or BATCHWRIGHT_SURREALDB_*; the user needs role EDITOR."


class StoreTooLarge(StoreError):
    """A journal entry is larger than the database server accepts."""

    code = "store-too-large"
    hint = "Use a smaller workflow, or a store in the state folder."


class RunNotFound(StoreError):
    """No run has this id, and no environment this name."""

    code = "run-not-found"
    hint = "List them with: batchwright list, or batchwright environments"


class RunMoved(StoreError):
    """The run has moved to another store, or its move was interrupted."""

    code = "run-moved"
    hint = "Configure that store again; docs/stores.md says how."


class RunAmbiguous(StoreError):
    """Several runs have ids that start like this, or a run and an environment match."""

    code = "run-ambiguous"
    hint = "Give more characters of the id."


class RunHeld(StoreError):
    """Another process drives this run."""

    code = "run-held"
    hint = "Watch it with: batchwright monitor RUN. You can also pause or cancel it from here."


class LeaseLost(StoreError):
    """Another process has taken over this run; this process may no longer write to it."""

    code = "lease-lost"
    hint = "Watch the run with: batchwright monitor RUN"


class SequenceConflict(StoreError):
    """Another writer has appended to the journal since it was read."""

    code = "sequence-conflict"


class EventUnreadable(StoreError):
    """This version cannot read a journal entry."""

    code = "event-unreadable"


class ServerNotFound(BatchwrightError):
    """No server has this name or reference."""

    code = "server-not-found"
    hint = "List the servers with: batchwright servers"


class StepNotFound(BatchwrightError):
    """The run has no step with this name."""

    code = "step-not-found"


class WorkflowInvalid(BatchwrightError):
    """The workflow file has mistakes; each is reported as a diagnostic."""

    code = "workflow-invalid"


class NotAllowed(BatchwrightError):
    """The run's current state does not allow this."""

    code = "not-allowed"


class IllegalTransition(BatchwrightError):
    """A state change that the life cycle does not allow: a bug in Batchwright."""

    code = "illegal-transition"
    hint = "This is a bug in Batchwright. Please report it with the output of: batchwright events RUN --json"


class ConfigInvalid(BatchwrightError):
    """The configuration file or an environment variable has a mistake."""

    code = "config-invalid"


class SecretMissing(BatchwrightError):
    """A secret is not at the place that the settings name.

    >>> raise SecretMissing("the variable RACKS_TOKEN is not set")
    Traceback (most recent call last):
    batchwright.errors.SecretMissing: the variable RACKS_TOKEN is not set
    """

    code = "secret-missing"


class VariableInvalid(BatchwrightError):
    """A task service's variable has an invalid value, which became known only when it was looked up."""

    code = "variable-value"


class ServerUnreachable(BatchwrightError):
    """A server cannot be reached over SSH, or did not answer as expected."""

    code = "server-unreachable"


class TaskservPackageMissing(BatchwrightError):
    """A Python package that task services on real servers need is not installed."""

    code = "taskserv-package-missing"
    hint = "Install it with: pip install 'batchwright[taskservs]'. To try the workflow without it, add --simulate."


class CatalogueInvalid(BatchwrightError):
    """A task service's catalogue entry has a mistake."""

    code = "catalogue-invalid"
