"""The place where a dataset is made, and what is there already."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainer.dataset.dataset import Split
from trainer.dataset.manifest import MANIFEST, keys_in, keys_of, write_manifest
from trainer.dataset.open_dataset import open_dataset
from trainer.errors import ConfigError, DataError
from trainer.preparation import resume
from trainer.preparation.prepared import PreparedDataset
from trainer.storage.base import ObjectChanged, Store

_MEANWHILE = "{}: another dataset was prepared here in the meantime"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Target:
    """A place, and the dataset that was there at first: its etag, None without one, and the keys that it
    names."""

    store: Store
    etag: str | None = None
    keys: tuple[str, ...] = ()

    @classmethod
    def look(cls, store: Store) -> "Target":
        """Raises ConfigError for a bucket that is missing, before any work is done."""
        try:
            etag = store.stat(MANIFEST).etag
            manifest = store.get(MANIFEST)
        except FileNotFoundError:
            _check_place(store)
            return cls(store)
        return cls(store, etag, tuple(keys_in(manifest)))

    def finished(self, plan: str) -> PreparedDataset:
        """The dataset that is there, if it was made of the same images with the same options, as by a start
        that was interrupted behind its commit. Raises ConfigError for another one."""
        problem = f"{self.store.url}: there is a dataset already"
        remedy = "Choose another URL, or give --overwrite"
        try:
            dataset = open_dataset(self.store.url)
        except DataError as error:
            raise ConfigError(f"{problem} ({error.problem})", remedy) from error
        if dataset.made.get("plan") != plan:
            raise ConfigError(problem, remedy)
        resume.delete(self.store, [info.key for info in self.store.list(resume.record_folder(plan))])
        log.info("%s is finished already", self.store.url)
        return PreparedDataset.of_dataset(dataset)

    def check_whole(self, written: Mapping[str, Split]) -> None:
        """Raises ConfigError if another process has committed in the meantime and deleted a shard."""
        for name, split in written.items():
            there = {info.key: info.etag for info in self.store.list(f"{name}/")}
            if any(there.get(shard.key) != shard.etag for shard in split.objects):
                raise ConfigError(_MEANWHILE.format(self.store.url), "Choose another URL")

    def commit(
        self,
        classes: tuple[str, ...],
        shape: tuple[int, int, int],
        splits: dict[str, dict[str, Any]],
        made: dict[str, Any],
    ) -> str:
        """Put the file that makes it a dataset, and return its SHA-256. Raises ConfigError if another
        dataset was committed in the meantime."""
        try:
            return write_manifest(self.store, classes, shape, splits, made, if_match=self.etag)
        except (FileExistsError, ObjectChanged):
            raise ConfigError(_MEANWHILE.format(self.store.url), "Choose another URL") from None

    def clean(self, parts: Mapping[str, dict[str, Any]], began: float) -> None:
        """Delete what the new dataset does not name: of the one before, and of starts that did not finish
        before the time `began`."""
        named = keys_of(parts)
        try:
            old = [*(key for key in self.keys if key not in named), *resume.leftovers(self.store, named)]
            failed = resume.delete(self.store, list(dict.fromkeys(old)))
        except OSError as error:
            log.warning("%s: what was there before could not be deleted (%s)", self.store.url, error)
        else:
            if failed:
                log.warning(
                    "%s: %d objects that were there before could not be deleted", self.store.url, failed
                )
        self.store.remove_leftovers(began)


def _check_place(store: Store) -> None:
    try:
        next(iter(store.list()), None)
    except FileNotFoundError as error:
        raise ConfigError(str(error), "Create the bucket, or correct the URL") from error
