"""`python -m tests.training.start RANKS CONFIG [words]`: a supervisor over RANKS witnesses (see rank.py)."""

import sys
from pathlib import Path

from trainer.gang.supervisor import supervise
from trainer.gang.supervisor_options import SupervisorOptions
from trainer.observability.log import setup

if __name__ == "__main__":
    ranks, config, *words = sys.argv[1:]
    setup()
    command = [sys.executable, "-m", "tests.training.rank", config, str(Path(config).parent), *words]
    sys.exit(supervise(command, SupervisorOptions(ranks=int(ranks))))
