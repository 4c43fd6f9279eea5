"""Reads every image of a dataset, and reports the suspicious ones."""

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
"""Maximum difference between the mean in the index and that of the images, in 0..255."""


@dataclass(frozen=True)
class Survey:
    """Statistics of the images of one split.

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
        """The lowest and the highest value."""
        seen = np.flatnonzero(self.pixels.counts.any(axis=0))
        return int(seen[0]), int(seen[-1])


def survey(dataset: Dataset, progress: ProgressCallback | None = None) -> list[Survey]:
    """Reads all images. Raises DataError for one that cannot be read."""
    total = sum(split.rows for split in dataset.splits.values())
    done = 0
    surveys = []
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
        surveys.append(Survey(split, digests.view(f"V{_DIGEST}").ravel(), constant, pixels))
    return surveys


def check_images(classes: Sequence[str], surveys: Sequence[Survey]) -> list[str]:
    """A sentence for each thing that is suspicious."""
    return [
        *_duplicates(classes, surveys),
        *(sentence for seen in surveys for sentence in _check_pixels(seen)),
    ]


def _check_pixels(seen: Survey) -> list[str]:
    split, (lowest, highest) = seen.split, seen.values
    findings = []
    if blank := np.flatnonzero(seen.constant).tolist():
        findings.append(f"{split.name}: images of one colour ({len(blank):,}): {_names(split, blank)}")
    if highest <= 1:
        findings.append(
            f"{split.name}: all values are from {lowest} to {highest}: they may have been divided by 255 "
            "before they were stored as whole numbers"
        )
    mean, _ = seen.pixels.moments()
    if np.abs(np.subtract(mean, split.mean)).max() > _TOLERANCE:
        findings.append(
            f"{split.name}: the mean of the images is {_figures(mean)}, in the index {_figures(split.mean)}, "
            "which standardize: feature_wise uses"
        )
    return findings


def _duplicates(classes: Sequence[str], surveys: Sequence[Survey]) -> list[str]:
    """Images of the same pixels: within a split, over splits, and under different labels."""
    digests = np.concatenate([seen.digests for seen in surveys])
    labels = np.concatenate([seen.split.labels.astype(np.int64) for seen in surveys])
    splits = np.repeat(np.arange(len(surveys)), [len(seen.digests) for seen in surveys])
    firsts = np.concatenate([[0], np.cumsum([len(seen.digests) for seen in surveys])])
    _, group, sizes = np.unique(digests, return_inverse=True, return_counts=True)

    def name(row: int) -> str:
        number = int(splits[row])
        (image,) = surveys[number].split.names(np.array([row - firsts[number]]))
        return f"{surveys[number].split.name}: {image} ({classes[labels[row]]})"

    repeated = np.flatnonzero(sizes[group] > 1)
    repeated = repeated[np.argsort(group[repeated], kind="stable")]
    again = np.split(repeated, np.flatnonzero(np.diff(group[repeated])) + 1) if len(repeated) else []
    findings = []
    for problem, pairs in (
        (
            "the same image in more than one split",
            _differing(again, splits),
        ),
        ("the same image in more than one class", _differing(again, labels)),
        ("the same image twice in a split", _same(again, splits)),
    ):
        if pairs:
            examples = "; ".join(" = ".join(map(name, pair)) for pair in pairs[:MAX_NAMED])
            findings.append(
                f"{problem} ({len(pairs):,}): {examples}" + ("; …" if len(pairs) > MAX_NAMED else "")
            )
    return findings


def _differing(groups: Sequence[NDArray[np.int64]], values: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Pairs of rows, one for each group with different values: a row with the first and one with another."""
    pairs = ((rows[0], rows[values[rows] != values[rows[0]]]) for rows in groups)
    return [(int(first), int(others[0])) for first, others in pairs if len(others)]


def _same(groups: Sequence[NDArray[np.int64]], values: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Pairs of rows, one for each group that has a value twice: the first two such rows."""
    pairs = []
    for rows in groups:
        unique, counts = np.unique(values[rows], return_counts=True)
        if (counts > 1).any():
            first, second = rows[values[rows] == unique[counts > 1][0]][:2].tolist()
            pairs.append((first, second))
    return pairs


def _names(split: Split, rows: list[int]) -> str:
    names = ", ".join(split.names(np.array(rows[:MAX_NAMED])))
    return f"{names} and {len(rows) - MAX_NAMED:,} more" if len(rows) > MAX_NAMED else names


def _figures(values: Sequence[float]) -> str:
    return " ".join(f"{value:.2f}" for value in values)
