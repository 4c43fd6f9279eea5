"""What the environment says of the pods."""

import pytest

from trainer.errors import ConfigError
from trainer.gang.pods import PORT, Pods, from_environment

pytestmark = pytest.mark.fast

GIVEN = {"TRAINER_POD_INDEX": "2", "TRAINER_PODS": "3", "TRAINER_COORDINATOR": "cars-0.cars"}


def test_read() -> None:
    assert from_environment(GIVEN) == Pods(index=2, count=3, coordinator="cars-0.cars", port=PORT)
    assert from_environment({**GIVEN, "TRAINER_COORDINATOR": "10.0.0.1:99"}) == Pods(2, 3, "10.0.0.1", 99)
    assert from_environment({**GIVEN, "TRAINER_COORDINATOR": "[fd00::1]:99"}) == Pods(2, 3, "fd00::1", 99)
    assert from_environment({**GIVEN, "TRAINER_COORDINATOR": "fd00::1"}) == Pods(2, 3, "fd00::1", PORT)
    assert from_environment({}) is None


@pytest.mark.parametrize("name", ["TRAINER_POD_INDEX", "TRAINER_PODS"])
def test_what_is_no_number_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name}: expected a whole number >= ., received 'two'"):
        from_environment({**GIVEN, name: "two"})
