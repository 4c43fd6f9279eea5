"""What is put is read from the caller's memory: no second copy of it is made."""

import io
import tracemalloc

import numpy as np

from trainer.storage import open_store
from trainer.storage.s3.memoryview_reader import MemoryviewReader

DATA = np.random.default_rng(0).bytes(1 << 20)


def test_a_window_reads_as_a_file_of_the_same_bytes() -> None:
    window, file = MemoryviewReader(memoryview(DATA)), io.BytesIO(DATA)
    assert len(window) == len(DATA)
    for offset, whence in ((10, io.SEEK_SET), (-5, io.SEEK_CUR), (-7, io.SEEK_END), (3, io.SEEK_END)):
        assert window.seek(offset, whence) == file.seek(offset, whence) == window.tell()
        assert window.read(4) == file.read(4)
    window.seek(100)
    assert b"".join(iter(lambda: window.read(1 << 20), b"")) == DATA[100:]


def test_a_large_buffer_is_put_without_a_copy_of_it(s3: str) -> None:
    data = np.frombuffer(DATA * 16, np.uint8)
    store = open_store(s3)
    store.put("first", b"")
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        store.put("large", data.data)
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert peak < data.nbytes / 8
    assert store.get("large") == data.tobytes()
