"""Images are decoded in order, in threads, within a bound of memory."""

import threading
import time
from pathlib import Path

import pytest

from tests.datasets import make_folders
from trainer.images import decoding
from trainer.images.decoding import Decoder, _Budget
from trainer.preparation.labels import LabelledImage, LabelledImages
from trainer.storage.file import FileStore


class CountingStore(FileStore):
    """Counts the files that were read."""

    reads = 0

    def get(self, key: str) -> bytes:
        self.reads += 1
        return super().get(key)


@pytest.mark.parametrize("size", [None, (300, 300)])
def test_what_is_read_ahead_is_bounded_by_bytes(
    size: tuple[int, int] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Images of 270 kB, of which 1 MB may be held, and of the threads each one more."""
    make_folders(tmp_path, {"a": 60}, size=(300, 300))
    monkeypatch.setattr(decoding, "HELD_BYTES", 1_000_000)
    store = CountingStore(tmp_path)
    items = [LabelledImage(f"a/{number:04d}.png", number) for number in range(60)]
    for taken, decoded in enumerate(
        Decoder(LabelledImages(store, (), {}, "folders"), size, "squash", 2).decode(items), 1
    ):
        assert decoded.item.label == taken - 1
        if taken in (5, 20):
            time.sleep(0.1)
        assert store.reads - taken <= 4 + 2 * decoding.READERS


def test_threads_end_when_the_images_are_not_wanted_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_folders(tmp_path, {"a": 40}, size=(100, 100))
    monkeypatch.setattr(decoding, "HELD_BYTES", 1)
    before = threading.active_count()
    images = Decoder(LabelledImages(FileStore(tmp_path), (), {}, "folders"), None, "squash", 2).decode(
        [LabelledImage(f"a/{number:04d}.png", 0) for number in range(40)]
    )
    next(images)
    next(images)
    images.close()  # type: ignore[attr-defined]
    deadline = time.monotonic() + 30
    while threading.active_count() > before:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_is_decoded_at_once_is_bounded_and_what_is_larger_is_decoded_alone() -> None:
    budget = _Budget(10)
    lock = threading.Lock()
    now: list[int] = []
    most: list[int] = []

    def work(count: int) -> None:
        for _ in range(20):
            with budget.taking(count):
                with lock:
                    now.append(count)
                    most.append(sum(now))
                    assert sum(now) <= 10 or now == [count]
                with lock:
                    now.remove(count)

    threads = [threading.Thread(target=work, args=(count,)) for count in (1, 4, 6, 10, 25)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(most) == 100
    assert max(most) == 25
