"""The way from an image's file to a network's input as Python, for those who have none of this code.

What `images.EncodedImage` and `batch_stream.Preprocessing` do, with Keras, NumPy and Pillow alone.
"""

from collections.abc import Sequence

from trainer.config.types import Standardize
from trainer.dataset.pipeline.standardize import STANDARDIZATIONS, ChannelStatistics
from trainer.images.codec import DRAFT, JPEG_QUALITY, Resize

Shape = tuple[int, int, int]

_BILINEAR = "Image.Resampling.BILINEAR"


def read(
    prepared: Shape,
    resize: Resize,
    shape: Shape,
    standardize: Standardize,
    pixels: ChannelStatistics,
    *,
    jpeg: bool,
) -> str:
    """The text of a function `read(file)`, for a run whose images were `prepared` (H, W, C) by `resize`, with
    `jpeg` as JPEG files, and whose network is given `shape` (H, W, C). It needs keras, NumPy as np, Image and
    ImageOps of Pillow, and with `jpeg` io."""
    lines = [
        *_scaled(prepared, resize),
        "def read(file):",
        f'    """An image file -> the network\'s input {shape}, as `trainer predict` makes it."""',
        *_indented(_opened(prepared, resize)),
        *_indented(_resized(prepared, resize)),
        *_indented(_as_jpeg() if jpeg else []),
        *_indented(_array(prepared, shape)),
        f"    return {STANDARDIZATIONS[standardize].python(pixels)}",
    ]
    return "\n".join([*lines, ""])


def _scaled(prepared: Shape, resize: Resize) -> list[str]:
    """The function that `crop` and `pad` need besides."""
    if resize == "squash":
        return []
    height, width, _ = prepared
    factor = "max" if resize == "crop" else "min"
    return [
        "def scaled(width, height):",
        f"    factor = {factor}({width} / width, {height} / height)",
        "    return max(1, round(width * factor)), max(1, round(height * factor))",
        *("", ""),
    ]


def _opened(prepared: Shape, resize: Resize) -> list[str]:
    """A file -> RGB pixels the right way up; of a large JPEG some of them."""
    height, width, _ = prepared
    lines = ["image = Image.open(file)"]
    comment = "# A large JPEG is decoded at 1/2, 1/4 or 1/8."
    if resize == "squash" and height == width:
        lines += [comment, f"image.draft(None, ({DRAFT * width}, {DRAFT * height}))"]
    else:
        lines.append("turned = image.getexif().get(274) in (5, 6, 7, 8)  # EXIF orientation")
        if resize == "squash":
            lines.append(f"width, height = {width}, {height}")
        else:
            lines.append("width, height = scaled(*image.size[::-1]) if turned else scaled(*image.size)")
        sides = f"({DRAFT} * height, {DRAFT} * width) if turned else ({DRAFT} * width, {DRAFT} * height)"
        lines += [comment, f"image.draft(None, {sides})"]
    return [
        *lines,
        "image = ImageOps.exif_transpose(image)",
        'if image.mode.startswith("I;16"):  # 16-bit grey',
        "    image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))",
        'image = image.convert("RGB")',
    ]


def _resized(prepared: Shape, resize: Resize) -> list[str]:
    """Resizes these pixels to the prepared height and width."""
    height, width, _ = prepared
    if resize == "squash":
        return [f"image = image.resize(({width}, {height}), {_BILINEAR})"]
    if resize == "crop":
        return [
            f"width = min(image.width, image.height * {width} / {height})",
            f"height = min(image.height, image.width * {height} / {width})",
            "left, top = (image.width - width) / 2, (image.height - height) / 2",
            "box = left, top, left + width, top + height",
            f"image = image.resize(({width}, {height}), {_BILINEAR}, box)",
        ]
    return [
        f"inner = image.resize(scaled(*image.size), {_BILINEAR})",
        f'image = Image.new("RGB", ({width}, {height}))',
        f"image.paste(inner, (({width} - inner.width) // 2, ({height} - inner.height) // 2))",
    ]


def _as_jpeg() -> list[str]:
    """Converts these pixels to what is read from the dataset's rows."""
    return [
        "row = io.BytesIO()  # the dataset's rows are JPEG files",
        f'image.save(row, "JPEG", quality={JPEG_QUALITY})',
        "image = Image.open(row)",
    ]


def _array(prepared: Shape, shape: Shape) -> list[str]:
    """A prepared image -> float32 of the network's shape."""
    grey = prepared[2] == 1
    lines = ['image = np.float32(image.convert("L"))[..., None]' if grey else "image = np.float32(image)"]
    if prepared[:2] != shape[:2]:
        lines += [
            f"image = keras.ops.image.resize(image, {shape[:2]}, antialias=True)",
            "image = keras.ops.convert_to_numpy(image)",
        ]
    return lines


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"    {line}" for line in lines]
