"""Decoded images -> shards in the store: one is written and uploaded while the next one is filled."""

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from trainer.dataset.dataset import Split
from trainer.dataset.manifest import array_keys, smallest_unsigned, write_split
from trainer.dataset.pixel_histogram import PixelHistogram
from trainer.dataset.shards.row_layout import JPEG, PLAIN
from trainer.dataset.shards.shard_reader import Shard
from trainer.errors import ConfigError, DataError, TransientError
from trainer.images.decoding import Decoder
from trainer.output.units import size
from trainer.preparation import resume
from trainer.preparation.bad_images import BadImages
from trainer.preparation.duplicates import Seen
from trainer.preparation.labels import LabelledImage
from trainer.preparation.resume import FinishedShard
from trainer.preparation.shard_buffer import Attributes, Digests, JpegBuffer, PixelBuffer, ShardBuffer
from trainer.preparation.shards import chunk_rows
from trainer.storage.base import Store

SETTLE_SECONDS = 5.0
"""How long an interrupted start waits for the shard that it is uploading."""

Shape = tuple[int, int, int]


class Writer:
    """Writes the shards of one start.

    `shape` is that of the images once one is known, and `resumed` counts
    the images that an earlier start had finished.
    """

    def __init__(
        self,
        store: Store,
        plan: str,
        decoder: Decoder[LabelledImage],
        bad: BadImages,
        *,
        classes: int,
        shard_bytes: int,
        rows_of_chunk: int | None,
        jpeg: bool,
        attributes: Attributes,
        done: Callable[[int], None],
    ) -> None:
        self._own: list[str] = []
        self._records: dict[str, tuple[str, str]] = {}
        self.start, self.began = resume.new_id(), time.time()
        self.shape: Shape = (*decoder.size, 3) if decoder.size else (0, 0, 0)
        self.resumed = 0
        self._store, self._plan, self._decoder, self._bad = store, plan, decoder, bad
        self._label_type = smallest_unsigned(classes)
        self._shard_bytes, self._rows_of_chunk, self._jpeg = shard_bytes, rows_of_chunk, jpeg
        self._attributes, self._done = attributes, done
        self._first = ""
        self._folder = Path()
        self._stopped = False

    @contextmanager
    def working(self) -> Iterator[None]:
        """Holds a temporary folder, and the thread that writes and uploads."""
        with tempfile.TemporaryDirectory(prefix="trainer-", ignore_cleanup_errors=True) as folder:
            self._folder = Path(folder)
            self._pool = ThreadPoolExecutor(1)
            self._job: Future[FinishedShard] | None = None
            try:
                yield
            finally:
                self._stopped = True
                if self._job:
                    wait([self._job], SETTLE_SECONDS)
                self._pool.shutdown(wait=False, cancel_futures=True)

    def write(self, name: str, items: Sequence[LabelledImage], seen: Seen) -> tuple[Split | None, Digests]:
        """Write the shards of a split that are not there yet. Images in `seen` are left out.

        Returns the split, or None where no image is left for it or a bad one forbids it; and the SHA-256 of
        each item's file, uint8 (items, 32), zero where there is no row of it.
        """
        digests = np.zeros((len(items), 32), np.uint8)
        finished = resume.adopt(self._store, self._plan, name, self.start)
        for shard in finished:
            self._check_shape(shard.image_shape, items[shard.start].key)
            self._bad.add(shard.bad)
            digests[shard.start : shard.stop] = shard.digests
        start = finished[-1].stop if finished else 0
        self.resumed += start
        self._done(start)
        for gathered in self._gathered(items, start, digests, seen):
            finished += self._job_done()
            self._job = self._pool.submit(self._finish, name, len(finished), gathered)
        finished += self._job_done()
        if self._bad.fatal or not finished:
            return None, digests
        return _split(name, finished, self._store), digests

    def put_index(self, split: Split) -> dict[str, Any]:
        """Put a split's index; returns its part of the manifest."""
        self._own += array_keys(split.name, self.start)
        return write_split(self._store, split, self.start)

    def undo(self, *, finished: bool) -> None:
        """Delete what this start has put; with `finished` also its finished shards, but for those that
        another start has taken."""
        kept = {
            key
            for record, (etag, shard) in self._records.items()
            if not (finished and resume.abandon(self._store, record, etag))
            for key in (record, shard)
        }
        resume.delete(self._store, [key for key in self._own if key not in kept])

    def _gathered(
        self, items: Sequence[LabelledImage], start: int, digests: Digests, seen: Seen
    ) -> Iterator[ShardBuffer]:
        """Full shards, and the last one; two take turns in memory."""
        turns: list[ShardBuffer] = []
        rows: ShardBuffer | None = None
        problems: list[str] = []
        since = start
        if self.shape[0] and start < len(items):  # told before any image is touched
            self._check_room(min(self._rows_of_shard(), len(items) - start))
        for place, decoded in enumerate(self._decoder.decode(items[start:]), start):
            self._done(1)
            if decoded.problem:
                problems.append(decoded.problem)
                self._bad.add([decoded.problem])
            if decoded.image is None or self._bad.fatal:
                continue
            digests[place] = np.frombuffer(decoded.digest, np.uint8)
            if decoded.digest in seen:
                continue
            self._check_shape(decoded.image.shape, decoded.item.key)
            if rows is None:
                if len(turns) < 2:
                    turns.append(self._new(len(items) - since))
                else:
                    turns.reverse()
                rows = turns[-1]
                rows.clear()
            rows.add(decoded.image, decoded)
            if rows.full:
                yield rows.closed(since, digests[since : place + 1], problems)
                rows, problems, since = None, [], place + 1
        if rows and not self._bad.fatal:
            yield rows.closed(since, digests[since:], problems)

    def _new(self, left: int) -> ShardBuffer:
        """Room for a shard, of which at most `left` rows are to come."""
        most = min(self._rows_of_shard(), left)
        self._check_room(most)
        if self._jpeg:
            return JpegBuffer(self._shard_bytes, self._rows_of_chunk)
        return PixelBuffer(most, self.shape, self._rows_of_chunk)

    def _rows_of_shard(self) -> int:
        row_bytes = int(np.prod(self.shape))
        per_chunk = self._rows_of_chunk or chunk_rows(row_bytes)
        return max(1, self._shard_bytes // (row_bytes * per_chunk)) * per_chunk

    def _job_done(self) -> list[FinishedShard]:
        """The shard that was on its way, once it is there."""
        if self._job is None:
            return []
        finished = self._job.result()  # a signal may end this wait: then the job is still known
        self._job = None
        return [finished]

    def _finish(self, split: str, number: int, gathered: ShardBuffer) -> FinishedShard:
        path = self._folder / "shard"
        attributes = {**self._attributes, "split": split}
        if self._stopped:
            raise CancelledError
        chunks, pieces, names_offset, names_width = gathered.write(path, self._label_type, attributes)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        key = resume.shard_key(split, number, self.start)
        if self._stopped:
            raise CancelledError
        self._own.append(key)
        etag = self._store.put_file(key, path)
        count = len(gathered.names)
        layout = JPEG if self._jpeg else PLAIN
        shard = Shard(key, etag, path.stat().st_size, digest, count, names_offset, names_width, layout)
        finished = FinishedShard(
            shard,
            gathered.start,
            gathered.start + len(gathered.digests),
            self.shape,
            tuple(gathered.problems),
            chunks,
            pieces,
            gathered.labels(self._label_type),
            gathered.pixels().counts,
            gathered.digests,
        )
        record = resume.record_key(self._plan, split, number, self.start)
        self._own.append(record)
        data = resume.record(self._plan, self.start, finished)
        self._records[record] = (self._store.put(record, data), key)
        return finished

    def _check_shape(self, shape: tuple[int, ...], key: str) -> None:
        height, width, channels = shape
        if not self._first:
            self.shape, self._first = (height, width, channels), key
        if self.shape != shape:
            raise DataError(
                f"{key} is {width}x{height} pixels and {self._first} is {self.shape[1]}x{self.shape[0]}; "
                "without a size to resize to, all must be of one size",
                "Give the size with --image-size",
            )

    def _check_room(self, rows: int) -> None:
        """Checks that two shards of `rows` rows fit into memory, and one into the temporary folder."""
        shard = rows * int(np.prod(self.shape))
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        disk = shutil.disk_usage(self._folder)
        for there, where, needed in (
            (memory, "of memory", 2 * shard),
            (disk.total, f"in {self._folder.parent}", shard),
        ):
            if needed > there:
                raise ConfigError(
                    f"A shard of {size(shard)} needs {size(needed)} {where}, which has {size(there)}",
                    "Give a smaller --shard-size",
                )
        if shard > disk.free:
            raise TransientError(
                f"a shard needs {size(shard)} in {self._folder.parent}, where {size(disk.free)} are free",
                "Free some space, name another folder with TMPDIR, or give a smaller --shard-size",
            )


def _split(name: str, finished: Sequence[FinishedShard], store: Store) -> Split:
    tables, parts, rows, chunks = [], [], 0, 0
    for number, one in enumerate(finished):
        table, pieces = one.chunks.copy(), one.pieces.copy()
        table["object"] = number
        table["first"] += rows
        pieces["chunk"] += chunks
        tables.append(table)
        parts.append(pieces)
        rows += one.shard.rows
        chunks += len(table)
    mean, std = PixelHistogram(np.sum([one.counts for one in finished], axis=0)).moments()
    return Split(
        name,
        rows,
        np.concatenate([one.labels for one in finished]),
        np.concatenate(tables),
        tuple(one.shard for one in finished),
        int(np.prod(finished[0].image_shape)),
        mean,
        std,
        store,
        pieces=np.concatenate(parts),
    )
