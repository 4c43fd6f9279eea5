"""`python -m tests.training.start RANKS CONFIG [words]`: a supervisor over RANKS witnesses (see rank.py)."""

import os
import sys
from pathlib import Path

from trainer.config import load
from trainer.gang.supervisor import supervise
from trainer.gang.supervisor_options import SupervisorOptions
from trainer.observability.log import setup
from trainer.training.launch import gang_policy

if __name__ == "__main__":
    ranks, config, *words = sys.argv[1:]
    setup()
    in_place, spares = "TEST_REPLACE" not in os.environ, int(os.environ.get("TEST_SPARES", "0"))
    policy = gang_policy(load(Path(config)))
    options = SupervisorOptions(ranks=int(ranks), in_place=in_place, spares=spares, policy=policy)
    command = [sys.executable, "-m", "tests.training.rank", config, str(Path(config).parent), *words]
    sys.exit(supervise(command, options))
