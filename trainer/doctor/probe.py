"""A check in processes of its own, since native libraries may end the process that loads them."""

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import IO, Any

from trainer.errors import shortened
from trainer.machine.processes import leashed

PROBE_SECONDS = 300.0
"""Time limit of a probe."""


class ProbeFailed(Exception):
    """A probe failed; the message is one line."""


def run(module: str, environments: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """One process of `module` for each environment -> what the first prints, one line of JSON.

    Raises ProbeFailed where one of them fails, or is not done in PROBE_SECONDS.
    """
    command = leashed([sys.executable, "-m", module])
    deadline = time.monotonic() + PROBE_SECONDS
    with ExitStack() as opened:
        files = [opened.enter_context(tempfile.TemporaryFile()) for _ in range(2 * len(environments))]
        processes = [
            subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=errors)
            for environment, output, errors in zip(environments, files[::2], files[1::2], strict=True)
        ]
        try:
            while (codes := [process.poll() for process in processes]).count(0) < len(codes):
                for code, errors in zip(codes, files[1::2], strict=True):
                    if code:
                        raise ProbeFailed(_ending(code, _content(errors)))
                if time.monotonic() > deadline:
                    raise ProbeFailed(f"not done after {PROBE_SECONDS:.0f} s")
                time.sleep(0.02)
        finally:
            for process in processes:
                process.kill()
                process.wait()
        result: dict[str, Any] = json.loads(_content(files[0]).splitlines()[-1])
        return result


def _content(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


def _ending(code: int, errors: str) -> str:
    last = next((line for line in reversed(errors.splitlines()) if line.strip()), "")
    ending = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    return shortened(f"{ending}: {last.strip()}" if last else ending)
