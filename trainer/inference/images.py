"""The images below a prefix."""

from collections.abc import Iterator

from trainer.dataset.images import SUFFIXES
from trainer.dataset.preparation.labels.listing import is_image
from trainer.errors import DataError
from trainer.storage import Store


def image_keys(store: Store) -> Iterator[str]:
    """The keys of the images in `store`, as it lists them, but for hidden ones.

    Raises DataError where there is none.
    """
    found = False
    for info in store.list():
        if is_image(info.key):
            found = True
            yield info.key
    if not found:
        raise DataError(
            f"{store.url}: no image found", f"Name a prefix that holds {', '.join(SUFFIXES)} objects"
        )
