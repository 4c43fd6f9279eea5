"""What a gang of 4,096 ranks costs its coordinator, simulated: the real messages, without the network."""

import json
import resource
import subprocess
import sys
import time

RANKS, GPUS, ROUNDS = 4096, 8, 8


def measure() -> dict[str, float]:
    """For 512 pods of 8 ranks, and for 4,096 pods of one (`single_`).

    `form_s`: seconds of the coordinator from the first report until the last pod is told to run.
    `mb`: added to the peak of its memory. `kb`: that all pods are sent. `busy`: the share of one core that
    the reports of a running gang take, four a second from each pod.
    """
    return {**_figures(GPUS, ""), **_figures(1, "single_")}


def _figures(gpus: int, prefix: str) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", __name__, str(gpus)], check=True, capture_output=True, text=True
    )
    return {f"{prefix}{key}": value for key, value in json.loads(done.stdout).items()}


def _simulate(gpus: int) -> dict[str, float]:
    from trainer.distribution.rank_status import Phase
    from trainer.gang.coordinator import Coordinator, answer_to
    from trainer.gang.line import POLL_SECONDS
    from trainer.gang.members import Member, MemberState, RunRanks
    from trainer.gang.messages import decode_answer, encode_member
    from trainer.gang.network.auth import GangKey
    from trainer.gang.ranks.stall import Limits, RankProgress

    pods, key = RANKS // gpus, GangKey("a" * 64)
    coordinator = Coordinator(lambda: pods, key=key, limits=Limits(300.0, stopping=20.0))
    idle = [Member(pod, f"{pod:016x}", MemberState.IDLE, gpus) for pod in range(pods)]
    reports = [encode_member(member) for member in idle]
    before, began = _peak(), time.perf_counter()
    sent, told = 0, list[bytes]()
    while len(told) < pods:
        answers = [answer_to(coordinator, report) for report in reports]
        sent += sum(map(len, answers))
        told = [data for data in answers if RunRanks.__name__.encode() in data]
    formed, mb, kb = time.perf_counter() - began, (_peak() - before) / 1e6, sent / 1e3
    answer, _ = decode_answer(told[0])
    assert isinstance(answer, RunRanks)
    generation = answer.generation
    assert generation.size == RANKS
    progress = tuple(RankProgress(rank, 100, Phase.TRAINING, 0.1, 0.3) for rank in range(gpus))
    running = [
        Member(m.index, m.uid, MemberState.RUNNING, gpus, generation.id, generation.number, None, progress)
        for m in idle
    ]
    reports = [encode_member(member) for member in running]
    began = time.process_time()
    for report in reports * ROUNDS:
        answer_to(coordinator, report)
    busy = (time.process_time() - began) / ROUNDS / POLL_SECONDS
    return {"form_s": formed, "mb": mb, "kb": kb, "busy": busy}


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0


if __name__ == "__main__":
    print(json.dumps(_simulate(int(sys.argv[1]))))
