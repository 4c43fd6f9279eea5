"""`python -m scripts.benches.exchanging exchange OPTIONS`: two ranks that do nothing but exchange."""

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from scripts.benches.measured import report
from trainer.distribution.rank_variables import is_rank
from trainer.gang.supervisor import SupervisorOptions, supervise

WARM, COUNTED = 5, 40


def main(options: dict[str, Any]) -> None:
    if is_rank():
        _exchange(options)
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "figures.json"
        words = ["exchange", json.dumps({**options, "file": str(file)})]
        code = supervise([sys.executable, "-m", __spec__.name, *words], SupervisorOptions(ranks=2))
        if code:
            raise RuntimeError(f"the ranks ended with exit code {code}")
        figures = json.loads(file.read_text())
    report(figures)


def _exchange(options: dict[str, Any]) -> None:
    """`seconds`: the median of an exchange of a recipe's gradients as `dtype`, once both ranks are there;
    `bytes`: of it."""
    import tensorflow as tf

    from trainer import models
    from trainer.config.load import load
    from trainer.distribution import connect
    from trainer.training.step.variables import StepVariables

    config = load(recipe=options["recipe"], overrides=["data.url=none", "run.url=none"])
    network = models.network_for(config, (options["side"], options["side"], 3), 10)
    dtype = options.get("dtype", "float32")
    flat = tf.ones(sum(StepVariables(network).sizes) + 5, dtype)
    distribution = connect()
    exchange = tf.function(distribution.exchange)
    took = []
    for _ in range(WARM + COUNTED):
        distribution.barrier()
        began = time.perf_counter()
        exchange(flat).numpy()
        took.append(time.perf_counter() - began)
    if distribution.is_chief:
        figures = {"seconds": statistics.median(took[WARM:]), "bytes": flat.dtype.size * flat.shape[0]}
        Path(options["file"]).write_text(json.dumps(figures))


if __name__ == "__main__":
    main(json.loads(sys.argv[2]))
