"""Image classifiers, trained on Kubernetes straight from object storage.

`import trainer` is for notebooks and scripts: see docs/python.md. A function is imported when it is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_PLACES = {
    "prepare": "trainer.api.dataset_functions",
    "index": "trainer.api.dataset_functions",
    "inspect": "trainer.api.dataset_functions",
    "train": "trainer.api.training_function",
    "evaluate": "trainer.api.run_functions",
    "report": "trainer.api.run_functions",
    "predict": "trainer.api.prediction_function",
    "InspectedDataset": "trainer.api.dataset_functions",
    "TrainedRun": "trainer.api.trained_run",
    "Evaluation": "trainer.api.run_functions",
    "Predictions": "trainer.api.prediction_function",
    "PreparedDataset": "trainer.preparation.prepared",
    "Indexed": "trainer.preparation.hdf5.index_hdf5",
    "Reindexed": "trainer.preparation.reindex",
    "Prediction": "trainer.inference.forms",
    "TrainerError": "trainer.errors",
    "ConfigError": "trainer.errors",
    "DataError": "trainer.errors",
    "RunError": "trainer.errors",
    "TransientError": "trainer.errors",
}
"""Name -> the module that has it."""

__all__ = [
    "ConfigError",
    "DataError",
    "Evaluation",
    "Indexed",
    "InspectedDataset",
    "Prediction",
    "Predictions",
    "PreparedDataset",
    "Reindexed",
    "RunError",
    "TrainedRun",
    "TrainerError",
    "TransientError",
    "evaluate",
    "index",
    "inspect",
    "predict",
    "prepare",
    "report",
    "train",
]

if TYPE_CHECKING:
    from trainer.api.dataset_functions import InspectedDataset, index, inspect, prepare
    from trainer.api.prediction_function import Predictions, predict
    from trainer.api.run_functions import Evaluation, evaluate, report
    from trainer.api.trained_run import TrainedRun
    from trainer.api.training_function import train
    from trainer.errors import ConfigError, DataError, RunError, TrainerError, TransientError
    from trainer.inference.forms import Prediction
    from trainer.preparation.hdf5.index_hdf5 import Indexed
    from trainer.preparation.prepared import PreparedDataset
    from trainer.preparation.reindex import Reindexed


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_PLACES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
