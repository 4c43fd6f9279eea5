"""The dataset of tests/dataset, here too."""

from tests.dataset.conftest import dataset  # noqa: F401
