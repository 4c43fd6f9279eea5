"""Images as they might also have been taken."""

import numpy as np

from trainer.evaluation.perturbations import perturbations


def test_images_are_turned_mirrored_and_moved() -> None:
    image = np.arange(20 * 20, dtype=np.int64).reshape(1, 20, 20, 1).astype(np.uint8)
    found = {name: change(image)[0, :, :, 0] for name, change in perturbations((20, 20, 1)).items()}
    plain = image[0, :, :, 0]
    assert (found["turned by 90 degrees"] == np.rot90(plain)).all()
    assert (found["mirrored left to right"] == plain[:, ::-1]).all()
    assert (found["moved right by 10 %"][:, 2:] == plain[:, :-2]).all()
    assert (found["moved right by 10 %"][:, :2] == plain[:, :1]).all()
    assert (found["moved up by 10 %"][:-2] == plain[2:]).all()
    assert "turned by 90 degrees" not in perturbations((20, 30, 1))
