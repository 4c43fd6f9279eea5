"""Settings of the user's own Keras change nothing: of a file, of the environment, of the process."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tests.commands import refused, trainer
from tests.training import in_process
from trainer.errors import ConfigError
from trainer.observability.tensorflow_import import quiet_tensorflow_import

HOSTILE = {"backend": "theano", "image_data_format": "channels_first", "floatx": "float64", "epsilon": 0.1}
ENVIRONMENT = {"KERAS_BACKEND": "jax", "TF_USE_LEGACY_KERAS": "1"}


def python(program: str, **environment: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, **environment}, capture_output=True, text=True
    ).stdout


@pytest.fixture
def keras_home(tmp_path: Path) -> Path:
    folder = tmp_path / "keras"
    folder.mkdir()
    (folder / "keras.json").write_text(json.dumps(HOSTILE))
    return folder


def test_a_run_trains_the_same_network_whatever_keras_json_and_the_environment_have(
    runs: Any, keras_home: Path
) -> None:
    configs = [runs.config(name, train={"batch_size": 400, "lanes": 4}) for name in ("clean", "hostile")]
    in_process.train(configs[0])
    done = trainer(
        "train",
        "--config",
        str(configs[1]),
        KERAS_HOME=str(keras_home),
        KERAS_BACKEND="jax",
        TF_USE_LEGACY_KERAS="1",
    )
    assert done.returncode == 0, done.stderr
    clean, hostile = (runs.weights(config.parent) for config in configs)
    for found, expected in zip(hostile, clean, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_every_process_passes_the_place_that_sets_keras_up(keras_home: Path) -> None:
    """Those of the doctor, which import TensorFlow before anything else of the trainer does."""
    program = (
        "import {module}, keras; "
        "print(keras.config.image_data_format(), keras.config.floatx(), keras.config.epsilon(), "
        "keras.config.backend())"
    )
    for module in ("trainer.doctor.devices_probe", "trainer.doctor.exchange_probe"):
        found = python(program.format(module=module), KERAS_HOME=str(keras_home), **ENVIRONMENT)
        assert found.split() == ["channels_last", "float32", "1e-07", "tensorflow"], module


def test_garbage_is_not_collected_while_tensorflow_is_imported_and_is_afterwards() -> None:
    """Of an import in a command its modules are left out later, and of one in a notebook nothing."""
    program = (
        "import gc, sys; from trainer import interrupts; "
        "from trainer.observability.tensorflow_import import quiet_tensorflow_import as quiet; "
        "{start}; context = quiet(); context.__enter__(); print(gc.isenabled()); "
        "context.__exit__(None, None, None); print(gc.isenabled(), gc.get_freeze_count() > 100_000)"
    )
    assert python(program.format(start="interrupts.install([])")).split() == ["False", "True", "True"]
    assert python(program.format(start="pass")).split() == ["False", "True", "False"]


def test_a_process_that_has_keras_on_another_backend_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    with (
        pytest.raises(ConfigError, match=r"uses it on jax.*Set KERAS_BACKEND=tensorflow"),
        quiet_tensorflow_import(),
    ):
        pass


def test_a_keras_json_that_keras_refuses_is_one_line(digits: str, keras_home: Path) -> None:
    (keras_home / "keras.json").write_text('{"epsilon": 1}')
    sets = ["--set", f"data.url={digits}", "--set", f"run.url={keras_home}/run"]
    said = refused("train", "--check", "--recipe", "digits", *sets, KERAS_HOME=str(keras_home))
    assert "Invalid `epsilon` configuration" in said
    assert "delete keras.json" in said
