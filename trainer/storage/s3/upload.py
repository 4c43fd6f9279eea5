"""A large object in parts, whole or not at all."""

import hashlib
import mimetypes
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from trainer import interrupts
from trainer.storage.base import LARGE_BYTES, Buffer
from trainer.storage.retry import RetryBudget
from trainer.storage.s3.memoryview_reader import MemoryviewReader

PART_BYTES = LARGE_BYTES // 2
MAX_PARTS = 10_000
"""S3's limits: parts of 5 MiB to 5 GiB, at most 10 000 of them."""

THREADS = 8
ABORT_SECONDS = 5.0

Ask = Callable[..., Any]


class Upload:
    """`size` bytes that `read(start, stop)` gives (from several threads), as one object.

    The object appears when the last request is carried out; a failure aborts, so no part is left behind.
    At most THREADS parts are in memory. `ask(url, attempt)` makes one request, with its retries.
    """

    def __init__(
        self,
        bucket: str,
        key: str,
        url: str,
        size: int,
        part_bytes: int,
        read: Callable[[int, int], Buffer],
        ask: Ask,
    ) -> None:
        self._where = {"Bucket": bucket, "Key": key}
        self._url = url
        self._size = size
        self._part_bytes = max(part_bytes, -(-size // MAX_PARTS))
        self._read = read
        self._ask = ask

    def run(self) -> str:
        """The etag."""
        with interrupts.unwinding():
            return self._run()

    def _run(self) -> str:
        kind = content_type(self._where["Key"])
        begun = self._ask(self._url, lambda s3: s3.create_multipart_upload(**self._where, ContentType=kind))
        upload = {**self._where, "UploadId": begun["UploadId"]}
        try:
            starts = range(0, self._size, self._part_bytes)
            with ThreadPoolExecutor(min(THREADS, len(starts)), "upload") as pool:
                sent = [pool.submit(self._part, upload, i + 1, start) for i, start in enumerate(starts)]
                try:
                    parts = [part.result() for part in sent]
                except BaseException:
                    pool.shutdown(cancel_futures=True)
                    raise
            return self._complete(upload, parts)
        except BaseException:
            with suppress(Exception):
                patience = RetryBudget(self._url, ABORT_SECONDS)
                self._ask(self._url, lambda s3: s3.abort_multipart_upload(**upload), patience)
            raise

    def _part(self, upload: dict[str, str], number: int, start: int) -> dict[str, Any]:
        stop = min(start + self._part_bytes, self._size)
        data = memoryview(self._read(start, stop))
        if len(data) != stop - start:
            raise OSError(f"{self._url}: its source became shorter while it was read")
        answer = self._ask(
            self._url, lambda s3: s3.upload_part(**upload, PartNumber=number, Body=MemoryviewReader(data))
        )
        return {"PartNumber": number, "ETag": f'"{etag_of(answer, self._url)}"'}

    def _complete(self, upload: dict[str, str], parts: list[dict[str, Any]]) -> str:
        tries = 0

        def attempt(s3: Any) -> Any:
            nonlocal tries
            tries += 1
            return s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})

        try:
            return etag_of(self._ask(self._url, attempt), self._url)
        except FileNotFoundError:
            # Carried out by an earlier attempt whose answer was lost: then the object has our parts' etag.
            if tries > 1:
                found = self._ask(self._url, lambda s3: s3.head_object(**self._where))
                etag = etag_of(found, self._url)
                if found["ContentLength"] == self._size and etag == _etag_of_parts(parts):
                    return etag
            raise


def content_type(key: str) -> str:
    """So that a report opens in a browser, straight from the store."""
    return mimetypes.guess_type(key)[0] or "application/octet-stream"


def etag_of(answer: Any, url: str) -> str:
    """Raises OSError where there is none, as for files put into a file system behind a gateway."""
    if not answer.get("ETag"):
        raise OSError(
            f"{url}: its store gives it no ETag, by which a changed object is noticed; upload it again"
        )
    return str(answer["ETag"]).strip('"')


def _etag_of_parts(parts: list[dict[str, Any]]) -> str:
    """S3's etag of an object in parts: the MD5 of the parts' MD5s, and the number of parts."""
    try:
        digests = b"".join(bytes.fromhex(part["ETag"].strip('"')) for part in parts)
    except ValueError:
        return ""
    return f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(parts)}"
