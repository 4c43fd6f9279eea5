"""A child process that is asked something: its answer, or one error, however it ends."""

import os
import time
from pathlib import Path

import pytest

from trainer.errors import ConfigError, DataError, TrainerError
from trainer.machine.sandbox import ProcessFailed, ProcessTimedOut, SandboxLimits, ask, ask_each

SOON = SandboxLimits(wall_seconds=60)


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module that tests write and ask."""
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    return tmp_path / "asked.py"


def test_question_and_answer_are_bytes(program: Path) -> None:
    program.write_text(
        "import sys\nsys.stdout.buffer.write(sys.stdin.buffer.read()[::-1] + sys.argv[1].encode())"
    )
    question = os.urandom(3 << 20)
    assert ask("asked", ["word"], data=question, limits=SOON) == question[::-1] + b"word"


@pytest.mark.parametrize("error", [DataError("a.mat: damaged", "Download it again"), ConfigError("no scipy")])
def test_an_error_of_the_module_is_raised_here(program: Path, error: TrainerError) -> None:
    name = type(error).__name__
    program.write_text(
        f"from trainer.errors import {name}\nraise {name}({error.problem!r}, {error.remedy!r})"
    )
    with pytest.raises(type(error)) as raised:
        ask("asked", limits=SOON)
    assert (raised.value.problem, raised.value.remedy) == (error.problem, error.remedy)


@pytest.mark.parametrize(
    ("code", "limits", "expected"),
    [
        ("import os; os.kill(os.getpid(), 11)", SOON, "ended with SIGSEGV"),
        ("import os; os.abort()", SOON, "ended with SIGABRT"),
        ("import os; os._exit(3)", SOON, "ended with code 3"),
        ("raise SystemExit('no libcudart.so.12')", SOON, r"ended with code 1: no libcudart\.so\.12"),
        ("import sys; print('[]', file=sys.stderr); sys.exit(64)", SOON, r"ended with code 64: \[\]"),
        ("raise RuntimeError('x' * 10_000)", SOON, "ended with code 1: RuntimeError:…x+"),
        ("import a_module_that_is_not_there", SOON, "ended with code 1: ModuleNotFoundError: .*"),
        ("bytearray(1 << 30)", SandboxLimits(60, memory_bytes=1 << 29), "ended with code 1: MemoryError"),
        ("while True: pass", SandboxLimits(60, cpu_seconds=1), "used more than 1 s of processor time"),
    ],
)
def test_every_other_end_is_one_line(program: Path, code: str, limits: SandboxLimits, expected: str) -> None:
    program.write_text(code)
    with pytest.raises(ProcessFailed, match=f"^{expected}$") as raised:
        ask("asked", limits=limits)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 250


def test_what_hangs_ends_at_the_limit_with_all_that_it_has_started(program: Path, tmp_path: Path) -> None:
    """Its own child holds the pipe open, and would hold up whoever reads from it."""
    program.write_text(
        "import subprocess, sys, time\n"
        "child = subprocess.Popen(['sleep', '1000'])\n"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(child.pid))\n"
        "time.sleep(1000)"
    )
    with pytest.raises(ProcessTimedOut, match=r"^did not end in 2 s$"):
        ask("asked", limits=SandboxLimits(wall_seconds=2))
    state = Path(f"/proc/{(tmp_path / 'pid').read_text()}/stat")
    deadline = time.monotonic() + 10
    while state.exists() and state.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < deadline


def test_it_runs_in_a_session_of_its_own_and_writes_no_core(program: Path) -> None:
    program.write_text(
        "import os, resource\nprint(os.getsid(0) == os.getpid(), resource.getrlimit(resource.RLIMIT_CORE))"
    )
    assert ask("asked", limits=SOON) == b"True (0, 0)\n"


def test_several_answer_in_their_order(program: Path) -> None:
    program.write_text(
        "import os, time\ntime.sleep(0.2 * (os.environ['RANK'] == '0'))\nprint(os.environ['RANK'])"
    )
    environments = [os.environ | {"RANK": rank} for rank in ("0", "1")]
    assert ask_each("asked", environments, limits=SOON) == [b"0\n", b"1\n"]


def test_the_first_that_fails_ends_the_others(program: Path) -> None:
    program.write_text(
        "import os, sys, time\nif os.environ['RANK'] == '0':\n    time.sleep(1000)\nsys.exit('lost')"
    )
    environments = [os.environ | {"RANK": rank} for rank in ("0", "1")]
    with pytest.raises(ProcessFailed, match=r"^ended with code 1: lost$"):
        ask_each("asked", environments, limits=SOON)
