"""`trainer train --check` tries what a run does, says what would happen, and leaves nothing behind."""

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import h5py
import keras
import pytest
from keras.src.legacy.saving import legacy_h5_format

from tests.commands import trainer
from tests.documents import assert_document
from trainer import main
from trainer.checkpoints.commit import write
from trainer.config import RunConfig, load
from trainer.errors import ConfigError, TrainerError
from trainer.runs.claim import claim_folder
from trainer.runs.layout import Attempt
from trainer.storage import open_store
from trainer.training.run_plan import make_plan
from trainer.training.setup.check import Checked, check, estimate
from trainer.training.setup.dry_run import TriedOut

MOBILENET = "mobilenet_1_0_224_tf_no_top.h5"  # has no hash in Keras


def config(digits: str, url: str, *sets: str) -> RunConfig:
    return load(recipe="digits", overrides=[f"data.url={digits}", f"run.url={url}", *sets])


def test_a_new_run_on_several_ranks(digits: str, store_url: str):
    found = check(config(digits, store_url, "train.batch_size=60", "train.epochs=2"), 2)
    assert (found.ranks, found.lanes, found.lanes_per_rank, found.images_at_once) == (2, 60, 30, 30)
    assert set(found.rows) == {"train", "validation"}
    assert found.total_steps == 2 * found.steps_per_epoch == 2 * (found.rows["train"] // 60)
    assert found.state == "new"
    assert found.run == open_store(store_url).url
    assert not list(open_store(store_url).list())


def test_a_run_that_was_begun_is_resumed_and_another_one_s_folder_refused(digits: str, s3: str, capsys: Any):
    url = f"{s3}/run"
    store = open_store(url)
    fence, _ = claim_folder(store, make_plan(config(digits, url), 1).document, {})
    assert check(config(digits, url), 1).state == "new"
    write(fence, Attempt(40, 1, "a"), memoryview(b"state"), b"{}")
    before = [info.key for info in store.list()]
    assert check(config(digits, url), 1).state == "resumes at step 40"
    sets = ["--set", f"data.url={digits}", "--set", f"run.url={url}", "--set", "train.seed=2"]
    assert main.run(["train", "--check", "--recipe", "digits", *sets]) == 64
    assert "already contains a different run: seed is 1" in capsys.readouterr().err
    assert [info.key for info in store.list()] == before


def test_a_shard_that_changed_is_found_before_training(digits: str, s3: str):
    source, copy = open_store(digits), open_store(f"{s3}/data")
    for info in source.list():
        content = bytearray(source.get(info.key))
        if info.key.startswith("train/"):
            content[-1] ^= 1
        copy.put(info.key, bytes(content))
    with pytest.raises(Exception, match="its checksum differs"):
        check(config(f"{s3}/data", f"{s3}/run"), 1)


TRIED = ("stores", "network", "reading", "forward pass", "export", "step", "validation")


def test_what_a_run_does_is_tried_and_nothing_is_left(digits: str, store_url: str, capsys: Any):
    sets = ["--set", f"data.url={digits}", "--set", f"run.url={store_url}", "--set", "model.name=lab-cnn"]
    assert main.run(["train", "--check", "--recipe", "digits", *sets]) == 0
    [line] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("tried")]
    assert re.sub(r" [\d.]+ s", "", line).split(maxsplit=1)[1].split(", ") == list(TRIED)
    assert not list(open_store(store_url).list())


@pytest.mark.parametrize(
    ("sets", "says"),
    [
        (["model.name=tests.models.own:in_lambda"], "the layer 'lambda'"),
        (["model.name=tests.models.own:logits"], "to return probabilities"),
        (["train.optimizer.learning_rate=1e38"], "not finite"),
    ],
)
def test_what_would_fail_later_is_found(digits: str, store_url: str, sets: list[str], says: str):
    sets = [*sets, "model.options={}", "train.precision=float32"]
    with pytest.raises(TrainerError, match=says) as error:
        check(config(digits, store_url, *sets), 1)
    assert error.value.exit_code == 64
    assert not list(open_store(store_url).list())


def test_imagenet_weights_are_loaded_as_the_run_would(digits: str, tmp_path: Path, monkeypatch: Any):
    monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(tmp_path))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    (tmp_path / "models").mkdir()
    sets = ["model.name=keras:MobileNet", "model.weights=imagenet", "data.image_size=32"]
    run = config(digits, f"{tmp_path}/run", *sets, "model.options={}", "data.standardize=x/127.5-1")
    with pytest.raises(ConfigError, match=rf"Put {MOBILENET} into {tmp_path}/models"):
        check(run, 1)
    body = keras.applications.MobileNet(weights=None, include_top=False, input_shape=(32, 32, 3))
    with h5py.File(tmp_path / "models" / MOBILENET, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, body)
    assert "starting weights" in check(run, 1).tried


def test_replicas_are_tried_as_many_as_there_would_be(digits: str, tmp_path: Path):
    sets = (f"data.url={digits}", f"run.url={tmp_path}/run", "distribution.strategy=mirrored")
    words = [word for value in sets for word in ("--set", value)]
    done = trainer("train", "--check", "--recipe", "digits", "--ranks", "2", *words)
    assert done.returncode == 0, done.stderr
    assert ", step " in done.stdout


def test_the_time_of_a_run_is_that_of_its_images():
    run = load(
        recipe="digits",
        overrides=[
            *("data.url=/d", "run.url=/r", "train.batch_size=60", "train.validation_freq=2"),
            "train.epochs=4",
            "train.phases=[{epochs: 1, freeze: backbone}, {epochs: 3, freeze: none}]",
        ],
    )
    split = cast(Any, SimpleNamespace(rows=500))
    plan = cast(
        Any,
        SimpleNamespace(
            config=run, phases=run.phases, ranks=2, steps_per_epoch=10, split={"validation": split}.get
        ),
    )
    tried = TriedOut({}, (0.01, 0.03), 0.004)
    seconds = 600 * 0.01 + 3 * 600 * 0.03 + 2 * 500 * 0.004
    on_cores, on_gpus = (estimate(plan, tried, gpus=gpus, cores=8) for gpus in (False, True))
    assert (on_cores.seconds, on_cores.gpu_hours) == (seconds, 0)
    assert on_cores.core_hours == pytest.approx(8 * seconds / 3600, abs=1e-4)
    assert on_gpus.seconds == seconds / 2, "each rank has a GPU of its own"
    assert on_gpus.gpu_hours == pytest.approx(seconds / 3600, abs=1e-4)


def test_the_figures_as_json(digits: str, store_url: str, capsys: Any):
    sets = ["--set", f"data.url={digits}", "--set", f"run.url={store_url}"]
    words = ["--json", "--price", "core_hour=3600,currency=EUR"]
    assert main.run(["train", "--check", "--recipe", "digits", *words, *sets]) == 0
    found = json.loads(capsys.readouterr().out)
    assert_document(found, Checked)
    assert found["network"] == "lab-cnn"
    assert found["parameters"] == 12_440
    assert found["step_bytes"] > 4 * found["parameters"]
    assert found["estimate"]["seconds"] > 0
    assert found["cost"] == pytest.approx(3600 * found["estimate"]["core_hours"], abs=0.2)
    assert found["currency"] == "EUR"
