"""`trainer train --check` tries everything, says what would happen, and leaves nothing behind."""

import json
from typing import Any

import pytest

from trainer import main
from trainer.checkpoints.commit import write
from trainer.config import RunConfig, load
from trainer.runs.claim import claim_folder
from trainer.runs.layout import Attempt
from trainer.storage import open_store
from trainer.training.plan import make_plan
from trainer.training.setup.check import check


def config(digits: str, url: str, *sets: str) -> RunConfig:
    return load(recipe="digits", sets=[f"data.url={digits}", f"run.url={url}", *sets])


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
    assert "is another run's folder: its seed is 1" in capsys.readouterr().err
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


def test_the_figures_as_json(digits: str, store_url: str, capsys: Any):
    sets = ["--set", f"data.url={digits}", "--set", f"run.url={store_url}"]
    assert main.run(["train", "--check", "--json", "--recipe", "digits", *sets]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["network"] == "lab-cnn"
    assert found["parameters"] == 12_440
    assert found["step_bytes"] > 4 * found["parameters"]
