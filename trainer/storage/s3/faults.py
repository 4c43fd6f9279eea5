"""Errors of S3, botocore and the network, each as one of a few kinds of fault."""

import re
import ssl
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from botocore import exceptions as boto
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from trainer.errors import one_line
from trainer.storage.s3.certificates import tls_remedy

CREDENTIALS = "credentials"
"""The cause of a retry where an endpoint of credentials fails."""


class Kind(Enum):
    MISSING = auto()
    DENIED = auto()
    EXPIRED = auto()
    PRECONDITION = auto()
    RANGE = auto()
    CONFIG = auto()
    UNSUPPORTED = auto()
    RETRY = auto()
    OTHER = auto()


@dataclass(frozen=True)
class Fault:
    """One failed request: `text` is one line, `cause` counts it where it is retried."""

    kind: Kind
    text: str
    cause: str = ""
    code: str = ""
    answered: bool = False
    """The server answered, so its address is right."""
    remedy: str = ""


_BY_CODE: dict[str, tuple[Kind, str]] = {
    code: (kind, cause)
    for kind, cause, codes in (
        (Kind.MISSING, "", "404 NotFound NoSuchKey NoSuchBucket NoSuchUpload"),
        (
            Kind.DENIED,
            "",
            "401 403 AccessDenied Forbidden InvalidAccessKeyId SignatureDoesNotMatch XAdminUserNotFound "
            "InvalidToken InvalidClientTokenId InvalidIdentityToken UnrecognizedClientException "
            "AuthorizationHeaderMalformed RequestTimeTooSkewed AccountProblem AllAccessDisabled",
        ),
        (Kind.EXPIRED, "", "ExpiredToken ExpiredTokenException TokenRefreshRequired RequestExpired"),
        (Kind.PRECONDITION, "", "412 PreconditionFailed"),
        (Kind.RANGE, "", "416 InvalidRange"),
        (Kind.CONFIG, "", "InvalidBucketName KeyTooLongError"),
        (Kind.UNSUPPORTED, "", "501 NotImplemented"),
        (Kind.RETRY, "conflict", "ConditionalRequestConflict OperationAborted"),
        (
            Kind.RETRY,
            "throttled",
            "429 503 SlowDown SlowDownRead SlowDownWrite ServiceUnavailable Throttling ThrottlingException "
            "ThrottledException RequestLimitExceeded TooManyRequests TooManyRequestsException",
        ),
        (Kind.RETRY, "server_error", "500 502 504 InternalError InternalServerError IDPCommunicationError"),
        (Kind.RETRY, "timeout", "408 RequestTimeout RequestTimeoutException"),
        (Kind.RETRY, "short_body", "IncompleteBody BadDigest XAmzContentSHA256Mismatch"),
    )
    for code in codes.split()
}

_DENIED = (
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.CredentialRetrievalError,
    boto.ProfileNotFound,
    boto.NoAuthTokenError,
    boto.TokenRetrievalError,
    boto.SSOError,
    boto.LoginError,
)
_CONFIG = (
    boto.ParamValidationError,
    boto.ValidationError,
    boto.InvalidConfigError,
    boto.ConfigParseError,
    boto.InvalidDNSNameError,
)
_TIMEOUT = (boto.ReadTimeoutError, boto.ConnectTimeoutError)
_SHORT = (boto.IncompleteReadError, boto.ResponseStreamingError, boto.FlexibleChecksumError)


def explain(error: Exception) -> Fault | None:
    """The fault behind `error`; None when it comes neither from S3 nor from the network."""
    text = one_line(error)
    if isinstance(error, boto.ClientError):
        return _answer(error.response)
    if isinstance(error, ResponseParserError):
        return Fault(Kind.RETRY, f"an answer that is not S3's: {text[:200]}", "server_error", answered=True)
    if _may_pass(error, text):
        return Fault(Kind.RETRY, f"no credentials now: {text}", CREDENTIALS)
    if isinstance(error, _DENIED):
        return Fault(Kind.DENIED, f"no usable credentials: {text}")
    if isinstance(error, boto.SSLError) and (remedy := tls_remedy(text)):
        return Fault(Kind.CONFIG, text, remedy=remedy)
    if isinstance(error, _TIMEOUT):
        answered = isinstance(error, boto.ReadTimeoutError)
        return Fault(Kind.RETRY, text, "timeout", answered=answered)
    if isinstance(error, _SHORT):
        return Fault(Kind.RETRY, text, "short_body", answered=True)
    if isinstance(
        error, (boto.HTTPClientError, boto.ConnectionError, HTTPError, ConnectionError, ssl.SSLError)
    ):
        return Fault(Kind.RETRY, text, "connection")
    if isinstance(error, _CONFIG):
        return Fault(Kind.CONFIG, text.partition(": Bucket name must match")[0])
    if isinstance(error, boto.BotoCoreError):
        return Fault(Kind.OTHER, text)
    return None


def _may_pass(error: Exception, text: str) -> bool:
    """Whether an endpoint of credentials failed, as opposed to one that refuses: botocore has one error for
    both, and only its text differs."""
    if not isinstance(error, boto.CredentialRetrievalError):
        return False
    if status := re.search(r"non 200 response (\d+)", text):
        return int(status[1]) == 429 or int(status[1]) >= 500
    return "container metadata" in text or "refresh failed" in text


def _answer(response: Any) -> Fault:
    answer = response.get("Error", {})
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    code = str(answer.get("Code", "")) or str(status)
    kind, cause = _BY_CODE.get(code) or _BY_CODE.get(str(status)) or (Kind.OTHER, "")
    message = " ".join(str(answer.get("Message", "")).split())
    text = f"{code} ({status}): {message}" if message and message != code else f"{code} ({status})"
    return Fault(kind, text, cause, code, answered=True)
