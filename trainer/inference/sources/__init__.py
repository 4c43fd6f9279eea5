"""The sources of a job's images."""

from trainer.errors import ConfigError
from trainer.inference.sources.dataset_images import DatasetImages
from trainer.inference.sources.image import ImageSource
from trainer.inference.sources.paths import SUFFIX, from_list
from trainer.inference.sources.prefix import Prefix
from trainer.runs.run_document import RunDocument
from trainer.storage import open_store

__all__ = ["ImageSource", "open_source"]


def open_source(url: str, split: str | None, run: RunDocument, *, allow_private: bool = False) -> ImageSource:
    """The split of a dataset, the images that a list names (.txt), or those below a prefix.

    Raises ConfigError, DataError for an invalid input.
    """
    if split:
        return DatasetImages(url, split, run)
    if url.endswith(SUFFIX):
        return from_list(url, run, allow_private=allow_private)
    if url.lower().startswith(("http://", "https://")):
        raise ConfigError(
            f"input: expected a prefix, a dataset or a list, received {url}",
            "Specify a text file with one URL per line, or pass the URL to `trainer predict` as an argument",
        )
    return Prefix(open_store(url), run)
