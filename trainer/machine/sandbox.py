"""One way to ask a child process: on a damaged file a native library can crash, hang or take all memory.

The question goes in by stdin and the answer comes out by stdout, as bytes. A TrainerError of the module is
raised here again. `python -m trainer.machine.sandbox MEMORY CPU MODULE ARGUMENT…` is the child: it limits
itself before it imports the module. It does not outlive the thread that asked, and a Ctrl-C at the terminal
does not reach it.
"""

import json
import os
import resource
import runpy
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from subprocess import PIPE, Popen, TimeoutExpired
from typing import IO

from trainer import errors
from trainer.machine.processes import leashed

_UNLIMITED = 0
_MAX_ERROR_BYTES = 1 << 16


@dataclass(frozen=True)
class SandboxLimits:
    """What a child process may use; 0 is without a limit.

    Attributes:
        wall_seconds: from its start to its end.
        cpu_seconds: of processor time.
        memory_bytes: of addresses, the interpreter and its libraries included.
    """

    wall_seconds: float
    cpu_seconds: int = _UNLIMITED
    memory_bytes: int = _UNLIMITED


class ProcessFailed(Exception):
    """How a child process ended, as the end of a sentence, such as "ended with code 3: its last line"."""


class ProcessTimedOut(ProcessFailed):
    """A child process took longer than its limit of wall-clock time."""


def ask(module: str, arguments: Sequence[str] = (), *, data: bytes = b"", limits: SandboxLimits) -> bytes:
    """What `module`, as a program with these arguments, makes of `data`.

    Raises ProcessFailed for any other end than a good one, and the TrainerError that the module raised.
    """
    environment = os.environ | ({"OPENBLAS_NUM_THREADS": "1"} if limits.memory_bytes else {})
    (answer,) = _ask(module, arguments, data, [environment], limits)
    return answer


def ask_each(module: str, environments: Sequence[Mapping[str, str]], *, limits: SandboxLimits) -> list[bytes]:
    """The answers of several processes of a module that run together, one in each environment.

    The first that fails ends the others. Raises as `ask`.
    """
    return _ask(module, (), b"", environments, limits)


def _ask(
    module: str,
    arguments: Sequence[str],
    data: bytes,
    environments: Sequence[Mapping[str, str]],
    limits: SandboxLimits,
) -> list[bytes]:
    words = (str(limits.memory_bytes), str(limits.cpu_seconds), module, *arguments)
    command = leashed([sys.executable, "-m", __name__, *words])
    children: list[Popen[bytes]] = []
    with ThreadPoolExecutor(len(environments), "child") as pool:
        try:
            files = [tempfile.TemporaryFile() for _ in environments]  # noqa: SIM115  closed by their threads
            for environment, file in zip(environments, files, strict=True):
                children.append(
                    Popen(
                        command, env=environment, stdin=PIPE, stdout=PIPE, stderr=file, start_new_session=True
                    )
                )
            answers = [
                pool.submit(_answer, child, data, file, limits)
                for child, file in zip(children, files, strict=True)
            ]
            ended, _ = wait(answers, return_when=FIRST_EXCEPTION)
            return [answer.result() for answer in sorted(ended, key=answers.index)]
        finally:
            for child in children:
                _kill(child)


def _answer(child: Popen[bytes], data: bytes, file: IO[bytes], limits: SandboxLimits) -> bytes:
    with file:
        try:
            output, _ = child.communicate(data, timeout=limits.wall_seconds or None)
        except TimeoutExpired:
            raise ProcessTimedOut(f"did not end in {limits.wall_seconds:.0f} s") from None
        file.seek(max(0, file.seek(0, os.SEEK_END) - _MAX_ERROR_BYTES))
        return answer_of(child.returncode, output, file.read(), limits)


def answer_of(code: int, output: bytes, stderr: bytes, limits: SandboxLimits) -> bytes:
    """The output of a child process that ended with `code`. Raises as `ask`."""
    if code == 0:
        return output
    lines = [line for line in stderr.decode(errors="replace").splitlines() if line.strip()]
    last = lines[-1].strip() if lines else ""
    if code == errors.EXIT_INVALID and (error := _raised(last)):
        raise error
    raise ProcessFailed(_ending(code, last, limits))


def _ending(code: int, last: str, limits: SandboxLimits) -> str:
    if code == -signal.SIGXCPU:
        return f"used more than {limits.cpu_seconds} s of processor time"
    how = f"ended with {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
    return errors.shortened(f"{how}: {last}" if last else how)


def _kill(child: Popen[bytes]) -> None:
    """Ends the process and all that it has started."""
    if child.poll() is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


_KINDS = {kind.__name__: kind for kind in (errors.ConfigError, errors.DataError)}


def _raised(line: str) -> errors.TrainerError | None:
    try:
        kind, problem, remedy = json.loads(line)
        return _KINDS[kind](problem, remedy)
    except (ValueError, TypeError, KeyError):
        return None


def main() -> None:
    """The child."""
    memory, cpu, module, *arguments = sys.argv[1:]
    sys.argv = [module, *arguments]
    serve(lambda: runpy.run_module(module, run_name="__main__", alter_sys=True), int(memory), int(cpu))


def serve(program: Callable[[], object], memory_bytes: int, cpu_seconds: int) -> None:
    """Runs a program in this process, which it limits; exits with 64 for a TrainerError."""
    if memory_bytes:
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    if cpu_seconds:  # SIGXCPU comes a second before SIGKILL
        resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        program()
    except (errors.ConfigError, errors.DataError) as error:
        print(json.dumps([type(error).__name__, error.problem, error.remedy]), file=sys.stderr)
        sys.exit(errors.EXIT_INVALID)


if __name__ == "__main__":
    main()
