"""report/changed-images.json in a run's folder, as types."""

from collections.abc import Sequence
from typing import TypedDict

from trainer.runs import layout
from trainer.runs.documents.versioned import dump_versioned, read_versioned
from trainer.storage import Store

VERSION = 1


class ChangedSamples(TypedDict):
    """A few images, changed in one way.

    Attributes:
        change: what was done to them, in words.
        images: each as a `data:` URL.
    """

    change: str
    images: Sequence[str]


class ChangedDocument(TypedDict):
    """Images that were changed as `trainer evaluate --sensitivity` changes them.

    Attributes:
        version: 1.
        dataset: the SHA-256 of its index.
        split: of the images.
        weights_sha256: of the weights' file.
        changes: the same images for each change; the first are unchanged.
    """

    version: int
    dataset: str
    split: str
    weights_sha256: str
    changes: Sequence[ChangedSamples]


def dump_changed(document: ChangedDocument) -> bytes:
    """The JSON text."""
    return dump_versioned(document)


def read_changed(store: Store) -> ChangedDocument | None:
    """The document; None where there is none of a version that is known."""
    document: ChangedDocument | None = read_versioned(store, layout.CHANGED_IMAGES, VERSION)
    return document
