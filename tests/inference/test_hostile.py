"""Files that were made to break a reader: each is predicted or reported, in bounded memory."""

import io
import json
import random
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.inference.conftest import predicted, rows
from tests.trained import images
from trainer.inference import keys

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
GROWTH = 300 << 20
"""Of this process, in bytes."""


def encoded(form: str, draw: np.random.Generator) -> bytes:
    file = io.BytesIO()
    Image.fromarray(draw.integers(0, 256, (24, 20, 3), np.uint8)).save(file, form)
    return file.getvalue()


def bomb_png(side: int) -> bytes:
    """A whole PNG of side x side black pixels in a few kilobytes to megabytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(1 + side // 8)) for _ in range(side)) + packer.flush()
    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def claims_to_be_large(form: str) -> bytes:
    """An image whose header says 65 500 x 65 500 where the content is none."""
    size = 65_500
    if form == "BMP":
        return b"BM" + struct.pack("<IHHIIiiHHIIiiII", 99, 0, 0, 54, 40, size, size, 1, 24, 0, 0, 0, 0, 0, 0)
    if form == "GIF":
        screen = struct.pack("<HHBBB", size, size, 0, 0, 0)
        return b"GIF89a" + screen + b"," + struct.pack("<HHHHB", 0, 0, size, size, 0) + b"\x08\x00;"
    data = bytearray(encoded("JPEG", np.random.default_rng(0)))
    frame = data.index(b"\xff\xc0") + 5
    data[frame : frame + 4] = struct.pack(">HH", size, size)
    return bytes(data)


def hostile() -> Iterator[tuple[str, bytes]]:
    draw, chance = np.random.default_rng(0), random.Random(0)
    for form in FORMATS:
        whole = encoded(form, draw)
        for number in range(40):
            yield f"cut-{form}-{number}.png", whole[: len(whole) * number // 40]
        for number in range(36):
            damaged = bytearray(whole)
            for _ in range(chance.choice((1, 4, 30))):
                damaged[chance.randrange(len(damaged))] = chance.randrange(256)
            yield f"damaged-{form}-{number}.jpg", bytes(damaged)
    for form in ("BMP", "GIF", "JPEG"):
        yield f"large-{form}.jpg", claims_to_be_large(form)
    yield "bomb.png", bomb_png(60_000)
    for number, text in enumerate((b"", b"\0", b"GIF89a", b"<svg/>", b"%PDF-1.7", bytes(5000))):
        yield f"text-{number}.jpg", text
    image = encoded("JPEG", draw)
    names = (
        "new\nline",
        "'",
        '"',
        "a\tb",
        "\\n",
        "%2e%2e",
        "ünï",
        "日本語",
        "😀",
        "\u202etxt",
        " ",
        "a;b",
        "$(x)",
        "-r",
        "--",
    )
    for name in names:
        yield f"{name}.jpg", image
    yield f"{'d' * 200}/{'e' * 200}/{'f' * 200}/{'g' * 200}/{'h' * 190}.jpg", image
    for number in range(18):
        yield f"random-{number}.webp", draw.bytes(chance.randrange(1, 5000))


def peak() -> int:
    """Of this process's memory since the last `reset_peak`, in bytes."""
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) << 10


def reset_peak() -> int:
    Path("/proc/self/clear_refs").write_text("5")
    return peak()


@pytest.mark.filterwarnings("ignore")
def test_500_hostile_files(trained: str, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    files = dict(hostile())
    assert len(files) == 500
    for name, content in files.items():
        (photos / name).parent.mkdir(parents=True, exist_ok=True)
        (photos / name).write_bytes(content)
    predicted(trained, images(tmp_path / "one", 1, "a"), tmp_path / "before")  # imports TensorFlow
    before = reset_peak()
    summary = predicted(trained, photos, tmp_path / "out", max_bad_fraction=1)
    assert peak() - before < GROWTH
    errors = [json.loads(line) for line in (tmp_path / "out" / keys.ERRORS).read_text().splitlines()]
    failed = {row["image"]: row["error"] for row in errors}
    done = [row["image"] for row in rows(tmp_path / "out")]
    assert sorted([*done, *failed]) == sorted(files)
    assert (summary["predicted"], summary["failed"]) == (len(done), len(failed))
    assert all(failed.values())
    assert {"bomb.png", "large-BMP.jpg", "large-GIF.jpg", "large-JPEG.jpg", "text-0.jpg"} <= set(failed)
    assert "pixels" in failed["bomb.png"]
    assert set(done) >= {
        name for name in files if name.endswith(("new\nline.jpg", "h.jpg", '".jpg', "日本語.jpg"))
    }
