"""`recipe: auto` is resolved once, by what is here at the first start, and kept with the run."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.trained import CLASSES, images
from trainer.config import RunConfig
from trainer.config import load as load_config
from trainer.dataset.open_dataset import open_dataset
from trainer.errors import ConfigError, DataError, RunError
from trainer.models.networks import pretrained_files
from trainer.preparation.prepare import prepare
from trainer.runs import layout
from trainer.storage import open_store
from trainer.training.auto import Choice, facts, kept, loaded_run


@pytest.fixture
def data(tmp_path: Path) -> str:
    return prepare(str(images(tmp_path / "images", 12, *CLASSES)), f"file://{tmp_path}/data").url


def load(data: str, run: str, *sets: str, keep: bool = True, **options: Any) -> tuple[RunConfig, Choice]:
    overrides = [f"data.url={data}", f"run.url={run}", *sets]
    with loaded_run(overrides=overrides, keep=keep, **options) as (config, choice):
        assert choice
        return config, choice


@pytest.mark.parametrize("recipe", [{}, {"recipe": "auto"}])
def test_where_no_recipe_is_named_one_is_chosen(data: str, store_url: str, recipe: dict[str, Any]):
    config, choice = load(data, f"{store_url}/run", **recipe)
    assert config.model.name == choice.values["model"]["name"] == "small-resnet"
    assert config.train.batch_size <= open_dataset(data).split("train").rows
    document = json.loads(open_store(f"{store_url}/run").get(layout.CHOICE))
    assert document["chosen"] == choice.chosen


def test_a_network_without_a_recipe_is_configured_as_ever(data: str, tmp_path: Path):
    overrides = [f"data.url={data}", f"run.url={tmp_path}/run", "model.name=lab-cnn"]
    with loaded_run(overrides=overrides) as (config, choice):
        assert (choice, config) == (None, load_config(overrides=overrides))


def test_another_machine_uses_what_was_chosen(data: str, store_url: str, monkeypatch: pytest.MonkeyPatch):
    first, _ = load(data, f"{store_url}/run")
    monkeypatch.setattr(facts, "available_memory", lambda: 1 << 20)
    assert load(data, f"{store_url}/run")[0] == first
    assert load(data, f"{store_url}/other")[0].train != first.train


def test_of_two_pods_that_choose_at_once_the_first_decides(data: str, store_url: str):
    store = open_store(store_url)
    mine, other = (Choice({"number": number}, "", "", "") for number in (1, 2))
    assert kept.keep(store, mine, {"dataset": "x"}, None) == mine
    assert kept.keep(store, other, {"dataset": "x"}, None) == mine
    found = kept.read(store)
    assert found
    assert found.choice == mine


def test_a_dataset_that_changed_before_the_first_checkpoint_is_chosen_for_anew(tmp_path: Path, data: str):
    run = f"file://{tmp_path}/run"
    few, _ = load(data, run)
    prepare(str(images(tmp_path / "images", 80, *CLASSES)), data, overwrite=True)
    assert load(data, run)[0].train.batch_size > few.train.batch_size


def test_set_values_win_over_the_chosen_ones(data: str, tmp_path: Path):
    sets = ["train.epochs=1", "model.name=lab-cnn", "data.image_size=16", "train.optimizer.learning_rate=0.5"]
    config, choice = load(data, f"{tmp_path}/run", *sets, recipe="auto")
    assert (config.train.epochs, config.model.name, config.data.image_size) == (1, "lab-cnn", 16)
    assert config.train.warmup_epochs == 0.5
    assert config.train.optimizer.learning_rate == 0.5
    assert choice.chosen.startswith("lab-cnn, as set; 40 epochs of batches of ")


def test_phases_that_are_set_have_their_own_epochs(data: str, tmp_path: Path):
    sets = [f"data.url={data}", f"run.url={tmp_path}/run"]
    phases = "train.phases=[{epochs: 1, freeze: backbone}, {epochs: 2, learning_rate: 0.0001}]"
    with loaded_run(overrides=[*sets, phases]) as (config, choice):
        assert choice
        assert choice.chosen.endswith("; epochs, rates and freezing as train.phases has them")
        assert config.train.epochs == 3
        assert [phase.warmup_epochs for phase in config.phases] == [0, 0]
    with (
        pytest.raises(ConfigError, match=r"set train\.epochs: 3"),
        loaded_run(overrides=[*sets, phases, "train.epochs=4"]),
    ):
        pass


def test_a_network_of_keras_that_is_set_has_its_own_values(data: str, tmp_path: Path):
    sets = ["model.name=keras:ResNet50", "data.image_size=32"]
    config, _ = load(data, f"{tmp_path}/run", *sets, recipe="auto")
    assert (config.model.weights, config.data.standardize) == ("imagenet", "caffe")


def test_a_check_keeps_nothing(data: str, tmp_path: Path):
    load(data, f"{tmp_path}/run", keep=False)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("sets", "says"),
    [
        (["train.batch_size=4096"], "4096"),
        (["model.name=no-network"], "there is no network 'no-network'"),
        (["model.weights=/x/my.weights.h5"], "does not tell its network"),
    ],
)
def test_a_start_that_is_refused_leaves_nothing(data: str, tmp_path: Path, sets: list[str], says: str):
    with pytest.raises((ConfigError, DataError), match=says):
        load(data, f"{tmp_path}/run", *sets, recipe="auto")
    assert not (tmp_path / "run").exists()


def test_what_is_refused_after_the_choice_takes_it_back(data: str, tmp_path: Path):
    def start() -> None:
        with loaded_run(overrides=[f"data.url={data}", f"run.url={tmp_path}/run"]):
            assert (tmp_path / "run" / layout.CHOICE).exists()
            raise ConfigError("no GPU")

    with pytest.raises(ConfigError, match="no GPU"):
        start()
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("content", "says"), [(b"{", "is corrupt"), (b'{"version": 9, "basis": {}}', "has version 9")]
)
def test_a_kept_choice_that_cannot_be_read_is_one_error(data: str, tmp_path: Path, content: bytes, says: str):
    open_store(f"{tmp_path}/run").put(layout.CHOICE, content)
    with pytest.raises(RunError, match=says):
        load(data, f"{tmp_path}/run")


def test_weights_in_keras_s_folder_need_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(pretrained_files, "_reachable", lambda _: False)
    networks = {"keras:MobileNetV2": 96, "keras:ResNet50": 224}
    assert pretrained_files.available(networks) is None
    (tmp_path / "models").mkdir()
    for name in reversed(networks):
        file = pretrained_files.file_url(name, networks[name]).rpartition("/")[2]
        (tmp_path / "models" / file).write_bytes(b"")
        assert pretrained_files.available(networks) == (name, f"in {tmp_path}/models")
        assert pretrained_files.network_of_file(f"s3://bucket/{file}") == name
    monkeypatch.setattr(pretrained_files, "_reachable", lambda _: True)
    assert pretrained_files.available({"keras:EfficientNetV2B0": 96, **networks}) == (
        "keras:EfficientNetV2B0",
        "to be downloaded by Keras",
    )


def test_a_server_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    assert not pretrained_files._reachable(pretrained_files.file_url("keras:ResNet50", 224))
