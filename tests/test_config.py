"""A wrong configuration is one clear line, before anything happens."""

import os
import re
from functools import reduce
from pathlib import Path

import pytest

from trainer.config import load
from trainer.config.load import recipes
from trainer.errors import ConfigError
from trainer.inference import config as prediction
from trainer.inference.job import main as predict_job

pytestmark = pytest.mark.fast

NEEDED = ["data.url=s3://bucket/data", "run.url=s3://bucket/run"]


def test_every_recipe_is_whole_once_it_knows_where():
    assert recipes()
    for name in recipes():
        assert load(recipe=name, overrides=NEEDED).model.name


def test_set_wins_over_the_file_and_the_file_over_the_recipe(tmp_path: Path):
    path = tmp_path / "mine.yaml"
    path.write_text("recipe: lab-1\ntrain: {epochs: 7, batch_size: 50}\n")
    config = load(path, overrides=[*NEEDED, "train.epochs=3"])
    assert (config.train.epochs, config.train.batch_size, config.train.optimizer.name) == (3, 50, "adam")


def test_another_optimizer_does_not_inherit_the_first_ones_arguments():
    config = load(recipe="resnet50", overrides=[*NEEDED, "train.optimizer={name: adam, learning_rate: 0.1}"])
    assert config.train.optimizer.model_dump() == {"name": "adam", "learning_rate": 0.1}


@pytest.mark.parametrize(
    ("text", "seconds"), [("5m", 300), ("30s", 30), ("1.5h", 5400), ("2d", 172800), ("7", 7)]
)
def test_durations(text: str, seconds: float):
    assert load(recipe="lab-1", overrides=[*NEEDED, f"run.grace={text}"]).run.grace == seconds


@pytest.mark.parametrize(
    ("text", "count", "unit"),
    [
        ("5m", 300, "seconds"),
        ("100 steps", 100, "steps"),
        ("1 epoch", 1, "epochs"),
        ("continuous", 1, "continuous"),
    ],
)
def test_cadences(text: str, count: float, unit: str):
    every = load(recipe="lab-1", overrides=[*NEEDED, f"run.checkpoint.every={text}"]).run.checkpoint.every
    assert (every.count, every.unit) == (count, unit)


@pytest.mark.parametrize(
    ("assignment", "says"),
    [
        ("train.epoch=3", "unknown key 'train.epoch'; did you mean 'epochs'?"),
        ("train.batch_size=many", "train.batch_size"),
        ("train.validation_freq=21", "expected at most the 20 of train.epochs, received 21"),
        ("train.lanes=7", "expected a divisor of train.batch_size 100, received 7"),
        ("run.checkpoint.every=often", "expected 5m, 100 steps, 1 epoch or continuous, received 'often'"),
        ("data.standardize=caffee", "data.standardize"),
        ("model.batch_norm=grouped", "grouped needs train.micro_batch"),
        ("train.early_stopping.patienc=3", "did you mean 'patience'?"),
        ("epochs", "expected key.name=value, received 'epochs'"),
        ("run.url=s3:/bucket/x", "run.url: expected s3://bucket/prefix, received 's3:/bucket/x'"),
        ("model.weights=gs://b/x", "model.weights: no object store for gs://"),
        ("data.image_size=-3", "data.image_size: expected a value greater than or equal to 1, received -3"),
        ("data.image_size=[8]", "data.image_size: expected more values, received [8]"),
        ("train.epochs=true", "train.epochs: expected a number, received true"),
        ("train.lanes=.nan", "train.lanes: expected a finite number, received nan"),
        ("train.epochs={a: b}", "train.epochs: expected a valid integer"),
        ("run.checkpoint.every=300", "expected 5m, 100 steps, 1 epoch or continuous, received 300"),
        ("train.early_stopping=true", "train.early_stopping: expected a mapping"),
        ("train.optimizer.clipnorm=foo", "clipnorm: expected a valid number"),
        ("train.optimizer.beta_1=1", "beta_1: expected a value less than 1"),
        (
            "train.optimizer={name: sgd, momentun: 1}",
            "sgd has no argument 'momentun'; did you mean 'momentum'?",
        ),
        ("train.optimizer={name: sgd, beta_1: 1}", "Its arguments: learning_rate, momentum, nesterov"),
        ("train.optimizer={clipnorm: 1, clipvalue: 1}", "only one of clipnorm, clipvalue"),
        ("train.optimizer.name=sdg", "expected 'sgd', 'adam'"),
        (f"train.epochs={'9' * 5000}", "train.epochs"),
        (f"train.epochs={'[' * 5000}", "nested too deep"),
    ],
)
def test_wrong_words_are_one_line_that_says_what_was_expected(assignment: str, says: str):
    with pytest.raises(ConfigError) as error:
        load(recipe="lab-1", overrides=[*NEEDED, assignment])
    assert says in str(error.value)
    assert "\n" not in str(error.value)
    assert error.value.exit_code == 64


def test_a_value_of_set_is_not_blamed_on_the_file(tmp_path: Path):
    path = tmp_path / "mine.yaml"
    path.write_text("recipe: lab-1\ntrain: {seed: -1}\nrun: {grace: 5}\n")
    with pytest.raises(ConfigError, match=f"^{path}: train.seed"):
        load(path, overrides=NEEDED)
    with pytest.raises(ConfigError, match=r"^--set train.seed=-2: train.seed"):
        load(path, overrides=[*NEEDED, "train.seed=-2"])
    with pytest.raises(ConfigError, match=r"^--set train={seed: -3}: train.seed"):
        load(path, overrides=[*NEEDED, "train={seed: -3}"])
    with pytest.raises(ConfigError, match=f"^{path}: run.url is missing"):
        load(path, overrides=["data.url=s3://bucket/data", "train.seed=1"])


def test_an_optimizer_s_number_may_be_written_as_yaml_takes_for_text():
    config = load(recipe="lab-1", overrides=[*NEEDED, "train.optimizer={name: adam, epsilon: 1e-7}"])
    assert config.train.optimizer.model_dump() == {"name": "adam", "learning_rate": 0.01, "epsilon": 1e-7}


def test_an_error_stays_short_however_long_the_value():
    with pytest.raises(ConfigError) as error:
        load(recipe="lab-1", overrides=[*NEEDED, f"data.standardize={'x' * 100_000}"])
    assert len(str(error.value)) < 1000


def test_a_missing_file_a_broken_file_and_an_unknown_recipe(tmp_path: Path):
    broken = tmp_path / "broken.yaml"
    broken.write_text("train: [")
    for attempt in (
        lambda: load(tmp_path / "none.yaml"),
        lambda: load(broken),
        lambda: load(recipe="lab1", overrides=NEEDED),
        lambda: load(recipe="lab-1"),
    ):
        with pytest.raises(ConfigError) as error:
            attempt()
        assert "\n" not in str(error.value)


def test_zca_is_refused_for_weights_that_expect_images_as_they_were_trained_on():
    sets = ["data.url=/d", "run.url=/r", "data.standardize=zca", "model.weights=imagenet"]
    with pytest.raises(
        ConfigError, match=r"zca does not work with model\.weights imagenet.*remove data\.standardize"
    ):
        load(recipe="digits", overrides=sets)


def test_mixed_precision_is_an_older_name_of_precision():
    def precision(*sets: str) -> str:
        return load(recipe="digits", overrides=[*NEEDED, *sets]).train.precision

    assert precision("train.mixed_precision=true") == "mixed_float16"
    assert precision("train.mixed_precision=false") == "float32"
    assert precision("train.mixed_precision=true", "train.precision=mixed_float16") == "mixed_float16"
    with pytest.raises(ConfigError, match=r"former name of precision.*means mixed_float16.*'mixed_bfloat16'"):
        precision("train.mixed_precision=true", "train.precision=mixed_bfloat16")


@pytest.mark.parametrize(("written", "read"), [("on", "on"), ("off", "off"), ("true", "on"), ("'on'", "on")])
def test_on_and_off_are_as_yaml_reads_them(written: str, read: str):
    assert load(recipe="digits", overrides=[*NEEDED, f"train.xla={written}"]).train.xla == read


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        (["train.audit=100"], r"train\.audit: needs reproducible steps: set train\.deterministic: true"),
        (
            ["train.audit=100", "train.deterministic=true", "distribution.strategy=mirrored"],
            r"train\.audit: compares ranks, of which mirrored has one: set distribution\.strategy: horovod",
        ),
        (["train.audit=0", "train.deterministic=true"], r"train\.audit.*1.*received 0"),
        (["train.audit=1.5", "train.deterministic=true"], r"train\.audit.*received 1\.5"),
    ],
)
def test_audits_need_ranks_that_get_the_same_bits(sets: list[str], said: str):
    with pytest.raises(ConfigError, match=said):
        load(recipe="digits", overrides=[*NEEDED, *sets])


def test_urls_are_absolute_once_they_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """So that run.json names the same dataset to `trainer report` in another folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    sets = ["data.url=data", "run.url=./runs/a", "model.weights=../old", "data.cache.path=~/cache"]
    config = load(recipe="lab-1", overrides=sets)
    assert config.data.url == f"{tmp_path}/data"
    assert config.run.url == f"{tmp_path}/runs/a"
    assert config.model.weights == f"{tmp_path.parent}/old"
    assert config.data.cache is not None
    assert config.data.cache.path == "/home/me/cache"
    job = prediction.parse({"run": "runs/a", "input": "photos/list.txt", "output": "out"})
    assert (job.run, job.input, job.output) == tuple(
        f"{tmp_path}/{name}" for name in ("runs/a", "photos/list.txt", "out")
    )
    kept = load(recipe="lab-1", overrides=[*NEEDED, "model.weights=imagenet"])
    assert (kept.data.url, kept.run.url, kept.model.weights) == (
        "s3://bucket/data",
        "s3://bucket/run",
        "imagenet",
    )
    with pytest.raises(ConfigError, match="received ''"):
        load(recipe="lab-1", overrides=[*NEEDED, "data.cache.path=''"])


TWICE = {
    "train: {epochs: 3}\nrun: {}\ntrain: {epochs: 4}\n": "duplicate key 'train' in lines 1 and 3",
    "train:\n  epochs: 3\n\n  epochs: 4\n": "duplicate key 'epochs' in lines 2 and 4",
    "train: {epochs: 3, 'epochs': 4}\n": "duplicate key 'epochs' in lines 1 and 1",
    "a: &a {x: 1,\n x: 2}\nb: {<<: *a}\n": "duplicate key 'x' in lines 1 and 2",
    "- {x: 1, x: 2}\n": "duplicate key 'x'",
    "train: {}\n---\nrun: {}\n": "expected one YAML document, received another one in line 2",
}


@pytest.mark.parametrize("text", TWICE)
def test_a_file_that_says_two_things_is_refused(text: str, tmp_path: Path):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    for read in (load, lambda path: predict_job(path, {}, ())):
        with pytest.raises(ConfigError) as error:
            read(path)
        assert str(error.value).startswith(f"{path}: ")
        assert TWICE[text] in str(error.value)
        assert error.value.exit_code == 64


def test_a_value_of_set_that_says_two_things_is_refused():
    with pytest.raises(ConfigError, match=r"^--set train.optimizer=\{name: adam, .*: duplicate key 'name'"):
        load(recipe="lab-1", overrides=[*NEEDED, "train.optimizer={name: adam, name: sgd}"])


def test_merge_keys_are_as_yaml_has_them(tmp_path: Path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "recipe: lab-1\ndata: {url: /d}\n"
        "run: &run {url: /r, grace: 5, checkpoint: &saved {keep_last: 2, every: 5m}}\n"
        "train: {optimizer: &adam {name: adam, learning_rate: 0.5}}\n"
    )
    with path.open("a") as file:
        file.write("metrics: &metrics {port: 1}\n")
    assert load(path).train.optimizer.learning_rate == 0.5
    path.write_text(
        "recipe: lab-1\ndata: {url: /d, cache: &cache {path: /c, max_bytes: 5GiB}}\n"
        "run: {url: /r, checkpoint: {<<: {keep_last: 7, every: 5m}, every: 1 epoch}}\n"
    )
    found = load(path).run.checkpoint
    assert (found.keep_last, found.every.unit) == (7, "epochs")


@pytest.mark.parametrize(
    ("assignment", "value"),
    [
        ("train.epochs=012", 12),
        ("train.epochs=0x1f", 31),
        ("train.epochs=1_000", 1000),
        ("train.optimizer.learning_rate=1e-3", 0.001),
        ("train.optimizer.learning_rate=1.5E3", 1500.0),
        ("train.deterministic=yes", True),
        ("train.deterministic=off", False),
        ("run.url=/runs/2026-11-30", "/runs/2026-11-30"),
        ("run.grace=1e1", None),
        ("model.freeze=2026-11-30", None),
        ("run.url=2026-11-30", None),
        ("run.url='2026-11-30'", f"{os.getcwd()}/2026-11-30"),
        ("model.freeze=2026-13-30", "2026-13-30"),
        ("model.freeze=012", "012"),
        ("model.freeze=12:30:00", "12:30:00"),
        ("model.options.rate=1e-3", 0.001),
        ("model.options.word=12:30:00", "12:30:00"),
        ("train.epochs=12:30:00", None),
        ("run.grace=12:30:00", None),
        ("run.checkpoint.every=1:30", None),
        ("train.epochs=0o17", None),
        ("train.epochs=1e3", None),
        ("train.epochs=2026-11-30", None),
        ("train.epochs=no", None),
        ("model.freeze=no", None),
        ("train.deterministic=012", None),
        ("run.url=~", None),
        ("on=1", None),
    ],
)
def test_what_is_typed_is_what_is_meant_or_an_error(assignment: str, value: object):
    """None: an error that names the key."""
    key = assignment.partition("=")[0]
    if value is None:
        with pytest.raises(ConfigError, match=re.escape(key)):
            load(recipe="lab-1", overrides=[*NEEDED, assignment])
        return
    config = load(recipe="lab-1", overrides=[*NEEDED, assignment])
    found = reduce(getattr, key.split(".")[:2], config)
    for name in key.split(".")[2:]:
        found = found[name] if isinstance(found, dict) else getattr(found, name)
    assert found == value
    assert type(found) is type(value)


def test_a_date_says_how_it_would_be_text():
    with pytest.raises(
        ConfigError, match=r"run\.url: .* received the date 2026-11-30; quote it if it is text"
    ):
        load(recipe="lab-1", overrides=[*NEEDED, "run.url=2026-11-30"])
