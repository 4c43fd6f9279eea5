"""`python -m tests.preparation.hdf5.fuzz SEED COUNT FOLDER`: damaged HDF5 files are indexed and read.

Prints, as JSON, how often what came out, and what must not. Each file is given to the HDF5 library in a fork
of this process, which has it imported already, with the limits of the real one.
"""

import json
import os
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py  # noqa: F401  once, instead of once in each fork
import numpy as np

from tests.preparation.hdf5.course_files import write_course
from tests.preparation.hdf5.mutations import mutations
from trainer.dataset.open_dataset import open_dataset
from trainer.dataset.reading.reader import Reader
from trainer.errors import DataError
from trainer.preparation.hdf5 import child, parts, process
from trainer.preparation.hdf5.index_hdf5 import index_hdf5

SECONDS = 20
FORMS = [
    ("uint8", "HWC", "contiguous", "(n,)"),
    ("0 to 1", "CHW", "all filters", "one-hot"),
    ("uint8", "HWC", "pieces", "(1, n)"),
    ("wide", "HWC last", "plain pieces", "float"),
]


def ask(url: str, question: dict[str, Any], folder: Path) -> dict[str, Any]:
    """As process.ask, in a fork."""
    asked, answered = folder / "question", folder / "answer"
    asked.write_text(json.dumps(question))
    pid = os.fork()
    if not pid:
        signal.alarm(SECONDS)
        os.dup2(os.open(asked, os.O_RDONLY), 0)
        os.dup2(os.open(answered, os.O_CREAT | os.O_WRONLY), 1)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        sys.stdin, sys.stdout = os.fdopen(0), os.fdopen(1, "w")
        sys.argv = ["", str(folder)]
        child.main()
        sys.stdout.flush()
        os._exit(0)
    ended = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if ended == -signal.SIGALRM:
        raise TimeoutError(f"{url}: no end in {SECONDS} s")
    return process.answer_of(url, ended, answered.read_bytes())


def outcomes(seed: int, count: int, folder: Path) -> Iterator[str]:
    path = folder / "damaged.h5"
    for number, form in enumerate(FORMS):
        whole = write_course(folder / "whole.h5", *form).path.read_bytes()
        for damaged in mutations(whole, seed + number, count // len(FORMS)):
            path.write_bytes(damaged)
            began = time.monotonic()
            try:
                url = index_hdf5(str(path)).url
                dataset = open_dataset(url)
                split = dataset.split("train")
                for batch in Reader(dataset, split).batches_of(range(split.rows), 20):
                    assert batch.images.dtype == np.uint8
                yield "read"
            except DataError as error:
                yield "crashed" if "the HDF5 library ended with" in str(error) else "refused"
            except Exception as error:
                yield f"{type(error).__name__}: {error}"
            if (took := time.monotonic() - began) > SECONDS / 2:
                yield f"took {took:.0f} s"


def main(seed: int, count: int, folder: Path) -> None:
    parts.ask = ask  # type: ignore[attr-defined]
    found = Counter(outcomes(seed, count, folder))
    # Not RUSAGE_SELF: that begins with what the process that started this one had.
    own = int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
    most = max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) >> 10
    print(json.dumps({"found": found, "most MiB": most}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
