"""Objects in S3 and in servers that speak its protocol, over boto3."""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from trainer.storage.base import Buffer, ObjectChanged, ObjectInfo, RemoteStore, buffer_for
from trainer.storage.retry import OnRetry, RetryBudget
from trainer.storage.s3.endpoints import Fact
from trainer.storage.s3.fast_ranges import QUICK_BYTES
from trainer.storage.s3.memoryview_reader import MemoryviewReader
from trainer.storage.s3.object_download import ObjectDownload
from trainer.storage.s3.requests import Requests, Unsupported
from trainer.storage.s3.upload import PART_BYTES, Upload, content_type, etag_of
from trainer.storage.stalls import watch_stalls

log = logging.getLogger(__name__)


class S3Store(RemoteStore):
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
        budget: float | None = None,
    ) -> None:
        self.url = f"s3://{bucket}/{prefix}" if prefix else f"s3://{bucket}"
        self._bucket = bucket
        self._root = f"{prefix}/" if prefix else ""
        self._part_bytes = part_bytes
        self._requests = Requests(bucket, self.url, on_retry, budget)

    @property
    def refuses_conditions(self) -> bool:
        return self._requests.knows(Fact.NO_CONDITIONS)

    @property
    def refuses_checksums(self) -> bool:
        return self._requests.knows(Fact.NO_CHECKSUMS)

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
                found = self._requests.fast.get_range(self._key(key), start, stop, etag)
            if found is not None:
                view[:] = found
                return view
        return self._read(key, start, stop, etag, view, patience)

    def put(self, key: str, data: Buffer, *, if_absent: bool = False, if_match: str | None = None) -> str:
        view = memoryview(data).cast("B")
        if len(view) >= 2 * self._part_bytes and not if_absent and if_match is None:
            return self._upload(key, len(view), lambda start, stop: view[start:stop])
        if (if_absent or if_match is not None) and not self.refuses_conditions:
            with suppress(Unsupported):
                return self._put_on_condition(key, bytes(view), if_match)
            self._requests.learn(Fact.NO_CONDITIONS)
            log.warning(
                "%s has no conditional writes: do not start two runs at the same time with one run.url",
                self.url,
            )
        if if_absent or if_match is not None:
            self._check_condition(key, if_match)
        options: Any = {"Bucket": self._bucket, "Key": self._key(key), "ContentType": content_type(key)}
        url = self._url(key)
        return etag_of(
            self._requests.ask(url, lambda s3: s3.put_object(**{**options, "Body": MemoryviewReader(view)})),
            url,
        )

    def _put_on_condition(self, key: str, body: bytes, if_match: str | None) -> str:
        """Raises Unsupported where the server refuses conditions."""
        url, patience = self._url(key), self._patience(key)
        options: Any = {"Bucket": self._bucket, "Key": self._key(key), "ContentType": content_type(key)}
        options |= {"IfNoneMatch": "*"} if if_match is None else {"IfMatch": f'"{if_match}"'}
        lost = _lost(url, if_match)
        try:
            return etag_of(
                self._requests.ask(url, lambda s3: s3.put_object(Body=body, **options), patience, lost), url
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
        """Checks here what the server does not check: right for writers that come one after the other."""
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
            page = self._requests.ask(
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
            head: Any = self._requests.ask(url, lambda s3: s3.head_object(**where))
        except OSError as error:
            if isinstance(error, TimeoutError):
                raise
            # The refusal of a HEAD has no text. A GET says whether key, bucket or credentials are wrong.
            answer = self._requests.ask(url, lambda s3: s3.get_object(**where))
            answer["Body"].close()
            head = answer
        return ObjectInfo(key, head["ContentLength"], etag_of(head, url), _modified(head))

    def delete(self, key: str) -> None:
        self._requests.ask(
            self._url(key), lambda s3: s3.delete_object(Bucket=self._bucket, Key=self._key(key))
        )

    def _read(
        self,
        key: str,
        start: int,
        stop: int | None,
        etag: str | None,
        view: memoryview | None,
        patience: RetryBudget,
    ) -> memoryview:
        """Bytes [start, stop), or all when `stop` is None."""
        url = self._url(key)
        download = ObjectDownload(self._requests, self._key(key), url, start, stop, etag, view, patience)
        try:
            return download.run()
        except ObjectChanged:
            found = self.stat(key).etag
            raise ObjectChanged(f"{url}: changed: expected etag {etag}, found {found}") from None

    def _upload(self, key: str, size: int, read: Callable[[int, int], Buffer]) -> str:
        return Upload(
            self._bucket, self._key(key), self._url(key), size, self._part_bytes, read, self._requests.ask
        ).run()

    def _patience(self, key: str) -> RetryBudget:
        return self._requests.patience(self._url(key))

    def _key(self, key: str) -> str:
        if not key or key.endswith("/"):
            raise ValueError(f"expected a key below {self.url}, received {key!r}")
        return self._root + key

    def _url(self, key: str) -> str:
        return f"{self.url}/{key}"


def _lost(url: str, if_match: str | None) -> Exception:
    if if_match is None:
        return FileExistsError(f"{url}: expected no such object, but it is there")
    return ObjectChanged(f"{url}: changed: expected etag {if_match}")


def _modified(answer: Any) -> float:
    return float(answer["LastModified"].timestamp())
