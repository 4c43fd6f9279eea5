"""What `scripts/test --fast` runs stays fast."""

import importlib
import subprocess
import sys

import pytest

pytestmark = pytest.mark.fast


def test_a_process_is_refused():
    with pytest.raises(pytest.fail.Exception, match="starts no process"):
        subprocess.run([sys.executable, "--version"])


def test_tensorflow_is_refused():
    if "tensorflow" in sys.modules:
        pytest.skip("another test of this process has imported it")
    with pytest.raises(ImportError):
        importlib.import_module("tensorflow")
