"""One image's bytes become pixels, or one clear line."""

import io

import numpy as np
import pytest
from PIL import Image

from trainer.dataset import images
from trainer.dataset.images import decode_image
from trainer.errors import EXIT_INVALID, DataError

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "BMP"])
def test_lossless_images_keep_their_pixels(kind: str) -> None:
    decoded = decode_image(encoded(Image.fromarray(PIXELS), kind))
    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, PIXELS)


@pytest.mark.parametrize("kind", ["JPEG", "GIF", "WEBP"])
def test_other_formats_decode(kind: str) -> None:
    assert decode_image(encoded(Image.fromarray(PIXELS), kind)).shape == (6, 9, 3)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "1", "CMYK"])
def test_every_mode_becomes_rgb_as_keras_loads_it(mode: str) -> None:
    data = encoded(Image.fromarray(PIXELS).convert(mode), "JPEG" if mode == "CMYK" else "PNG")
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    np.testing.assert_array_equal(decode_image(data), expected)


def test_turned_as_its_exif_says() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    np.testing.assert_array_equal(
        decode_image(encoded(Image.fromarray(PIXELS), exif=exif)), np.rot90(PIXELS, -1)
    )


def test_resized_bilinearly_to_height_and_width() -> None:
    expected = Image.fromarray(PIXELS).resize((5, 3), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(
        decode_image(encoded(Image.fromarray(PIXELS)), (3, 5)), np.asarray(expected)
    )


def test_damaged_images_are_named_in_one_line() -> None:
    whole = encoded(Image.fromarray(np.tile(PIXELS, (20, 20, 1))), "JPEG")
    png = bytearray(encoded(Image.fromarray(PIXELS)))
    png[-60:-40] = bytes(20)
    for data, reason in [
        (b"", "the file is empty"),
        (b"<html>not found</html>", "not an image in one of the formats JPEG, PNG"),
        (whole[: len(whole) // 2], "damaged image.*truncated"),
        (whole[:30], "image"),
        (bytes(png), "damaged image"),
    ]:
        with pytest.raises(DataError, match=f"a/b.jpg: .*{reason}") as error:
            decode_image(data, name="a/b.jpg")
        assert "\n" not in str(error.value)
        assert error.value.exit_code == EXIT_INVALID


def test_the_pixels_are_limited_before_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_PIXELS", 50)
    with pytest.raises(DataError, match=r"big.png: 9x6 is more than the limit of 50 pixels"):
        decode_image(encoded(Image.fromarray(PIXELS)), name="big.png")
    monkeypatch.undo()
    bomb = encoded(Image.new("1", (20_000, 20_000)))
    with pytest.raises(DataError, match="more than the limit of 64000000 pixels"):
        decode_image(bomb)
