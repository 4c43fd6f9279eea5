"""An object or a part of it, received whole or not at all."""

import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

from botocore.exceptions import FlexibleChecksumError, IncompleteReadError, ReadTimeoutError

from trainer.storage.base import ObjectChanged
from trainer.storage.retry import RetryBudget
from trainer.storage.s3.direct_body import receive_directly
from trainer.storage.s3.requests import Requests
from trainer.storage.s3.upload import etag_of

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PROGRESS_BYTES = 256 * 1024
"""What has to come of a body in the seconds of one read, or its rest: a trickle is not progress."""


class ObjectDownload:
    """Bytes [start, stop) of an object, or all of it when `stop` is None.

    A body that breaks off is continued where it broke, as long as the object is the same.

    Args:
        etag: of the version to read; None for any one.
        view: where the bytes go, stop - start of them; None for a new buffer.
    """

    def __init__(
        self,
        requests: Requests,
        key: str,
        url: str,
        start: int,
        stop: int | None,
        etag: str | None,
        view: memoryview | None,
        patience: RetryBudget,
    ) -> None:
        self._requests, self._patience = requests, patience
        self._where: dict[str, Any] = {"Bucket": requests.bucket, "Key": key}
        self._url = url
        self._start, self._stop = start, stop
        self._etag, self._view = etag, view
        self._done, self._progress = 0, 0
        self._pin, self._corrupt = etag, False

    def run(self) -> memoryview:
        """The bytes. Raises ObjectChanged where the object is not the one of `etag`."""
        while True:
            changed = ObjectChanged(f"{self._url}: expected etag {self._pin}")
            try:
                return self._requests.ask(self._url, self._attempt, self._patience, changed)
            except ObjectChanged:
                if self._etag:
                    raise
                if self._stop is None:
                    self._view = None
                self._done, self._progress, self._pin = 0, 0, None

    def _attempt(self, s3: "S3Client") -> memoryview:
        answer: Any = s3.get_object(**self._where, **self._options())
        with closing(answer["Body"]) as body:
            receive_directly(body)
            view = self._buffer(answer)
            self._pin = self._pin or etag_of(answer, self._url)
            self._receive(body, view)
            try:
                body.readinto(bytearray(1))  # the end, where botocore compares checksums
            except FlexibleChecksumError:
                self._done, self._progress, self._corrupt = 0, 0, True
                raise
        return view

    def _options(self) -> dict[str, Any]:
        options: dict[str, Any] = {"IfMatch": f'"{self._pin}"'} if self._pin else {}
        if self._stop is not None:
            options["Range"] = f"bytes={self._start + self._done}-{self._stop - 1}"
        elif self._done:
            options["Range"] = f"bytes={self._done}-"
        return options

    def _buffer(self, answer: Any) -> memoryview:
        """Raises EOFError for an answer of another length than what is left."""
        length = answer["ContentLength"]
        if self._view is None:
            self._view = memoryview(bytearray(length))
        if length != len(self._view) - self._done:
            received = answer.get("ContentRange") or f"{length} bytes"
            first, last = self._start + self._done, self._start + len(self._view) - 1
            raise EOFError(
                f"{self._url}: expected bytes {first}-{last}, received {received}: the object is too short"
            )
        return self._view

    def _receive(self, body: Any, view: memoryview) -> None:
        deadline = time.monotonic() + self._requests.read_seconds
        while self._done < len(view):
            count = body.readinto(view[self._done :])
            if not count:
                raise IncompleteReadError(actual_bytes=self._done, expected_bytes=len(view))
            self._done += count
            if self._done - self._progress >= PROGRESS_BYTES or self._done == len(view):
                self._progress, deadline = self._done, time.monotonic() + self._requests.read_seconds
                if not self._corrupt:
                    self._patience.progressed()
            elif time.monotonic() > deadline:
                raise ReadTimeoutError(endpoint_url=self._url)
