"""Requests to one bucket, each until it is answered: every retry and every error of S3 is decided here."""

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from botocore.exceptions import NoCredentialsError

from trainer.errors import ConfigError
from trainer.storage.base import CHECKSUM_SETTING
from trainer.storage.retry import OnRetry, RetryBudget, retry_seconds
from trainer.storage.s3.checksums import may_refuse_checksums
from trainer.storage.s3.connection import connect, instance_has_credentials
from trainer.storage.s3.endpoints import Endpoints, Fact
from trainer.storage.s3.fast_ranges import FastRangeReader
from trainer.storage.s3.faults import CREDENTIALS, Fault, Kind, explain
from trainer.storage.stalls import watch_stalls

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

T = TypeVar("T")

log = logging.getLogger(__name__)

READ_SECONDS = 30
"""How long a socket may be silent, half the budget at most; the attempt is then retried."""

ENDPOINTS = Endpoints()


class Unsupported(OSError):
    """The server does not know what it was asked for."""


class Requests:
    """A client of one bucket. Safe to use from several threads.

    Attributes:
        read_seconds: how long a socket may be silent.
        fast: small ranges, without retries.
    """

    def __init__(self, bucket: str, url: str, on_retry: OnRetry | None, budget: float | None = None) -> None:
        self.bucket = bucket
        self._url = url
        self._retry_seconds = retry_seconds() if budget is None else budget
        self.read_seconds = min(READ_SECONDS, self._retry_seconds / 2)
        self._on_retry = on_retry
        self._connecting = threading.Lock()
        self._plain: S3Client | None = None
        self._client = self._connect(self.patience(url))

    def patience(self, url: str) -> RetryBudget:
        """The retries of one operation; its budget counts from here."""
        return RetryBudget(url, self._retry_seconds, self._on_retry)

    def knows(self, fact: Fact) -> bool:
        """Whether this process has learnt it about the bucket's server."""
        return ENDPOINTS.knows(self._client.meta.endpoint_url, fact)

    def learn(self, fact: Fact) -> bool:
        """Whether it is news."""
        return ENDPOINTS.learn(self._client.meta.endpoint_url, fact)

    def ask(
        self,
        url: str,
        attempt: Callable[["S3Client"], T],
        patience: RetryBudget | None = None,
        precondition: Exception | None = None,
    ) -> T:
        """The answer of `attempt`, made as often as it needs. Errors name `url`.

        Raises as `Store` says, `precondition` for an answer 412, Unsupported for 501.
        """
        patience = patience or self.patience(url)
        with watch_stalls(patience):
            return self._try(url, attempt, patience, precondition)

    def _try(
        self,
        url: str,
        attempt: Callable[["S3Client"], T],
        patience: RetryBudget,
        precondition: Exception | None,
    ) -> T:
        renewed = False
        plain: S3Client | None = None
        refusal = ""
        while True:
            client = plain or self._client
            try:
                answer = attempt(client)
            except Exception as error:
                fault = explain(error)
                if fault is None:
                    raise
                if fault.answered:
                    self.learn(Fact.ANSWERED)
                if plain is None and self._may_refuse_checksums(error, client):
                    plain, refusal = self._without_checksums(patience), fault.text
                elif fault.kind is Kind.EXPIRED and not renewed:
                    renewed = True
                    self._renew(client, patience)
                    plain = None
                    patience.again("expired_token")
                elif isinstance(error, NoCredentialsError) and instance_has_credentials():
                    patience.wait(CREDENTIALS, "the machine's metadata service gave no credentials")
                    self._renew(client, patience)
                elif fault.kind is Kind.RETRY:
                    known = fault.cause == CREDENTIALS or self.knows(Fact.ANSWERED)
                    advice = "" if known else ". Is AWS_ENDPOINT_URL right, and can it be reached from here?"
                    patience.wait(fault.cause, fault.text + advice, first_contact=not known)
                elif fault.kind is Kind.PRECONDITION and precondition:
                    raise precondition from error
                else:
                    raise _as_python(fault, url, self.bucket) from error
            else:
                self.learn(Fact.ANSWERED)
                if plain is not None:
                    self._use(plain, refusal)
                return answer

    def _may_refuse_checksums(self, error: Exception, client: "S3Client") -> bool:
        checks = client.meta.config.request_checksum_calculation != "when_required"  # type: ignore[attr-defined]
        return checks and may_refuse_checksums(error, client.meta.endpoint_url)

    def _without_checksums(self, patience: RetryBudget) -> "S3Client":
        """A client whose uploads have no checksums of botocore's; the threads that want one share it."""
        with self._connecting:
            if self._plain is None:
                self._plain = connect(self._url, self.read_seconds, patience, lambda _: False).client
            return self._plain

    def _use(self, plain: "S3Client", refusal: str) -> None:
        """Stay with a client without checksums, since an upload succeeded that was refused with them."""
        with self._connecting:
            self._client = plain
        if self.learn(Fact.NO_CHECKSUMS):
            log.warning(
                "%s does not accept uploads with checksums (%s): sending them without; %s starts without",
                *(self._client.meta.endpoint_url, refusal, CHECKSUM_SETTING),
            )

    def _renew(self, stale: "S3Client", patience: RetryBudget) -> None:
        """Read the credentials again; the first of the threads that met the same expiry does it for all."""
        with self._connecting:
            if stale is self._client or stale is self._plain:
                self._client, self._plain = self._connect(patience), None

    def _connect(self, patience: RetryBudget) -> "S3Client":
        with watch_stalls(patience):
            found = connect(
                self._url,
                self.read_seconds,
                patience,
                lambda endpoint: not ENDPOINTS.knows(endpoint, Fact.NO_CHECKSUMS),
            )
        self.fast = FastRangeReader(found, self.bucket, self._retry_seconds)
        return found.client


def _as_python(fault: Fault, url: str, bucket: str) -> Exception:
    if fault.kind is Kind.MISSING:
        what = {
            "NoSuchBucket": f"there is no bucket {bucket!r}",
            "NoSuchUpload": "the upload in parts is gone",
        }
        return FileNotFoundError(f"{url}: {what.get(fault.code, 'no such object')}")
    if fault.kind in (Kind.DENIED, Kind.EXPIRED):
        return PermissionError(f"{url}: access denied: {fault.text}")
    if fault.kind is Kind.RANGE:
        return EOFError(f"{url}: the object ends before the requested bytes: {fault.text}")
    if fault.kind is Kind.UNSUPPORTED:
        return Unsupported(f"{url}: {fault.text}")
    if fault.kind is Kind.CONFIG:
        return ConfigError(f"{url}: {fault.text}", fault.remedy)
    return OSError(f"{url}: {fault.text}")
