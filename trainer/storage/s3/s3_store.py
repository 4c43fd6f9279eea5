"""Objects in S3 and in servers that speak its protocol, over boto3."""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from botocore.exceptions import (
    FlexibleChecksumError,
    IncompleteReadError,
    NoCredentialsError,
    ReadTimeoutError,
)

from trainer.errors import ConfigError
from trainer.storage.base import Buffer, ObjectChanged, ObjectInfo, buffer_for
from trainer.storage.retry import OnRetry, RetryBudget, retry_seconds
from trainer.storage.s3.connection import connect, instance_has_credentials
from trainer.storage.s3.direct_body import receive_directly
from trainer.storage.s3.fast_ranges import QUICK_BYTES, FastRangeReader
from trainer.storage.s3.faults import CREDENTIALS, Fault, Kind, explain
from trainer.storage.s3.memoryview_reader import MemoryviewReader
from trainer.storage.s3.upload import PART_BYTES, Upload, content_type, etag_of
from trainer.storage.stalls import watch_stalls

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

T = TypeVar("T")

log = logging.getLogger(__name__)

READ_SECONDS = 30
"""How long a socket may be silent, half the budget at most; the attempt is then retried."""
PROGRESS_BYTES = 256 * 1024
"""So much of a body must come in that time, or its rest: a trickle is no progress."""

_endpoints_that_answered: set[str] = set()
_endpoints_without_conditions: set[str] = set()


class _Unsupported(OSError):
    """The server does not know what it was asked for."""


class S3Store:
    """Objects below `s3://bucket/prefix`.

    Credentials, region, endpoint and addressing come from where boto3 users expect them: AWS_* variables,
    profiles, web identity (IRSA), instance metadata. Requests are signed or not made at all.
    """

    def __init__(
        self,
        bucket: str,
        prefix: str = "",
        *,
        part_bytes: int = PART_BYTES,
        on_retry: OnRetry | None = None,
    ) -> None:
        self.url = f"s3://{bucket}/{prefix}".rstrip("/")
        self._bucket = bucket
        self._root = f"{prefix}/" if prefix else ""
        self._retry_seconds = retry_seconds()
        self._read_seconds = min(READ_SECONDS, self._retry_seconds / 2)
        self._part_bytes = part_bytes
        self._on_retry = on_retry
        self._renewing = threading.Lock()
        self._client = self._connect(self._patience(""))

    @property
    def refuses_conditions(self) -> bool:
        """Whether the server refused `if_absent` or `if_match`: what is there is then looked at before."""
        return self._client.meta.endpoint_url in _endpoints_without_conditions

    def get(self, key: str) -> bytes:
        return bytes(self._read(key, 0, None, None, None, self._patience(key)))

    def get_range(
        self, key: str, start: int, stop: int, *, etag: str | None = None, into: memoryview | None = None
    ) -> memoryview:
        view = buffer_for(start, stop, into)
        if not len(view):
            return view
        patience = self._patience(key)  # its budget counts from here
        if etag and len(view) <= QUICK_BYTES:
            with watch_stalls(patience):
                found = self._quick.get_range(self._key(key), start, stop, etag)
            if found is not None:
                view[:] = found
                return view
        return self._read(key, start, stop, etag, view, patience)

    def put(self, key: str, data: Buffer, *, if_absent: bool = False, if_match: str | None = None) -> str:
        view = memoryview(data).cast("B")
        if len(view) >= 2 * self._part_bytes and not if_absent and if_match is None:
            return self._upload(key, len(view), lambda start, stop: view[start:stop])
        if (if_absent or if_match is not None) and not self.refuses_conditions:
            with suppress(_Unsupported):
                return self._put_on_condition(key, bytes(view), if_match)
            _endpoints_without_conditions.add(self._client.meta.endpoint_url)
            log.warning(
                "%s has no conditional writes: start no two runs at the same time with one run.url", self.url
            )
        if if_absent or if_match is not None:
            self._check_condition(key, if_match)
        options: Any = {"Bucket": self._bucket, "Key": self._key(key), "ContentType": content_type(key)}
        url = self._url(key)
        return etag_of(
            self._ask(url, lambda s3: s3.put_object(**{**options, "Body": MemoryviewReader(view)})), url
        )

    def _put_on_condition(self, key: str, body: bytes, if_match: str | None) -> str:
        """Raises _Unsupported where the server refuses conditions."""
        url, patience = self._url(key), self._patience(key)
        options: Any = {"Bucket": self._bucket, "Key": self._key(key), "ContentType": content_type(key)}
        options |= {"IfNoneMatch": "*"} if if_match is None else {"IfMatch": f'"{if_match}"'}
        lost = _lost(url, if_match)
        try:
            return etag_of(
                self._ask(url, lambda s3: s3.put_object(Body=body, **options), patience, lost), url
            )
        except FileNotFoundError:
            if if_match is None:
                raise
            raise lost from None
        except (FileExistsError, ObjectChanged):
            # An earlier attempt may have been carried out, its answer lost: then what is there is ours.
            if patience.causes - {"conflict", "throttled"}:
                with suppress(FileNotFoundError):
                    if self.get(key) == body:
                        return self.stat(key).etag
            raise

    def _check_condition(self, key: str, if_match: str | None) -> None:
        """What the server does not do: right for those who come one after the other."""
        try:
            etag = self.stat(key).etag
        except FileNotFoundError:
            if if_match is None:
                return
            etag = ""
        if etag != if_match:
            raise _lost(self._url(key), if_match)

    def put_file(self, key: str, path: Path) -> str:
        size = path.stat().st_size
        if size < 2 * self._part_bytes:
            return self.put(key, path.read_bytes())
        with path.open("rb") as file:
            return self._upload(key, size, lambda start, stop: os.pread(file.fileno(), stop - start, start))

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        token: Any = {}
        while True:
            page = self._ask(
                f"{self.url}/{prefix}",
                lambda s3, token=token: s3.list_objects_v2(  # type: ignore[misc]
                    Bucket=self._bucket, Prefix=self._root + prefix, **token
                ),
            )
            for item in page.get("Contents", ()):
                if not item["Key"].endswith("/"):  # a folder's marker, as consoles make them
                    key, etag = item["Key"][len(self._root) :], item.get("ETag", "").strip('"')
                    yield ObjectInfo(key, item["Size"], etag, _modified(item))
            if not page.get("IsTruncated"):
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}

    def stat(self, key: str) -> ObjectInfo:
        url = self._url(key)
        where: Any = {"Bucket": self._bucket, "Key": self._key(key)}
        try:
            head: Any = self._ask(url, lambda s3: s3.head_object(**where))
        except OSError as error:
            if isinstance(error, TimeoutError):
                raise
            # A HEAD is refused without words. A GET says whether key, bucket or credentials are wrong.
            answer = self._ask(url, lambda s3: s3.get_object(**where))
            answer["Body"].close()
            head = answer
        return ObjectInfo(key, head["ContentLength"], etag_of(head, url), _modified(head))

    def delete(self, key: str) -> None:
        self._ask(self._url(key), lambda s3: s3.delete_object(Bucket=self._bucket, Key=self._key(key)))

    def _read(
        self,
        key: str,
        start: int,
        stop: int | None,
        etag: str | None,
        view: memoryview | None,
        patience: RetryBudget,
    ) -> memoryview:
        """Bytes [start, stop), or all when `stop` is None. A body that breaks off goes on where it broke."""
        url = self._url(key)
        done, pin, corrupt, progress = 0, etag, False, 0

        def attempt(s3: "S3Client") -> memoryview:
            nonlocal done, pin, corrupt, view, progress
            options: dict[str, Any] = {}
            if pin:
                options["IfMatch"] = f'"{pin}"'
            if stop is not None:
                options["Range"] = f"bytes={start + done}-{stop - 1}"
            elif done:
                options["Range"] = f"bytes={done}-"
            answer: Any = s3.get_object(Bucket=self._bucket, Key=self._key(key), **options)
            with closing(answer["Body"]) as body:
                receive_directly(body)
                length = answer["ContentLength"]
                if view is None:
                    view = memoryview(bytearray(length))
                if length != len(view) - done:
                    raise EOFError(_not_the_range(url, start + done, start + len(view), answer))
                pin = pin or etag_of(answer, url)
                deadline = time.monotonic() + self._read_seconds
                while done < len(view):
                    count = body.readinto(view[done:])
                    if not count:
                        raise IncompleteReadError(actual_bytes=done, expected_bytes=len(view))
                    done += count
                    if done - progress >= PROGRESS_BYTES or done == len(view):
                        progress, deadline = done, time.monotonic() + self._read_seconds
                        if not corrupt:
                            patience.progressed()
                    elif time.monotonic() > deadline:
                        raise ReadTimeoutError(endpoint_url=url)
                try:
                    body.readinto(bytearray(1))  # the end, where botocore compares checksums
                except FlexibleChecksumError:
                    done, progress, corrupt = 0, 0, True
                    raise
            return view

        while True:
            try:
                return self._ask(url, attempt, patience, ObjectChanged(f"{url}: expected etag {pin}"))
            except ObjectChanged:
                if etag:
                    found = self.stat(key).etag
                    raise ObjectChanged(f"{url}: changed: expected etag {etag}, found {found}") from None
                if stop is None:
                    view = None
                done, progress, pin = 0, 0, None

    def _upload(self, key: str, size: int, read: Callable[[int, int], Buffer]) -> str:
        return Upload(
            self._bucket, self._key(key), self._url(key), size, self._part_bytes, read, self._ask
        ).run()

    def _ask(
        self,
        url: str,
        attempt: Callable[["S3Client"], T],
        patience: RetryBudget | None = None,
        precondition: Exception | None = None,
    ) -> T:
        """One request, until it is answered: every retry and every error of S3 is decided here."""
        patience = patience or RetryBudget(url, self._retry_seconds, self._on_retry)
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
        while True:
            client = self._client
            try:
                answer = attempt(client)
                _endpoints_that_answered.add(client.meta.endpoint_url)
                return answer
            except Exception as error:
                fault = explain(error)
                if fault is None:
                    raise
                if fault.answered:
                    _endpoints_that_answered.add(client.meta.endpoint_url)
                if fault.kind is Kind.EXPIRED and not renewed:
                    renewed = True
                    self._renew(client, patience)
                    patience.again("expired_token")
                elif isinstance(error, NoCredentialsError) and instance_has_credentials():
                    patience.wait(CREDENTIALS, "the machine's metadata service gave no credentials")
                    self._renew(client, patience)
                elif fault.kind is Kind.RETRY:
                    known = fault.cause == CREDENTIALS or client.meta.endpoint_url in _endpoints_that_answered
                    advice = "" if known else ". Is AWS_ENDPOINT_URL right, and can it be reached from here?"
                    patience.wait(fault.cause, fault.text + advice, first_contact=not known)
                elif fault.kind is Kind.PRECONDITION and precondition:
                    raise precondition from error
                else:
                    raise _as_python(fault, url, self._bucket) from error

    def _renew(self, stale: "S3Client", patience: RetryBudget) -> None:
        """Read the credentials again; the first of the threads that met the same expiry does it for all."""
        with self._renewing:
            if self._client is stale:
                self._client = self._connect(patience)

    def _connect(self, patience: RetryBudget) -> "S3Client":
        with watch_stalls(patience):
            session, client = connect(self.url, self._read_seconds, patience)
        self._quick = FastRangeReader(session, client, self._bucket, self._retry_seconds)
        return client

    def _patience(self, key: str) -> RetryBudget:
        return RetryBudget(self._url(key).rstrip("/"), self._retry_seconds, self._on_retry)

    def _key(self, key: str) -> str:
        if not key or key.endswith("/"):
            raise ValueError(f"Expected a key below {self.url}, received {key!r}")
        return self._root + key

    def _url(self, key: str) -> str:
        return f"{self.url}/{key}"


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
        return EOFError(f"{url}: the object ends before the bytes asked for: {fault.text}")
    if fault.kind is Kind.UNSUPPORTED:
        return _Unsupported(f"{url}: {fault.text}")
    if fault.kind is Kind.CONFIG:
        return ConfigError(f"{url}: {fault.text}")
    return OSError(f"{url}: {fault.text}")


def _lost(url: str, if_match: str | None) -> Exception:
    if if_match is None:
        return FileExistsError(f"{url}: expected no such object, but it is there")
    return ObjectChanged(f"{url}: changed: expected etag {if_match}")


def _not_the_range(url: str, start: int, stop: int, answer: Any) -> str:
    found = answer.get("ContentRange") or f"{answer['ContentLength']} bytes"
    return f"{url}: expected bytes {start}-{stop - 1}, received {found}: the object is shorter than expected"


def _modified(answer: Any) -> float:
    return float(answer["LastModified"].timestamp())
