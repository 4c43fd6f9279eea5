"""One image's bytes become pixels, or one clear line."""

import importlib.util
import io

import numpy as np
import pytest
from PIL import Image

from trainer.errors import EXIT_INVALID, DataError
from trainer.images import codec as images
from trainer.images.codec import decode_image

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "BMP", "PPM"])
def test_lossless_images_keep_their_pixels(kind: str) -> None:
    decoded = decode_image(encoded(Image.fromarray(PIXELS), kind))
    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, PIXELS)


@pytest.mark.parametrize("kind", ["JPEG", "GIF", "WEBP", "AVIF", "JPEG2000"])
def test_other_formats_decode(kind: str) -> None:
    assert decode_image(encoded(Image.fromarray(PIXELS), kind)).shape == (6, 9, 3)


def test_heic_is_read_by_an_extra_and_named_without_it() -> None:
    data = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64)
    if importlib.util.find_spec("pillow_heif"):
        message = "a.heic: (not an image|a damaged image)"
    else:
        message = r"a.heic: a HEIC image, which is read by pillow-heif, .* pip install 'cars-trainer\[heic\]'"
    with pytest.raises(DataError, match=message):
        decode_image(data, name="a.heic")


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "1", "CMYK"])
def test_every_mode_becomes_rgb_as_keras_loads_it(mode: str) -> None:
    data = encoded(Image.fromarray(PIXELS).convert(mode), "JPEG" if mode == "CMYK" else "PNG")
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    np.testing.assert_array_equal(decode_image(data), expected)


def test_16_bits_become_8_by_the_high_byte() -> None:
    grey = np.arange(54, dtype=np.uint16).reshape(6, 9) * 1200
    for kind in ("PNG", "TIFF") if "TIFF" in images.FORMATS else ("PNG",):
        decoded = decode_image(encoded(Image.fromarray(grey), kind))
        np.testing.assert_array_equal(decoded, np.repeat((grey >> 8).astype(np.uint8)[..., None], 3, 2))


@pytest.mark.parametrize(
    ("dtype", "kind"), [(np.float32, "32-bit floats"), (np.int32, "32-bit integers")], ids=["F", "I"]
)
def test_what_does_not_become_8_bits_is_refused_by_name(
    dtype: type, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "FORMATS", ("TIFF",))
    data = encoded(Image.fromarray(PIXELS[..., 0].astype(dtype)), "TIFF")
    with pytest.raises(DataError, match=f"a.tif: its pixels are {kind}; expected 8 or 16 bits a channel"):
        decode_image(data, name="a.tif")


WIDE = Image.fromarray(np.repeat(np.repeat([[10, 90, 170, 250]], 2, 0)[..., None], 3, 2).astype(np.uint8))
"""4x2 pixels: columns of four greys."""


@pytest.mark.parametrize(
    ("resize", "expected"),
    [
        ("squash", [[67, 193]] * 2),
        ("crop", [[90, 170]] * 2),
        ("pad", [[0] * 4, [10, 90, 170, 250], [10, 90, 170, 250], [0] * 4]),
    ],
)
def test_three_ways_to_another_shape(resize: images.Resize, expected: list[list[int]]) -> None:
    size = (len(expected), len(expected))
    wide = decode_image(encoded(WIDE), size, resize=resize)
    tall = decode_image(encoded(WIDE.transpose(Image.Transpose.ROTATE_270)), size, resize=resize)
    np.testing.assert_array_equal(wide[..., 0], expected)
    np.testing.assert_array_equal(tall[..., 0], np.rot90(np.array(expected), -1))


@pytest.mark.parametrize("turn", [1, 6])
@pytest.mark.parametrize("resize", ["squash", "crop", "pad"])
def test_a_large_jpeg_is_decoded_smaller_and_looks_the_same(resize: images.Resize, turn: int) -> None:
    x, y = np.meshgrid(np.linspace(0, 9, 640), np.linspace(0, 9, 480))
    smooth = np.stack([np.sin(x + y), np.cos(x), np.sin(x * y / 3)], -1) * 120 + 128
    exif = Image.Exif()
    exif[0x0112] = turn
    data = encoded(Image.fromarray(smooth.astype(np.uint8)), "JPEG", quality=95, exif=exif)
    small = images.EncodedImage(data, (64, 48), resize=resize)
    whole = Image.open(io.BytesIO(data))
    whole.load()
    again = encoded(whole, "PNG", exif=exif)
    assert small.decoding_bytes <= images.EncodedImage(again, (64, 48), resize=resize).decoding_bytes / 4
    expected = decode_image(again, (64, 48), resize=resize).astype(float)
    assert np.abs(small.decode() - expected).mean() < 1.5


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


def test_pixels_are_taken_as_a_file_of_them() -> None:
    for pixels in (PIXELS, PIXELS[..., :1]):
        file = encoded(Image.fromarray(pixels.squeeze()))
        np.testing.assert_array_equal(decode_image(pixels, (3, 5)), decode_image(file, (3, 5)))


def test_damaged_images_are_named_in_one_line() -> None:
    whole = encoded(Image.fromarray(np.tile(PIXELS, (20, 20, 1))), "JPEG")
    png = bytearray(encoded(Image.fromarray(PIXELS)))
    png[-60:-40] = bytes(20)
    for data, reason in [
        (b"", "the file is empty"),
        (b"<html>not found</html>", "not an image in one of the formats JPEG, PNG"),
        (whole[: len(whole) // 2], "corrupt image.*truncated"),
        (whole[:30], "image"),
        (bytes(png), "corrupt image"),
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
