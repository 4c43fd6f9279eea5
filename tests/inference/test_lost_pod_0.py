"""A job ends although pod 0, which usually extends the plan and writes the summary, is lost."""

from pathlib import Path
from typing import Any

import pytest

from tests.inference.conftest import predicted, rows
from tests.trained import CLASSES, images
from trainer.inference import job, keys, prediction_plan
from trainer.storage import open_store


def test_the_other_pods_extend_the_plan_and_write_the_summary(
    trained: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, out = images(tmp_path / "photos", 2, *CLASSES), tmp_path / "out"
    monkeypatch.setenv(job.INDEX, "1")
    monkeypatch.setenv("TRAINER_PODS", "2")
    monkeypatch.setattr(job, "SUMMARY_SECONDS", 0.0)
    first = predicted(trained, folder, out, part_size=2)
    assert (first["predicted"], first["parts"]) == (6, 3)
    assert (out / keys.SUMMARY).exists()

    images(folder, 1, "later")
    work = job._work

    def extended_meanwhile(config: Any, source: Any, target: Any, plan: Any, *more: Any) -> None:
        work(config, source, target, plan, *more)
        if plan.images == 7:
            images(folder, 1, "latest")
            _, etag = prediction_plan.read(target) or (None, "")
            prediction_plan.extend(target, plan, etag, source, 2)

    monkeypatch.setattr(job, "_work", extended_meanwhile)
    second = predicted(trained, folder, out, part_size=2, extend=True)
    assert (second["predicted"], second["new"]) == (8, 0)
    assert len({row["image"] for row in rows(out)}) == 8
    newest = prediction_plan.read(open_store(str(out)))
    assert newest is not None
    assert newest[0].digest == second["plan"]
