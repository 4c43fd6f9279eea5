"""An upgrade of a Job that has ended, and an installation into a folder that another release writes."""

from typing import Any

import helm_python
import pytest

from .charts import NAMES, Rendered, least, merged, render, smallest

pytestmark = pytest.mark.fast


def ended(chart: str, condition: str, **changes: Any) -> Rendered:
    """An installed release whose Job has this condition."""
    installed = smallest(chart, **changes)
    note = {"type": condition, "status": "True", "reason": "PodFailurePolicy", "message": "exit code 64"}
    installed.job["status"] = {"conditions": [note]}
    return installed


@pytest.mark.parametrize("chart", NAMES)
def test_an_upgrade_of_a_failed_job_is_refused_as_it_would_start_nothing(chart: str):
    installed = ended(chart, "Failed")
    with pytest.raises(helm_python.HelmError) as refusal:
        render(chart, least(chart), live=[installed.job])
    said = str(refusal.value)
    assert "Job cars-1 has failed (exit code 64), and an upgrade does not start it again" in said
    assert "`kubectl -n training delete job cars-1` and repeat the upgrade" in said


@pytest.mark.parametrize("chart", NAMES)
def test_an_upgrade_of_a_complete_job_says_that_nothing_was_started(chart: str):
    installed = ended(chart, "Complete")
    again = render(chart, least(chart, ttlSecondsAfterFinished=99), live=[installed.job])
    assert "Job cars-1 was complete before this upgrade: nothing was started." in again.notes
    assert "was complete" not in smallest(chart).notes


def test_a_second_release_may_not_take_the_folder_of_a_living_run():
    holder = render("cars-train", least("cars-train"), release="first")
    values = least("cars-train")
    with pytest.raises(helm_python.HelmError) as refusal:
        render("cars-train", values, release="second", others=[holder.job])
    said = str(refusal.value)
    assert (
        "run.run.url: release first trains s3://bucket/runs/lab-1 now, and would be stopped permanently"
        in said
    )
    assert "takeOver=true" in said
    other = merged(values, {"run": {"run": {"url": "s3://bucket/runs/lab-2/"}}})
    ended = {"status": {"conditions": [{"type": "Failed", "status": "True"}]}}
    for free, release, job in (
        (merged(values, {"takeOver": True}), "second", holder.job),
        (values, "first", holder.job),  # its own
        (other, "second", holder.job),
        (values, "second", holder.job | ended),
    ):
        assert render("cars-train", free, release=release, others=[job]).job["spec"]["completions"] == 1
