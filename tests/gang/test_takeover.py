"""Three pods on one machine: one is lost, also the one that coordinates; the others train on, and take it in
again."""

import json
import re
import signal
from pathlib import Path

import pytest

from tests.gang.gangs import Pod, wait_for
from tests.gang.test_several_pods import Gang
from trainer.gang.leading import contact


@pytest.fixture
def gang(tmp_path: Path):
    gang = Gang(tmp_path)
    yield gang
    gang.close()
    wait_for(lambda: not gang.living(), "the ranks are gone with their pods")


def member(gang: Gang, index: int) -> Pod:
    options = ("--store", str(gang.folder / "run"), "--wait", "1", "--patience", "2")
    return gang.member(index, *options, pods=3, steps=5000, job="job")


def token(gang: Gang) -> dict[str, object]:
    newest = max((gang.folder / "run/generations").iterdir())
    return json.loads(newest.read_text())["coordinator"]  # type: ignore[no-any-return]


def test_a_lost_pod_is_left_out_and_taken_in_again_whoever_coordinates(gang: Gang) -> None:
    pods = [member(gang, index) for index in range(3)]
    gang.wait_for_step(5, size=3)
    assert token(gang)["pod"] == 0
    held = gang.folder / "run/running.json"
    wait_for(held.exists, "the folder says that the gang lives")
    assert json.loads(held.read_text())["gang"] == "job"
    pods[2].signal(signal.SIGKILL)
    shrunk = gang.wait_for_step(6, size=2)
    assert "generation 2 ends" not in pods[0].output(), "it trains without pod 2"
    pods[2] = member(gang, 2)
    grown = gang.wait_for_step(shrunk["step"] + 1, size=3, generation=shrunk["generation"] + 1)
    assert "pod 2 joins" in pods[0].output()

    pods[0].signal(signal.SIGKILL)
    taken_over = gang.wait_for_step(grown["step"] + 1, size=2, generation=grown["generation"] + 1)
    assert "pod 1 coordinates now: the coordinator did not answer" in pods[1].output()
    assert token(gang)["pod"] == 1
    pods[0] = member(gang, 0)
    gang.wait_for_step(taken_over["step"] + 1, size=3, generation=taken_over["generation"] + 1)
    assert token(gang)["pod"] == 1, "pod 0 joins the one that coordinates"
    for pod in pods:
        pod.signal(signal.SIGTERM)
    assert [pod.wait() for pod in pods] == [75, 75, 75], gang.output()
    assert not held.exists(), "nobody trains there now"


def test_pods_that_wait_in_vain_exit_75_and_say_for_whom(gang: Gang) -> None:
    pods = [gang.member(index, "--give-up-after", "2", pods=3) for index in (0, 1)]
    assert [pod.wait() for pod in pods] == [75, 75], gang.output()
    for pod in pods:
        assert re.search(r"error: waited \d s for pod 2, which has not reported yet", pod.output())
    assert not gang.pids()


def test_the_turns_of_pods_that_may_coordinate() -> None:
    named = contact.first_contact(2, 4, "job", "cars-0.gang:29400", None, now=0)
    assert named.target == "cars-0.gang:29400"
    assert not contact.is_overdue(named, 10)
    assert contact.is_overdue(named, 11)
    after = contact.next_contact(named, None, 11)
    assert after.target == "cars-1.gang:29400"
    assert contact.is_overdue(after, 15)
    assert contact.next_contact(after, None, 15).coordinates
    unnamed = contact.first_contact(2, 4, "job", "10.0.0.1:29400", None, now=0)
    assert contact.next_contact(unnamed, None, 11).target == "10.0.0.1:29400", "pod 0 alone without a token"
