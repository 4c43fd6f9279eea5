"""Images as they might also have been taken."""

import numpy as np
import pytest
from numpy.typing import NDArray

from trainer.dataset.pipeline.augmentation import Augmentation
from trainer.dataset.pipeline.preprocessing import Preprocessing
from trainer.errors import ConfigError
from trainer.evaluation.perturbations import (
    RANDOM,
    Change,
    change_of,
    check_distinct,
    describe,
    parse_change,
    standard_changes,
)


def changed(change: Change, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    drawn = change.draw(np.arange(len(images)), *images.shape[1:3])
    found: NDArray[np.float32] = Preprocessing("none").changed(images, **drawn).numpy()
    return found


def test_images_are_turned_mirrored_and_moved() -> None:
    image = np.arange(20 * 20, dtype=np.int64).reshape(1, 20, 20, 1).astype(np.uint8)
    found = {one.name: changed(one, image)[0, :, :, 0] for one in standard_changes((20, 20, 1), 1)}
    plain = image[0, :, :, 0]
    assert (found["turned by 90 degrees"] == np.rot90(plain)).all()
    assert (found["turned by 180 degrees"] == np.rot90(plain, 2)).all()
    assert (found["turned by 270 degrees"] == np.rot90(plain, 3)).all()
    assert (found["mirrored left to right"] == plain[:, ::-1]).all()
    assert (found["mirrored top to bottom"] == plain[::-1]).all()
    assert (found["moved right by 10 %"][:, 2:] == plain[:, :-2]).all()
    assert (found["moved right by 10 %"][:, :2] == plain[:, :1]).all()
    assert (found["moved left by 10 %"][:, :-2] == plain[:, 2:]).all()
    assert (found["moved down by 10 %"][2:] == plain[:-2]).all()
    assert (found["moved up by 10 %"][:-2] == plain[2:]).all()
    names = [one.name for one in standard_changes((20, 30, 1), 1)]
    assert "turned by 90 degrees" not in names
    assert len(set(names)) == len(names) == 7 + len(RANDOM)


def test_random_changes_are_those_of_the_document_and_repeatable() -> None:
    """Its rows: rotation, height and width shifts, flips in both directions."""
    assert RANDOM[-3:] == (
        Augmentation(rotate=45, shift=(0.1, 0.1)),
        Augmentation(rotate=45, shift=(0.1, 0.1), flip="both"),
        Augmentation(rotate=180, shift=(0.3, 0.4), flip="both"),
    )
    assert describe(RANDOM[-1]) == (
        "turned by up to 180 degrees, moved by up to 30 % down or up, 40 % sideways, "
        "mirrored both ways at random"
    )
    rows = np.arange(50)
    first, again, other = (standard_changes((20, 30, 3), seed)[-1].draw(rows, 20, 30) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first["transforms"], again["transforms"])
    assert (first["transforms"] != other["transforms"]).any()
    tail = standard_changes((20, 30, 3), 1)[-1].draw(rows[30:], 20, 30)
    np.testing.assert_array_equal(tail["transforms"], first["transforms"][30:])


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("turn=90", "turned by 90 degrees"),
        ("rotate=45", "turned by up to 45 degrees"),
        ("rotate=45, width=0.4", "turned by up to 45 degrees, moved by up to 40 % sideways"),
        (
            "shift=0.1,flip=horizontal",
            "moved by up to 10 % down or up, 10 % sideways, mirrored left to right at random",
        ),
        (
            "contrast=0.5,channel_shift=20",
            "contrast changed by up to 50 %, channels shifted by up to 20",
        ),
        (
            "zoom=0.2,shear=10,brightness=0.1,elastic=0.05",
            "zoomed by up to 20 %, sheared by up to 10 degrees, brightness changed by up to 10 %, "
            "deformed by up to 5 %",
        ),
    ],
)
def test_a_change_of_ones_own(text: str, name: str) -> None:
    assert parse_change(text, 1).name == name


def test_a_change_as_keys_of_the_augmentation() -> None:
    assert change_of({"rotate": 30, "shift": [0, 0.1]}, 1).name == (
        "turned by up to 30 degrees, moved by up to 10 % sideways"
    )
    with pytest.raises(ConfigError, match="'unchanged' is there twice"):
        check_distinct([change_of({}, 1), change_of({}, 2)])


@pytest.mark.parametrize(
    "text",
    [
        *("", "rotate", "rotate=", "rotate=x", "rotate=181", "turn=45", "turn=90,flip=both", "spin=3"),
        *("rotate=1,rotate=2", "shift=0.1,width=0.1", "height=2", "flip=sometimes"),
    ],
)
def test_what_is_not_a_change(text: str) -> None:
    with pytest.raises(ConfigError, match="--change") as error:
        parse_change(text, 1)
    assert "--change rotate=45" in error.value.remedy
