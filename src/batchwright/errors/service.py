"""Errors of the service, and of those who ask it."""

from batchwright.errors.base import BatchwrightError


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
