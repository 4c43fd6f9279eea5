"""Each rank has a GPU of its own, by the name under which CUDA knows it."""

import os
from pathlib import Path

import pytest

from trainer.errors import ConfigError
from trainer.gang.ranks.rank_environment import rank_environment
from trainer.gang.ranks.slot import Slot
from trainer.machine.gpus import VISIBLE, check_ranks, visible_gpus

pytestmark = pytest.mark.fast

MIG = "MIG-7d2f5b9c-0000-5000-8000-000000000001"


@pytest.fixture
def four(tmp_path: Path) -> Path:
    """Device files as a container with four GPUs has them."""
    for name in ("nvidia0", "nvidia1", "nvidia2", "nvidia7", "nvidiactl", "nvidia-uvm", "nvidia-modeset"):
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("environment", "names"),
    [
        ({}, ["0", "1", "2", "3"]),
        ({"NVIDIA_VISIBLE_DEVICES": "all"}, ["0", "1", "2", "3"]),
        ({"NVIDIA_VISIBLE_DEVICES": "4,5,6,7"}, ["0", "1", "2", "3"]),
        ({"NVIDIA_VISIBLE_DEVICES": "void"}, []),
        ({"NVIDIA_VISIBLE_DEVICES": ""}, []),
        ({"NVIDIA_VISIBLE_DEVICES": "GPU-a,GPU-b"}, ["GPU-a", "GPU-b"]),
        ({"NVIDIA_VISIBLE_DEVICES": f"{MIG},MIG-GPU-x/1/0"}, [MIG, "MIG-GPU-x/1/0"]),
        ({"CUDA_VISIBLE_DEVICES": "2, 0"}, ["2", "0"]),
        ({"CUDA_VISIBLE_DEVICES": MIG}, [MIG]),
        ({"CUDA_VISIBLE_DEVICES": "1,-1,0"}, ["1"]),
        ({"CUDA_VISIBLE_DEVICES": ""}, []),
        ({"CUDA_VISIBLE_DEVICES": "-1", "NVIDIA_VISIBLE_DEVICES": "all"}, []),
        ({"CUDA_VISIBLE_DEVICES": "GPU-c", "NVIDIA_VISIBLE_DEVICES": "GPU-a,GPU-b"}, ["GPU-c"]),
    ],
)
def test_the_gpus_of_a_container(four: Path, environment: dict[str, str], names: list[str]) -> None:
    assert visible_gpus(environment, four) == names


def test_a_machine_without_gpus(tmp_path: Path) -> None:
    assert visible_gpus({}, tmp_path) == []
    check_ranks(64, [])


def test_more_ranks_than_gpus_say_what_to_do() -> None:
    check_ranks(2, ["0", "1"])
    with pytest.raises(ConfigError, match="expected at most 2, one per GPU of this pod, received 3"):
        check_ranks(3, ["0", "1"])


def test_each_rank_sees_the_gpu_of_its_local_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VISIBLE, f"5,{MIG}")
    seen = [
        rank_environment(
            Slot(rank, 4, rank % 2, 2, 0, 2, rank // 2),
            generation=1,
            rendezvous_port=1,
            gloo_timeout=5,
            gang="a",
        )[VISIBLE]
        for rank in range(4)
    ]
    assert seen == ["5", MIG, "5", MIG]


def test_without_gpus_nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VISIBLE, raising=False)
    if visible_gpus(os.environ):
        pytest.skip("this machine has GPUs")
    slot = Slot(0, 1, 0, 1, 0, 1, 0)
    made = rank_environment(slot, generation=1, rendezvous_port=1, gloo_timeout=5, gang="a")
    assert VISIBLE not in made


def test_ranks_on_cores_ask_each_other_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    def cycle() -> str | None:
        slot = Slot(0, 1, 0, 1, 0, 1, 0)
        made = rank_environment(slot, generation=1, rendezvous_port=1, gloo_timeout=5, gang="a")
        return made.get("HOROVOD_CYCLE_TIME")

    monkeypatch.delenv("HOROVOD_CYCLE_TIME", raising=False)
    monkeypatch.setenv(VISIBLE, "")
    assert cycle() == "3"
    monkeypatch.setenv("HOROVOD_CYCLE_TIME", "7")
    assert cycle() == "7"
    monkeypatch.delenv("HOROVOD_CYCLE_TIME")
    monkeypatch.setenv(VISIBLE, "0")
    assert cycle() is None
