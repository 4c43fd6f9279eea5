"""The plan of a job: the images of the input, cut once into parts, and what their predictions depend on.

Every worker follows the committed plan, so that images which are added later shift nothing.
"""

import gzip
import hashlib
import json
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from itertools import islice
from typing import Any

from trainer.errors import DataError, RunError
from trainer.inference import keys
from trainer.inference.config import PredictConfig
from trainer.inference.sources.image import Image, ImageSource
from trainer.output.units import plural
from trainer.storage import ObjectChanged, Store, open_store

VERSION = 1
PARTS_OF_BLOCK = 100


@dataclass(frozen=True)
class Segment:
    """Images that were listed at one time: their parts are numbered from `first`. `bad` of them cannot be
    classified, as the listing shows."""

    uid: str
    first: int
    parts: int
    images: int
    bad: int


@dataclass(frozen=True)
class PredictionPlan:
    """plan.json.

    Attributes:
        bound: what the predictions depend on, as plain values.
        segments: the first listing, and one for each time that the plan was extended.
        listing: SHA-256 of the newest listing of the input.
        ignored: rule -> the number of objects of that listing that it skipped.
    """

    bound: Mapping[str, Any]
    segments: tuple[Segment, ...]
    listing: str
    ignored: Mapping[str, int]

    @property
    def parts(self) -> int:
        return sum(segment.parts for segment in self.segments)

    @property
    def images(self) -> int:
        return sum(segment.images for segment in self.segments)

    def images_of(self, parts: int) -> int:
        """About how many images `parts` parts have."""
        return min(self.images, parts * -(-self.images // max(1, self.parts)))

    @property
    def bad(self) -> int:
        """Images that cannot be classified, as the listing shows."""
        return sum(segment.bad for segment in self.segments)

    @property
    def digest(self) -> str:
        """SHA-256 of the plan."""
        return hashlib.sha256(self.dumps()).hexdigest()

    def dumps(self) -> bytes:
        """The JSON text."""
        return json.dumps({"version": VERSION, **asdict(self)}, indent=1, ensure_ascii=False).encode()

    def part(self, store: Store, number: int) -> list[Image]:
        """The images of a part."""
        segment = next(s for s in self.segments if s.first <= number < s.first + s.parts)
        block, line = divmod(number - segment.first, PARTS_OF_BLOCK)
        return [Image(*row) for row in json.loads(_block(store.url, keys.images(segment.uid, block))[line])]

    def all_images(self, store: Store) -> Iterator[Image]:
        """Every image, part after part."""
        for number in range(self.parts):
            yield from self.part(store, number)


@lru_cache(maxsize=2)
def _block(url: str, key: str) -> list[bytes]:
    return gzip.decompress(open_store(url).get(key)).splitlines()


def read(store: Store) -> tuple[PredictionPlan, str] | None:
    """The plan in a folder of predictions and its etag, None where there is none.

    Raises RunError for one that cannot be read, or where older predictions have none.
    """
    try:
        etag = store.stat(keys.PLAN).etag
        values = json.loads(store.get(keys.PLAN))
        if values.pop("version") != VERSION:
            raise ValueError(f"expected version {VERSION}")
        segments = tuple(Segment(**segment) for segment in values.pop("segments"))
        return PredictionPlan(segments=segments, **values), etag
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise RunError(
            f"{store.url}/{keys.PLAN} cannot be read ({error})", "Predict into another folder"
        ) from error


def commit(store: Store, bound: Mapping[str, Any], source: ImageSource, part_size: int) -> PredictionPlan:
    """Cut the input into parts and commit that, once; of several workers one wins, and all get its plan.

    Raises DataError where there is no image.
    """
    if any(info.key.startswith(keys.PREDICTIONS) for info in store.list(keys.PREDICTIONS)):
        raise RunError(
            f"{store.url} holds predictions without a {keys.PLAN}, of another version or program",
            "Predict into another folder, or delete them",
        )
    segment, digest = _write(store, iter(source), part_size, first=0)
    if not segment.images:
        raise DataError(_nothing(source), "Specify a prefix with images, or a dataset and its split")
    plan = PredictionPlan(bound, (segment,), digest, dict(source.ignored))
    try:
        store.put(keys.PLAN, plan.dumps(), if_absent=True)
    except FileExistsError:
        _delete(store, segment)
        return _winner(store)
    return plan


def extend(
    store: Store, plan: PredictionPlan, etag: str, source: ImageSource, part_size: int
) -> PredictionPlan:
    """Add the images that are not in the plan, as parts behind those that are there. Of several workers one
    wins, and all get its plan.

    Raises RunError where an image that is in the plan has changed.
    """
    difference = Difference()
    fresh = difference.new_images(plan.all_images(store), source)
    segment, _ = _write(store, fresh, part_size, first=plan.parts)
    if difference.changed:
        _delete(store, segment)
        raise RunError(_changed(store, difference.changed), "Predict into another folder")
    if not segment.images:
        _delete(store, segment)
        return plan
    extended = replace(
        plan,
        segments=(*plan.segments, segment),
        listing=difference.digest.hexdigest(),
        ignored=dict(source.ignored),
    )
    try:
        store.put(keys.PLAN, extended.dumps(), if_match=etag)
    except ObjectChanged:
        _delete(store, segment)
        return _winner(store)
    return extended


def check_bound(store: Store, plan: PredictionPlan, bound: Mapping[str, Any]) -> None:
    """Raises RunError where the existing predictions depend on other values than `bound`."""
    for name in {**plan.bound, **bound}:
        there, here = plan.bound.get(name), bound.get(name)
        if there != here:
            again = f", or restore {name}" if name in PredictConfig.model_fields else ""
            raise RunError(
                f"{store.url} already holds predictions for {name} {there!r}, not {here!r}",
                f"Predict into another folder{again}",
            )


def new_images(store: Store, plan: PredictionPlan, source: ImageSource) -> int:
    """How many images of the input are not in the plan.

    Raises RunError where one that is in the plan has changed.
    """
    digest = hashlib.sha256()
    for image in source:
        digest.update(_line(image))
    if digest.hexdigest() == plan.listing:
        return 0
    difference = Difference()
    count = sum(1 for _ in difference.new_images(plan.all_images(store), source))
    if difference.changed:
        raise RunError(_changed(store, difference.changed), "Predict into another folder")
    return count


def _winner(store: Store) -> PredictionPlan:
    winner = read(store)
    if winner is None:
        raise RunError(f"{store.url}/{keys.PLAN} was deleted in the meantime", "Restart the job")
    return winner[0]


class Difference:
    """The difference between a listing and a plan: `new_images`, then the keys that `changed` and the
    `digest` of the listing."""

    def __init__(self) -> None:
        self.changed: list[str] = []
        self.digest = hashlib.sha256()

    def new_images(self, known: Iterable[Image], listing: Iterable[Image]) -> Iterator[Image]:
        etags = {_short(image.key): _short(f"{image.size} {image.etag}") for image in known}
        for image in listing:
            self.digest.update(_line(image))
            etag = etags.get(_short(image.key))
            if etag is None:
                yield image
            elif etag != _short(f"{image.size} {image.etag}"):
                self.changed.append(image.key)


def _short(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())


def _line(image: Image) -> bytes:
    return json.dumps([image.key, image.size, image.etag]).encode() + b"\n"


def _write(store: Store, images: Iterator[Image], part_size: int, first: int) -> tuple[Segment, str]:
    """The images in blocks, and the SHA-256 of their listing."""
    uid = uuid.uuid4().hex
    digest = hashlib.sha256()
    parts = count = bad = 0
    lines: list[str] = []

    def flush() -> None:
        if lines:
            text = "".join(lines).encode()
            store.put(keys.images(uid, (parts - 1) // PARTS_OF_BLOCK), gzip.compress(text, 1, mtime=0))
            lines.clear()

    while part := list(islice(images, part_size)):
        for image in part:
            digest.update(_line(image))
        lines.append(json.dumps([_row(image) for image in part], ensure_ascii=False) + "\n")
        parts, count = parts + 1, count + len(part)
        bad += sum(1 for image in part if image.problem)
        if parts % PARTS_OF_BLOCK == 0:
            flush()
    flush()
    return Segment(uid, first, parts, count, bad), digest.hexdigest()


def _row(image: Image) -> Sequence[Any]:
    row = [image.key, image.size, image.etag]
    return [*row, image.problem] if image.problem else row


def _delete(store: Store, segment: Segment) -> None:
    with suppress(OSError):
        for block in range(-(-segment.parts // PARTS_OF_BLOCK)):
            store.delete(keys.images(segment.uid, block))


def _nothing(source: ImageSource) -> str:
    if not source.ignored:
        return f"{source.url}: no images"
    most = sorted(source.ignored.items(), key=lambda item: -item[1])[:3]
    rules = ", ".join(f"{count:,} by {rule}" for rule, count in most)
    return f"{source.url}: no images; skipped: {rules}"


def _changed(store: Store, changed: Sequence[str]) -> str:
    return (
        f"{plural(len(changed), 'image')} changed since the predictions in {store.url} were planned, such as "
        f"{changed[0]!r}"
    )
