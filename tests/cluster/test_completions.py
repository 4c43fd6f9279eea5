"""The gang learns from its own Job how many pods it shall have."""

import pytest

from trainer.cluster import wanted_pods as wanted

pytestmark = pytest.mark.fast


def test_outside_of_a_cluster_nobody_is_asked():
    assert wanted.from_environment({"TRAINER_JOB": "cars-1", "TRAINER_NAMESPACE": "training"}) is None
    assert wanted.from_environment({"KUBERNETES_SERVICE_HOST": "10.96.0.1"}) is None
