"""Reads every image of a dataset, and says which are suspicious."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.dataset.dataset import Dataset, Split
from trainer.dataset.pixel_histogram import PixelHistogram
from trainer.dataset.reading.reader import Reader

ProgressCallback = Callable[[int, int], None]
"""Called with the images that were read and the images in all."""

MAX_NAMED = 3
"""Images that a finding names."""
_BATCH, _BUDGET = 64, 64 << 20
_DIGEST = 16
_TOLERANCE = 0.01
"""Between the mean in the index and that of the images, in 0..255."""


@dataclass(frozen=True)
class Survey:
    """What was seen of one split.

    Attributes:
        digests: of each image's pixels, `V16` (rows,).
        constant: whether all pixels of an image are one colour, bool (rows,).
        pixels: how often each value comes in each channel.
    """

    split: Split
    digests: NDArray[np.void]
    constant: NDArray[np.bool_]
    pixels: PixelHistogram

    @property
    def values(self) -> tuple[int, int]:
        """The lowest and the highest."""
        seen = np.flatnonzero(self.pixels.counts.any(axis=0))
        return int(seen[0]), int(seen[-1])


def survey(dataset: Dataset, progress: ProgressCallback | None = None) -> list[Survey]:
    """Read all images. Raises DataError for one that cannot be read."""
    total = sum(split.rows for split in dataset.splits.values())
    done = 0
    found = []
    for split in dataset.splits.values():
        digests = np.empty((split.rows, _DIGEST), np.uint8)
        constant = np.empty(split.rows, np.bool_)
        pixels = PixelHistogram(np.zeros((3, 256), np.int64))
        for batch in Reader(dataset, split, budget_bytes=_BUDGET).batches_of(range(split.rows), _BATCH):
            pixels.counts[:] += PixelHistogram.of(batch.images).counts
            flat = batch.images.reshape(len(batch.rows), -1, dataset.image_shape[2])
            constant[batch.rows] = (flat == flat[:, :1]).all(axis=(1, 2))
            for row, image in zip(batch.rows.tolist(), batch.images, strict=True):
                digest = hashlib.blake2b(image, digest_size=_DIGEST).digest()
                digests[row] = np.frombuffer(digest, np.uint8)
            done += len(batch.rows)
            if progress:
                progress(done, total)
        found.append(Survey(split, digests.view(f"V{_DIGEST}").ravel(), constant, pixels))
    return found


def check_images(classes: Sequence[str], surveys: Sequence[Survey]) -> list[str]:
    """A sentence for each thing that is suspicious."""
    return [
        *_duplicates(classes, surveys),
        *(sentence for seen in surveys for sentence in _check_pixels(seen)),
    ]


def _check_pixels(seen: Survey) -> list[str]:
    split, (lowest, highest) = seen.split, seen.values
    found = []
    if blank := np.flatnonzero(seen.constant).tolist():
        found.append(f"{split.name}: images of one colour ({len(blank):,}): {_names(split, blank)}")
    if highest <= 1:
        found.append(
            f"{split.name}: all values are from {lowest} to {highest}: they may have been divided by 255 "
            "before they were stored as whole numbers"
        )
    mean, _ = seen.pixels.moments()
    if np.abs(np.subtract(mean, split.mean)).max() > _TOLERANCE:
        found.append(
            f"{split.name}: the mean of the images is {_figures(mean)}, in the index {_figures(split.mean)}, "
            "which standardize: feature_wise uses"
        )
    return found


def _duplicates(classes: Sequence[str], surveys: Sequence[Survey]) -> list[str]:
    """Images of the same pixels: within a split, over splits, and under different labels."""
    digests = np.concatenate([seen.digests for seen in surveys])
    labels = np.concatenate([seen.split.labels.astype(np.int64) for seen in surveys])
    splits = np.repeat(np.arange(len(surveys)), [len(seen.digests) for seen in surveys])
    firsts = np.concatenate([[0], np.cumsum([len(seen.digests) for seen in surveys])])
    _, group, sizes = np.unique(digests, return_inverse=True, return_counts=True)

    def name(row: int) -> str:
        number = int(splits[row])
        (found,) = surveys[number].split.names(np.array([row - firsts[number]]))
        return f"{surveys[number].split.name}: {found} ({classes[labels[row]]})"

    repeated = np.flatnonzero(sizes[group] > 1)
    repeated = repeated[np.argsort(group[repeated], kind="stable")]
    again = np.split(repeated, np.flatnonzero(np.diff(group[repeated])) + 1) if len(repeated) else []
    found = []
    for what, pairs in (
        (
            "the same image in more than one split",
            _differing(again, splits),
        ),
        ("the same image in more than one class", _differing(again, labels)),
        ("the same image twice in a split", _same(again, splits)),
    ):
        if pairs:
            shown = "; ".join(" = ".join(map(name, pair)) for pair in pairs[:MAX_NAMED])
            found.append(f"{what} ({len(pairs):,}): {shown}" + ("; …" if len(pairs) > MAX_NAMED else ""))
    return found


def _differing(groups: Sequence[NDArray[np.int64]], of: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Of each group that has two values in `of`, a row of the first and a row of another."""
    pairs = ((rows[0], rows[of[rows] != of[rows[0]]]) for rows in groups)
    return [(int(first), int(others[0])) for first, others in pairs if len(others)]


def _same(groups: Sequence[NDArray[np.int64]], of: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Of each group with a value in `of` twice, the first two such rows."""
    found = []
    for rows in groups:
        values, counts = np.unique(of[rows], return_counts=True)
        if (counts > 1).any():
            first, second = rows[of[rows] == values[counts > 1][0]][:2].tolist()
            found.append((first, second))
    return found


def _names(split: Split, rows: list[int]) -> str:
    shown = ", ".join(split.names(np.array(rows[:MAX_NAMED])))
    return f"{shown} and {len(rows) - MAX_NAMED:,} more" if len(rows) > MAX_NAMED else shown


def _figures(values: Sequence[float]) -> str:
    return " ".join(f"{value:.2f}" for value in values)
