"""What AWS's codes and botocore's exceptions mean: a refusal is only one when nothing was made."""

from __future__ import annotations

from email.utils import formatdate
from typing import Any

import pytest
from botocore import exceptions as boto

from batchwright.model.call_outcome import Rejected, Unknown
from batchwright.model.fault import FaultClass
from batchwright.providers.aws.faults import explain, outcome

NOW = 1_800_000_000.0
URL = {"endpoint_url": "https://ec2.eu-central-1.amazonaws.com"}


def answer(code: str, status: int = 400, message: str = "no", **headers: str) -> boto.ClientError:
    meta: dict[str, Any] = {"HTTPStatusCode": status, "HTTPHeaders": headers}
    return boto.ClientError({"Error": {"Code": code, "Message": message}, "ResponseMetadata": meta}, "RunInstances")


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("RequestLimitExceeded", 503, FaultClass.THROTTLE),
        ("InsufficientInstanceCapacity", 500, FaultClass.CAPACITY),
        ("VcpuLimitExceeded", 400, FaultClass.QUOTA),
        ("UnauthorizedOperation", 403, FaultClass.AUTH),
        ("OptInRequired", 401, FaultClass.BILLING),
        ("InvalidAMIID.NotFound", 400, FaultClass.NOT_FOUND),
        ("InvalidKeyPair.Duplicate", 400, FaultClass.CONFLICT),
        ("InvalidParameterValue", 400, FaultClass.INVALID),
        ("DependencyViolation", 400, FaultClass.BUSY),
        ("IdempotentParameterMismatch", 400, FaultClass.CONFLICT),
        ("SomethingNew", 400, FaultClass.PERMANENT),
    ],
)
def test_a_refusal_has_a_class(code: str, status: int, kind: FaultClass) -> None:
    found = outcome(answer(code, status), NOW)
    assert isinstance(found, Rejected)
    assert found.fault.kind is kind
    assert found.fault.code == code


@pytest.mark.parametrize(
    "error",
    [
        answer("InternalError", 500),
        answer("Unavailable", 503),
        answer("SomethingNew", 500),
        boto.ReadTimeoutError(**URL),
        boto.ConnectionClosedError(**URL),
        boto.SSLError(error="broken in the middle", **URL),
        boto.ResponseStreamingError(error="cut off"),
        RuntimeError("anything"),
    ],
)
def test_what_may_have_been_done_is_unknown(error: BaseException) -> None:
    assert isinstance(outcome(error, NOW), Unknown)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (boto.NoCredentialsError(), FaultClass.AUTH),
        (boto.EndpointConnectionError(**URL), FaultClass.TRANSIENT),
        (boto.ConnectTimeoutError(**URL), FaultClass.TRANSIENT),
        (boto.ProxyConnectionError(proxy_url="http://proxy:3128"), FaultClass.TRANSIENT),
        (boto.ParamValidationError(report="Missing"), FaultClass.INVALID),
    ],
)
def test_what_was_never_sent_is_a_refusal(error: BaseException, kind: FaultClass) -> None:
    found = outcome(error, NOW)
    assert isinstance(found, Rejected)
    assert found.fault.kind is kind


@pytest.mark.parametrize(
    ("error", "words", "hint"),
    [
        (answer("RequestExpired", date=formatdate(NOW + 400, usegmt=True)), "clock is 400 s behind AWS's", "NTP"),
        (answer("SignatureDoesNotMatch", date=formatdate(NOW - 700, usegmt=True)), "700 s ahead of AWS's", "NTP"),
        (answer("ExpiredToken", 403), "credentials have expired", "aws sso login"),
        (answer("UnauthorizedOperation", 403), "no permission for RunInstances", "policy"),
        (boto.ProfileNotFound(profile="prod"), "(prod)", "AWS_PROFILE"),
        (boto.SSLError(error="self-signed certificate", **URL), "self-signed", "AWS_CA_BUNDLE"),
        (boto.ProxyConnectionError(proxy_url="http://proxy:3128"), "proxy", "HTTPS_PROXY"),
        (boto.EndpointConnectionError(error="Name or service not known", **URL), "DNS", "AWS_ENDPOINT_URL"),
        (boto.EndpointConnectionError(error="refused", **URL), "cannot be reached", "AWS_ENDPOINT_URL"),
    ],
)
def test_a_fault_is_told_in_words(error: BaseException, words: str, hint: str) -> None:
    fault = explain(error, NOW)
    assert words in fault.message
    assert hint in fault.hint


def test_a_wish_to_be_left_alone_is_heard() -> None:
    fault = explain(answer("RequestLimitExceeded", 503, **{"retry-after": "7"}), NOW)
    assert fault.retry_after == 7.0
    assert explain(answer("RequestLimitExceeded", 503), NOW).retry_after is None
