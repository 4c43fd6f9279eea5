"""A Horovod that pip compiled by itself, without TensorFlow, is told apart from a fault of ours."""

import subprocess
import sys
from pathlib import Path

UNBUILT = "raise ImportError('Extension horovod.tensorflow has not been built: mpi_lib.so not found')"


def test_horovod_without_tensorflow_is_one_error_with_the_remedy(tmp_path: Path):
    package = tmp_path / "horovod" / "tensorflow"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").touch()
    (package / "__init__.py").write_text(UNBUILT)
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from trainer.distribution import connect\n"
        "from trainer.errors import ConfigError\n"
        "try: connect()\n"
        "except ConfigError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={"HOROVOD_SIZE": "2"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "compiled for TensorFlow" in done.stdout
    assert "scripts/env" in done.stdout
