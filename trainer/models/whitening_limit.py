"""The size limit of ZCA-whitened images: memory grows with the square of their values."""

from trainer.errors import ConfigError
from trainer.machine.memory import available_memory

ZCA = "zca"
SHARE = 1 / 4
"""The most that whitening may take of the memory of the machine or container."""
_MATRICES = 5
"""Matrices of float64 at once, in `fit`: the covariance, its eigenvectors, the solver's two, the result."""


def check_whitening(image_shape: tuple[int, int, int]) -> None:
    """Raises ConfigError for images (H, W, C) that are too large, or for which there is too little memory."""
    height, width, channels = image_shape
    values = height * width * channels
    limit = int(SHARE * available_memory())
    if (needed := _MATRICES * 8 * values**2) > limit:
        side = int((limit / 8 / _MATRICES) ** 0.5 / channels) ** 0.5
        raise ConfigError(
            f"data.standardize: zca of images {height}x{width}x{channels} needs {needed / 2**30:,.1f} GiB, "
            f"for the covariance of {values:,} values with each other; the limit is "
            f"{limit / 2**30:,.1f} GiB, a quarter of the memory",
            f"Set data.image_size: {int(side)} or less, or use feature_wise",
        )
