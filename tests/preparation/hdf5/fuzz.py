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
from collections.abc import Iterator, Sequence
from pathlib import Path

import h5py  # noqa: F401  once, instead of once in each fork
import numpy as np

from tests.preparation.hdf5.course_files import write_course
from tests.preparation.hdf5.mutations import mutations
from trainer.dataset.open_dataset import open_dataset
from trainer.dataset.reading.reader import Reader
from trainer.errors import DataError
from trainer.machine import sandbox
from trainer.preparation.hdf5 import child
from trainer.preparation.hdf5.index_hdf5 import index_hdf5

SECONDS = 20
FORMS = [
    ("uint8", "HWC", "contiguous", "(n,)"),
    ("0 to 1", "CHW", "all filters", "one-hot"),
    ("uint8", "HWC", "pieces", "(1, n)"),
    ("wide", "HWC last", "plain pieces", "float"),
]


def ask(
    module: str, arguments: Sequence[str] = (), *, data: bytes = b"", limits: sandbox.SandboxLimits
) -> bytes:
    """As sandbox.ask, in a fork."""
    (folder,) = map(Path, arguments)
    asked, answered, failed = (folder / name for name in ("question", "answer", "errors"))
    asked.write_bytes(data)
    pid = os.fork()
    if not pid:
        signal.alarm(SECONDS)
        os.dup2(os.open(asked, os.O_RDONLY), 0)
        os.dup2(os.open(answered, os.O_CREAT | os.O_WRONLY), 1)
        os.dup2(os.open(failed, os.O_CREAT | os.O_WRONLY), 2)
        sys.stdin, sys.stdout, sys.stderr = os.fdopen(0), os.fdopen(1, "w"), os.fdopen(2, "w")
        sys.argv = [module, str(folder)]
        code = 0
        try:
            sandbox.serve(child.main, limits.memory_bytes, limits.cpu_seconds)
        except SystemExit as end:
            code = int(str(end.code))
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    ended = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if ended == -signal.SIGALRM:
        raise TimeoutError(f"no end in {SECONDS} s")
    return sandbox.answer_of(ended, answered.read_bytes(), failed.read_bytes(), limits)


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
    sandbox.ask = ask
    found = Counter(outcomes(seed, count, folder))
    # Not RUSAGE_SELF: that begins with what the process that started this one had.
    own = int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
    most = max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) >> 10
    print(json.dumps({"found": found, "most MiB": most}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
