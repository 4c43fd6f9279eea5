"""TensorBoard's event files, made whole from the metrics of all epochs."""

from trainer.training.results.tensorboard import event_files

HISTORY = [
    {"loss": 2.0, "accuracy": 0.25},
    {"loss": 1.0, "accuracy": 0.5, "val_loss": 1.5},
    {"loss": 0.5, "accuracy": 0.75, "val_loss": 1.25},
]
TIMES = [100.0, 200.0, 300.0]


def test_a_file_grows_by_what_an_epoch_adds() -> None:
    """TensorBoard goes on reading where it was."""
    before, after = event_files(HISTORY[:2], TIMES[:2]), event_files(HISTORY, TIMES)
    for name in ("train", "validation"):
        assert after[name].startswith(before[name])
        assert len(after[name]) > len(before[name])


def test_without_validation_there_is_one_file() -> None:
    assert set(event_files(HISTORY[:1], TIMES[:1])) == {"train"}
