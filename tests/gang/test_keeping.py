"""A supervisor that leaves has the states saved that its ranks left in memory."""

import signal
import sys

from tests.gang.gangs import Run, wait_for
from trainer.errors import EXIT_INTERRUPTED, EXIT_LOST

RANK = """
import os, time
from trainer.distribution.handover import hand_over, handed_over
if "TRAINER_KEEP_STATE" in os.environ:
    with open({kept!r}, "ab") as file:
        file.write(handed_over())
    assert os.environ["HOROVOD_SIZE"] == "1" and not os.environ["TRAINER_TOKEN"]
else:
    rank = os.environ["HOROVOD_RANK"]
    if rank != "2":
        hand_over(b"state " + rank.encode())
    open({kept!r} + rank, "w").close()
    while not all(os.path.exists({kept!r} + other) for other in "012"[: int(os.environ["HOROVOD_SIZE"])]):
        time.sleep(0.02)  # the first one that ends has the others ended
    os._exit({code})
"""


def test_a_supervisor_that_leaves_has_the_states_of_its_ranks_saved(run: Run) -> None:
    """As where the chief's pod is lost, and the others wait for it in vain, or are asked to stop."""
    kept = run.folder / "kept"
    command = [sys.executable, "-c", RANK.format(kept=str(kept), code=EXIT_LOST)]
    pod = run.pod(command, "--ranks", "3", "--max-failures", "100")
    wait_for(lambda: "backing off" in pod.output() or "restarting" in pod.output(), "they wait")
    pod.signal(signal.SIGTERM)
    assert pod.wait() == EXIT_INTERRUPTED
    assert kept.read_bytes() in (b"state 0state 1", b"state 1state 0")


def test_a_pod_that_ends_with_64_saves_nothing(run: Run) -> None:
    command = [sys.executable, "-c", RANK.format(kept=str(run.folder / "kept"), code=64)]
    assert run.pod(command).wait() == 64
    assert not (run.folder / "kept").exists()
