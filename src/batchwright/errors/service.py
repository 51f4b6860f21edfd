"""Errors of the service and of its clients."""

from batchwright.errors.base import BatchwrightError


class ServicePackageMissing(BatchwrightError):
    """A Python package that only the service needs is not installed."""

    code = "service-package-missing"
    hint = "Install it with: pip install 'batchwright[service]'"


class AddressRefused(BatchwrightError):
    """The service refuses to listen on this address."""

    code = "address-refused"


class ServiceUnavailable(BatchwrightError):
    """No service is configured, it cannot be reached, or the program that answers is not Batchwright."""

    code = "service-unavailable"
    hint = "Start one with: batchwright serve. Or set the address with --url or BATCHWRIGHT_URL."


class ServiceStopping(BatchwrightError):
    """The service is shutting down and accepts no more work."""

    code = "service-stopping"
    hint = "Try again after it has been restarted."


class TooManyRequests(BatchwrightError):
    """The caller has exceeded a rate limit of the service, or its queue is full."""

    code = "too-many-requests"
    hint = "Try again in a moment."


class RehearsalNotFound(BatchwrightError):
    """The service has no rehearsal with this id: it never had, or its result was kept long enough."""

    code = "rehearsal-not-found"
    hint = "Start it again."


class ServiceBusy(BatchwrightError):
    """The service is at capacity and cannot accept this request now."""

    code = "service-busy"
    hint = "Try again in a moment."


class HeadTooLarge(BatchwrightError):
    """A request's URL and headers exceed the size limit."""

    code = "head-too-large"
    hint = "Send fewer or shorter headers and parameters."


class IdempotencyMismatch(BatchwrightError):
    """A different submission has already used this Idempotency-Key."""

    code = "idempotency-mismatch"
    hint = "Use a new key for a new submission. Nothing was started."


class RunChanged(BatchwrightError):
    """The run has changed since the state that If-Match names."""

    code = "run-changed"
    hint = "Read the run again, then decide again."


class BodyUnreadable(BatchwrightError):
    """The request body does not match its Content-Type."""

    code = "body-unreadable"


class MediaTypeUnknown(BatchwrightError):
    """This call does not accept the Content-Type of the request body."""

    code = "media-type-unknown"
    hint = "Send application/json, text/x-nickel or application/yaml, and name it in Content-Type."


class Unauthorized(BatchwrightError):
    """The request has no token, or its token is not valid."""

    code = "unauthorized"
    hint = "Send Authorization: Bearer TOKEN. Create one with: batchwright token create --role ROLE"


class Forbidden(BatchwrightError):
    """The token's role, or the origin of the request, does not allow this."""

    code = "forbidden"


class PeerUnknown(Forbidden):
    """The caller sent no token and could not be identified as root or the user who runs the service."""

    code = "peer-unknown"
    hint = "Use a token: batchwright token create --role ROLE, then send Authorization: Bearer TOKEN."


class AuditUnwritable(BatchwrightError):
    """The request could not be recorded in the audit trail, so it was not carried out."""

    code = "audit-unwritable"
    hint = "Nothing was done. The service's log has the reason; free some space, or make the state folder writable."


class AuditUnreadable(BatchwrightError):
    """The audit trail exists and cannot be read."""

    code = "audit-unreadable"
    hint = "It is the file audit.jsonl in the state folder, and belongs to who runs the service."


class SecretRefused(Forbidden):
    """A client's workflow refers to a secret that the service's operator has not allowed."""

    code = "secret-refused"
    hint = "No secret was read and nothing was started."


class TokensUnreadable(BatchwrightError):
    """The token file is damaged, or other users can read it."""

    code = "tokens-unreadable"
