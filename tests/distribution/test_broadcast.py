"""What the chief sends is what every rank gets, however long."""

import subprocess
import sys

import pytest

RANK = """
import hashlib, sys
import numpy as np
from trainer.distribution import connect, horovod
length, horovod.PART = int(sys.argv[1]), int(sys.argv[2])
ranks = connect()
sent = np.arange(length // 8 + 1, dtype=np.uint64).view(np.uint8)[:length] if ranks.is_chief else np.empty(0)
digest = hashlib.sha256(ranks.broadcast_bytes(sent.astype(np.uint8).tobytes())).digest()
assert digest == ranks.broadcast_bytes(digest if ranks.is_chief else b""), f"rank {ranks.rank}: other bytes"
assert ranks.broadcast_bytes(b"") == b""
if ranks.is_chief:
    print("equal")
"""

START = """
import sys
from trainer.gang.supervisor import supervise
from trainer.gang.supervisor_options import SupervisorOptions
sys.exit(supervise([sys.executable, "-c", *sys.argv[1:]], SupervisorOptions(ranks=2, max_failures=1)))
"""


@pytest.mark.parametrize(
    ("length", "part"),
    [
        pytest.param(2500, 1000, id="in parts"),
        pytest.param(2200 << 20, 256 << 20, id="above 2 GiB", marks=pytest.mark.long),
    ],
)
def test_every_rank_gets_the_chiefs_bytes(length: int, part: int) -> None:
    command = [sys.executable, "-c", START, RANK, str(length), str(part)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert (ended.returncode, ended.stdout) == (0, "equal\n"), ended.stderr
