"""What EC2's error codes and botocore's exceptions mean. Pure.

Codes: "Error codes for the Amazon EC2 API" in the EC2 developer guide. EC2 sends some refusals with a 5xx status
(RequestLimitExceeded, InsufficientInstanceCapacity), so the code decides, not the status.
"""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import Any

from botocore import exceptions as boto
from botocore.parsers import ResponseParserError

from batchwright.errors import ProviderThrottled, ProviderUnavailable
from batchwright.model.call_outcome import Rejected, Unknown
from batchwright.model.fault import PASSING, Fault, FaultClass
from batchwright.redaction import masked

K = FaultClass
ERRORS = (boto.BotoCoreError, boto.ClientError, ResponseParserError)  # everything that a call of boto3 may raise

_CODES: dict[FaultClass, tuple[str, ...]] = {
    K.THROTTLE: ("RequestLimitExceeded", "Throttling", "ThrottlingException", "ThrottledException", "SlowDown",
                 "TooManyRequestsException", "EC2ThrottledException", "RequestThrottled"),
    K.AUTH: ("AuthFailure", "UnauthorizedOperation", "AccessDenied", "AccessDeniedException", "ExpiredToken",
             "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch",
             "InvalidSignatureException", "RequestExpired", "RequestTimeTooSkewed", "MissingAuthenticationToken",
             "MissingAuthenticationTokenException", "IncompleteSignature", "InvalidAccessKeyId", "Blocked"),
    K.BILLING: ("OptInRequired", "PendingVerification", "AccountProblem"),
    K.QUOTA: ("InstanceLimitExceeded", "VcpuLimitExceeded", "VolumeLimitExceeded", "SecurityGroupLimitExceeded",
              "NetworkInterfaceLimitExceeded", "ResourceLimitExceeded", "AddressLimitExceeded",
              "MaxIOPSLimitExceeded", "KeyPairLimitExceeded"),
    K.CAPACITY: ("InsufficientInstanceCapacity", "InsufficientCapacity", "InsufficientHostCapacity",
                 "InsufficientFreeAddressesInSubnet", "InsufficientAddressCapacity", "InsufficientVolumeCapacity"),
    K.BUSY: ("DependencyViolation", "IncorrectState", "IncorrectInstanceState", "VolumeInUse", "ConcurrentTagAccess",
             "InvalidNetworkInterface.InUse", "IncorrectStateTransition"),
    K.CONFLICT: ("IdempotentParameterMismatch", "IdempotentInstanceTerminated", "DuplicateClientToken"),
    K.PERMANENT: ("OperationNotPermitted", "CannotDelete"),
    K.INVALID: ("Unsupported", "UnsupportedOperation", "UnknownParameter", "VPCIdNotSpecified",
                "DefaultVpcDoesNotExist", "ValidationError", "ValidationException", "TagLimitExceeded"),
}  # fmt: skip
_KINDS = {code: kind for kind, codes in _CODES.items() for code in codes}
_SKEW_CODES = ("RequestExpired", "RequestTimeTooSkewed", "SignatureDoesNotMatch", "InvalidSignatureException",
               "AuthFailure")  # fmt: skip
_SKEW_SECONDS = 240.0  # AWS accepts requests whose clock is up to five minutes off

_HINTS = {
    K.AUTH: "Check the credentials: AWS_PROFILE, AWS_ACCESS_KEY_ID, or log in again (aws sso login).",
    K.BILLING: "Check the account in the AWS console; it may need verification or a subscription.",
    K.QUOTA: "Raise the limit in the Service Quotas console, or ask for less.",
    K.CAPACITY: "Use another zone or another plan for some of the servers.",
}
_NOT_ALLOWED = "Grant this permission; docs/providers/aws.md has a policy with all that are needed."


def kind_of(code: str) -> FaultClass | None:
    """The fault class of an error code; None if the code is unknown."""
    if code in _KINDS:
        return _KINDS[code]
    if code.endswith((".NotFound", "NotFoundException")):
        return K.NOT_FOUND
    if code.endswith((".Duplicate", ".InUse")):
        return K.CONFLICT
    if code.startswith(("Invalid", "Missing", "Malformed")):
        return K.INVALID
    return None


def code_of(error: BaseException) -> str:
    """The error code of AWS; empty if the error is not an answer of AWS."""
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, boto.ClientError) else ""


def explain(error: BaseException, now: float) -> Fault:
    """Turn an exception of a call into a Fault. `now` is this machine's time."""
    if isinstance(error, boto.ClientError):
        return _answered(error, now)
    kind, message, hint = _unanswered(error)
    return Fault(kind, masked(message), hint=hint)  # botocore quotes the whole address


def _answered(error: Any, now: float) -> Fault:
    code = code_of(error)
    meta = error.response.get("ResponseMetadata", {})
    status = meta.get("HTTPStatusCode", 0)
    kind = kind_of(code) or (K.TRANSIENT if status >= 500 else K.PERMANENT)
    told = str(error.response.get("Error", {}).get("Message", ""))
    if "<" in told[:200] and "html" in told[:500].lower():  # a gateway's page that was parsed as AWS's message
        told = f"HTTP {status} without an answer of AWS; is there a proxy in between?"
    message = f"AWS: {told or code or f'HTTP {status} without an explanation'}"
    skew = _skew(meta.get("HTTPHeaders", {}).get("date", ""), now)
    if code in _SKEW_CODES and abs(skew) > _SKEW_SECONDS:
        message = f"this machine's clock is {abs(skew):.0f} s {'behind' if skew > 0 else 'ahead of'} AWS's"
        return Fault(K.AUTH, message, code, "Set the clock, for example by starting a time service (NTP).")
    if code == "UnauthorizedOperation" or code.startswith("AccessDenied"):
        what = f"AWS: these credentials have no permission for {error.operation_name}"
        return Fault(K.AUTH, what, code, _NOT_ALLOWED)
    if code.startswith("ExpiredToken"):
        return Fault(K.AUTH, "the AWS credentials have expired", code, "Log in again, for example: aws sso login")
    retry_after = meta.get("HTTPHeaders", {}).get("retry-after", "")
    pause = float(retry_after) if retry_after.isdigit() else None
    return Fault(kind, message, code, _HINTS.get(kind, ""), pause)


def _skew(date: str, now: float) -> float:
    try:
        return parsedate_to_datetime(date).timestamp() - now if date else 0.0
    except ValueError:
        return 0.0


def _unanswered(error: BaseException) -> tuple[FaultClass, str, str]:
    network = "Check the network and AWS_ENDPOINT_URL."
    match error:
        case boto.NoCredentialsError() | boto.PartialCredentialsError():
            return K.AUTH, "there are no complete AWS credentials", (
                "Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run: aws configure. "
                "To rehearse without an account, add --simulate."
            )  # fmt: skip
        case boto.ProfileNotFound():
            return K.AUTH, f"AWS: {error}", "Correct AWS_PROFILE, or profile under [aws] in config.toml."
        case (
            boto.CredentialRetrievalError()
            | boto.TokenRetrievalError()
            | boto.SSOTokenLoadError()
            | boto.UnauthorizedSSOTokenError()
            | boto.MetadataRetrievalError()
        ):
            return K.AUTH, f"the AWS credentials could not be loaded: {error}", "Log in again: aws sso login"
        case boto.ProxyConnectionError():
            return (
                K.TRANSIENT,
                f"the proxy on the way to AWS does not answer: {error}",
                "Check HTTPS_PROXY and NO_PROXY.",
            )
        case boto.SSLError():
            return K.TRANSIENT, f"the TLS connection to AWS failed: {error}", (
                "A proxy may be in between: name its certificates with AWS_CA_BUNDLE."
            )  # fmt: skip
        case boto.EndpointConnectionError() | boto.ConnectTimeoutError():
            return K.TRANSIENT, _unreachable(error), network
        case boto.ReadTimeoutError():
            return K.TRANSIENT, "AWS did not answer in time", network
        case ResponseParserError():
            return K.TRANSIENT, "the server that answered is not AWS", (
                "A gateway or a proxy is in between; check AWS_ENDPOINT_URL and HTTPS_PROXY."
            )  # fmt: skip
        case boto.ParamValidationError():
            return K.INVALID, f"botocore: {' '.join(str(error).split())}", ""
        case boto.NoRegionError() | boto.InvalidRegionError():
            return K.INVALID, f"AWS: {error}", "Set AWS_REGION or regions under [aws] in config.toml."
    return K.TRANSIENT, f"AWS: {type(error).__name__}: {error}", network


def _unreachable(error: BaseException) -> str:
    text = f"{error} {error.__cause__ or ''} {getattr(error, 'kwargs', {}).get('error', '')}"
    if any(word in text for word in ("resolve", "getaddrinfo", "Name or service", "name resolution")):
        return f"the name of AWS's endpoint cannot be resolved (DNS): {error}"
    return f"AWS cannot be reached: {error}"


GATES = (401, 403, 413, 429)  # statuses with which a gateway refuses a call without forwarding it
_UNSENT = (
    boto.NoCredentialsError, boto.PartialCredentialsError, boto.CredentialRetrievalError, boto.TokenRetrievalError,
    boto.ParamValidationError, boto.EndpointConnectionError, boto.ConnectTimeoutError, boto.ProxyConnectionError,
    boto.NoRegionError,
)  # fmt: skip


def outcome(error: BaseException, now: float) -> Rejected | Unknown:
    """The outcome of a changing call that raised. Rejected only if it certainly had no effect.

    A refusal without an AWS code comes from something in between, which may have forwarded the call before it gave up.
    """
    fault = explain(error, now)
    if isinstance(error, boto.ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        code = code_of(error)
        told = bool(code) and not code.isdecimal() and code != "Unknown"
        certain = kind_of(code) is not None or (400 <= status < 500 and (told or status in GATES))
    else:
        certain = isinstance(error, _UNSENT)
    return Rejected(fault) if certain else Unknown(fault.message)


def unavailable(error: BaseException, now: float) -> ProviderUnavailable:
    """The ProviderUnavailable for an exception of a read-only call."""
    fault = explain(error, now)
    if fault.kind is FaultClass.THROTTLE:
        return ProviderThrottled(fault.message, retry_after=fault.retry_after)
    return ProviderUnavailable(
        fault.message, hint=fault.hint or "Try again in a moment.", passing=fault.kind in PASSING
    )
