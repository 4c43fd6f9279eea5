"""Other libraries that feed images, in an environment of their own, outside uv.lock."""

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
REQUIREMENTS = HERE / "requirements.txt"


@cache
def peers_python() -> Path | str:
    """The interpreter that has the peers, or why there is none. Made once, of some 3 GB."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = base / "cars-trainer" / "bench-peers"
    python, done = folder / "bin" / "python", folder / "requirements.txt"
    if done.exists() and done.read_bytes() == REQUIREMENTS.read_bytes():
        return python
    shutil.rmtree(folder, ignore_errors=True)
    for command in (
        [sys.executable, "-m", "venv", str(folder)],
        [str(python), "-m", "pip", "install", "--quiet", "-r", str(REQUIREMENTS)],
    ):
        tried = subprocess.run(command, capture_output=True, text=True)
        if tried.returncode:
            return (tried.stderr.strip().splitlines() or ["it could not be installed"])[-1]
    shutil.copy(REQUIREMENTS, done)
    return python
