"""`trainer.train`: a training in this process, or on several ranks, as by `trainer train`."""

import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from trainer import interrupts
from trainer.api import arguments_checked as checked
from trainer.api.keywords import assignments
from trainer.api.shown import log_lines
from trainer.api.trained_run import TrainedRun, read_trained
from trainer.errors import EXIT_INTERRUPTED, EXIT_INVALID, ConfigError, RunError, TrainerError, TransientError
from trainer.training.auto import loaded_run
from trainer.training.launch import launch, ranks_of


def train(
    config: Mapping[str, Any] | str | Path | None = None,
    *,
    recipe: str | None = None,
    ranks: int | Literal["auto"] = 1,
    callbacks: Sequence[Any] = (),
    progress: bool = True,
    **options: Any,
) -> TrainedRun:
    """Trains a network, or resumes a run that was interrupted, as `trainer train` does.

    Interrupt it to stop after the step: the state is saved, KeyboardInterrupt is raised, and the same call
    resumes. A second interruption stops at once.

    Args:
        config: the sections of docs/configuration.md as a mapping, or the path of a YAML file.
        recipe: a recipe to start from; see `trainer recipes`. Where neither it nor a model is named, one is
            chosen by the data and the machine.
        ranks: processes that train together; "auto": one for each GPU. One rank trains in this process.
        callbacks: Keras callbacks, for one rank; or for any number what `train.callbacks` holds: a name
            my_callbacks:Best, or a mapping of name and options.
        progress: False shows nothing but warnings.
        options: `data`, `model` and `run`, each a text (URL, name, URL) or a mapping, and every key of the
            configuration by its own name, such as `epochs`, `batch_size`, `learning_rate`, `image_size`. They
            override the configuration.

    Raises ConfigError, DataError, RunError with a remedy, TransientError after a stop or a failure that may
    pass: the same call resumes.
    """
    if not (config or recipe or options):
        raise ConfigError("no configuration", "Pass data and run, or a mapping of sections, or a YAML file")
    values, path = _configuration(config)
    recipe = recipe or values.pop("recipe", None)
    text = "auto" if ranks == "auto" else str(checked.whole("ranks", ranks, 1, 10**6))
    named = [callback for callback in callbacks if isinstance(callback, str | Mapping)]
    objects = [callback for callback in callbacks if not isinstance(callback, str | Mapping)]
    words = assignments(values, options | ({"callbacks": named} if named else {}))
    count = ranks_of(text)
    if objects and count > 1:
        raise ConfigError(
            "callbacks: objects exist in this process alone, and ranks are processes of their own",
            "Pass their names, such as 'my_callbacks:Best', or use one rank",
        )
    with (
        log_lines(info=progress),
        _keyword_errors(),
        loaded_run(path, recipe=recipe, overrides=words, ranks=count) as (run, _),
    ):
        with _interruptions() as received:
            code = launch(run, ranks=count, command=_command(path, recipe, words, count), callbacks=objects)
        if code == EXIT_INTERRUPTED and received:
            raise KeyboardInterrupt("the ranks were stopped. Call it again to resume")
    _raise_for(code)
    return read_trained(run.run.url)


@contextmanager
def _keyword_errors() -> Iterator[None]:
    """Errors name the keywords of the function, and not the options of the command."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(error.problem.removeprefix("--set "), error.remedy) from None


@contextmanager
def _interruptions() -> Iterator[list[int]]:
    """The interruptions of the main thread within the block; of a training in this process it has its own."""
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    with interrupts.heard(lambda number: received.append(number) if number == signal.SIGINT else None):
        yield received


def _configuration(config: Any) -> tuple[dict[str, Any], Path | None]:
    """The values of a mapping, or the path of a file."""
    if config is None or isinstance(config, Mapping):
        return dict(config or {}), None
    if isinstance(config, str | Path):
        return {}, Path(config)
    raise ConfigError(f"config: expected a mapping or the path of a YAML file, received {config!r}")


def _command(path: Path | None, recipe: str | None, words: Sequence[str], ranks: int) -> list[str]:
    """The command line of each rank."""
    command = [sys.executable, "-m", "trainer", "train", "--ranks", str(ranks)]
    if path:
        command += ["--config", str(path)]
    if recipe:
        command += ["--recipe", recipe]
    return [*command, *(word for text in words for word in ("--set", text))]


def _raise_for(code: int) -> None:
    """Raises the error of ranks that ended with another exit code than 0; they have logged the reason."""
    if code == EXIT_INTERRUPTED:
        raise TransientError("the ranks were stopped", "Call it again to resume")
    if code == EXIT_INVALID:
        raise RunError("the ranks ended with exit code 64", "Their message is above")
    if code:
        raise TrainerError(f"the ranks ended with exit code {code}", "Their message is above")
