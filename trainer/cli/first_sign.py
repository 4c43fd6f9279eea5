"""What every command prints first, before its imports and its first request, which may take seconds."""

import os
import sys
from collections.abc import Sequence

from trainer.distribution import rank_variables
from trainer.errors import ConfigError
from trainer.machine.processes import LOCAL_WORKER
from trainer.observability.log import LOG_FORMAT_OPTION, print_message, say, setup

LONG = {
    "prepare": "reading the images",
    "index": "reading the files",
    "train": "reading the configuration",
    "supervise": "reading the configuration",
    "evaluate": "opening the run",
    "predict": "opening the network",
}
"""Commands that may work for minutes. Their log begins with this line, wherever it goes."""

QUIET = ("--quiet", "-q")
"""The option of `train` that leaves out everything but warnings."""

SHORT = {
    "inspect": "reading the dataset",
    "augment": "reading the dataset",
    "report": "reading the run",
    "log": "reading the run",
    "compare": "reading the runs",
    "recipes": "reading the recipes",
    "model": "building the network",
    "weights": "opening the run",
    "runs": "looking for runs",
    "verify": "reading the checkpoints",
    "status": "asking the cluster",
    "logs": "asking the cluster",
    "wait": "asking the cluster",
    "doctor": "checking this machine",
}
"""Commands that mostly answer soon. On a terminal they print this line; scripts get their answer alone."""


def announce(arguments: Sequence[str]) -> None:
    """Sets up the log, and prints the first line of the command with these arguments, which are not parsed
    yet: nothing for its help, and nothing in a rank or a worker, whose parent has printed it."""
    name = next((word for word in arguments if not word.startswith("-")), "")
    try:
        setup("json" if _asks_for_json(arguments) else None, rank=rank_variables.own_rank())
    except ConfigError:
        return  # trainer/main.py reports it
    if (
        {"--help", "-h", *QUIET} & {*arguments}
        or rank_variables.is_supervised()
        or LOCAL_WORKER in os.environ
    ):
        return
    if rank_variables.own_rank():  # the chief speaks for ranks of horovodrun
        return
    if name in LONG:
        say(LONG[name])
    elif name in SHORT and sys.stderr.isatty():
        print_message(SHORT[name])


def _asks_for_json(arguments: Sequence[str]) -> bool:
    text = " ".join(arguments)
    return f"{LOG_FORMAT_OPTION} json" in text or f"{LOG_FORMAT_OPTION}=json" in text
