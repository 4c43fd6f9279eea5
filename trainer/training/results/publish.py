"""What people download from a run's folder."""

import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

import keras

from trainer.checkpoints.restore import restore
from trainer.dataset.pipeline.preprocessing import Preprocessing
from trainer.errors import RunError
from trainer.evaluation.evaluation_document import Evaluated, dump_evaluation, evaluation_document
from trainer.evaluation.heat_maps import heat_document
from trainer.evaluation.tally import Tally
from trainer.models.export import keras_file
from trainer.models.weights_file import load_weights_file, weights_file
from trainer.reporting.write import build, first_evaluation
from trainer.runs import layout
from trainer.runs.background_writer import Background, Write
from trainer.runs.documents.heat_values import dump_heat
from trainer.runs.fence import Fence, publish
from trainer.runs.history import write_history
from trainer.runs.run_document import RunResult, classes_json, versions
from trainer.runs.timing import EpochTiming, write_timing
from trainer.storage import Store
from trainer.training.finite import check_weights
from trainer.training.results.card import card
from trainer.training.results.tensorboard import event_files
from trainer.training.run_plan import RunPlan
from trainer.training.run_state import assign_weights

log = logging.getLogger(__name__)


class Publisher:
    """Puts a run's files into its folder: on the chief, which has the fence; on other ranks it does nothing.

    What is published is made at once and written in `background`; `wait` for it. Every method raises
    Superseded when a higher token was found, and TransientError when `background` has given up.
    """

    def __init__(
        self, store: Store, fence: Fence | None, background: Background, plan: RunPlan, model: keras.Model
    ) -> None:
        self._store, self._fence, self._background = store, fence, background
        self._plan, self._model = plan, model
        self._epoch_ends: list[float] = []
        """Seconds since 1970; for epochs before this process, the time when it first published."""
        self._best = b""
        """The best weights of this process, for the case that another overwrites them late."""
        self._sha256: dict[str, str] = {}
        """The SHA-256 of the published files that nobody else writes, by key."""

    def reopen(self) -> None:
        """Removes the files of a finished run, which are outdated when it trains on."""

        def outdated() -> list[str]:
            finished = [info.key for info in self._store.list(layout.FINISHED)]
            return [layout.CARD, layout.REPORT, layout.HEAT_MAPS, *finished] if finished else []

        self._remove(layout.FINISHED, outdated)

    def discard_evaluations(self, digests: Mapping[str, str | None]) -> None:
        """Removes evaluations of other weights than the last and the best, of which these are the SHA-256."""

        def is_other(key: str) -> bool:
            evaluation = json.loads(self._store.get(key))
            return bool(evaluation["weights_sha256"] != digests.get(evaluation["weights"]))

        def others() -> list[str]:
            return [info.key for info in self._store.list(layout.EVALUATION) if is_other(info.key)]

        self._remove(layout.EVALUATION, others)

    def weights(self, which: layout.WeightsName) -> str | None:
        """The model's current weights; returns their SHA-256. Raises Diverged where they are not finite."""
        if self._fence is None:
            return None
        check_weights(self._model)
        content = weights_file(self._model)
        if which == "best":
            self._best = content
        self._publish(layout.weights(which), lambda: content)
        return _digest(content)

    def history(self, history: Sequence[Mapping[str, float]]) -> None:
        """The metrics of all epochs so far, for TensorBoard too where the run asks for it."""
        self.metrics(history)
        if self._fence is None or not self._plan.config.run.tensorboard:
            return
        self._epoch_ends += [time.time()] * (len(history) - len(self._epoch_ends))
        files = event_files(history, self._epoch_ends)
        for name in files:
            self._publish(layout.events(name), partial(files.__getitem__, name), may_wait=True)

    def metrics(self, history: Sequence[Mapping[str, float]]) -> None:
        """metrics.csv."""
        self._publish(layout.METRICS, lambda: write_history(history), may_wait=True)

    def timing(self, rows: Sequence[EpochTiming]) -> None:
        """Where the time of all epochs so far went."""
        self._publish(layout.TIMING, lambda: write_timing(rows), may_wait=True)

    def card(self, finished: RunResult) -> None:
        """The model card."""
        self._publish(layout.CARD, lambda: card(self._plan, finished, versions()))

    def evaluation(
        self, split: str, which: layout.WeightsName, digest: str, tally: Tally, finished: RunResult
    ) -> None:
        """What the model's current weights, the run's last or best, reached on a split."""
        parameters = int(self._model.count_params())
        evaluated = Evaluated(self._store.url, which, digest, self._plan.dataset, split, parameters)
        self._publish(
            layout.evaluation(split, which),
            lambda: dump_evaluation(evaluation_document(evaluated, tally, finished=finished)),
        )

    def report(
        self, history: Sequence[Mapping[str, float]], finished: RunResult, timing: Sequence[EpochTiming]
    ) -> None:
        """The report for people: report/index.html, with the evaluations that are there."""
        plan = self._plan
        self.wait()
        self._heat_maps()
        self.wait()
        self._publish(
            layout.REPORT,
            lambda: build(
                self._store, plan.document, plan.dataset, history, finished, versions(), timing=timing
            ),
        )

    def _heat_maps(self) -> None:
        """Where the network looks in a few images of the evaluation that the report shows first."""
        evaluation = first_evaluation(self._store) if self._fence else None
        dataset, data = self._plan.dataset, self._plan.config.data
        if evaluation is None or evaluation["dataset"]["identity"] != dataset.identity:
            return
        prepare = Preprocessing.of(dataset, data.standardize, image_size=data.image_size)
        heat = heat_document(self._model, prepare, dataset, evaluation)
        if heat is not None:
            self._publish(layout.HEAT_MAPS, lambda: dump_heat(heat))

    def best_weights(self, digest: str | None, step: int) -> bytes:
        """The published best weights, those of `digest`, reached at `step`; empty on the other ranks.

        A process that was superseded may have overwritten them late. Then they are published again, from this
        process's memory or the checkpoint of `step`, which leaves the model with other weights. Where neither
        is there the log says so, and nothing is returned.
        """
        if self._fence is None:
            return b""
        published = self._read(layout.weights("best"))
        if published and digest in (None, _digest(published)):
            self._sha256[layout.weights("best")] = _digest(published)
            return published
        content = self._best if _digest(self._best) == digest else self._from_checkpoint(digest, step)
        if not content:
            log.warning(
                "%s/%s is not of step %d, the best of the run: another process overwrote it, or it was "
                "deleted, and there is no checkpoint of that step",
                *(self._store.url, layout.weights("best"), step),
            )
            return b""
        log.warning("%s was overwritten by another process; publishing it again", layout.weights("best"))
        self._publish(layout.weights("best"), lambda: content)
        return content

    def keras_model(self) -> None:
        """The model with its current weights, of Keras's layers alone."""
        self._publish(layout.KERAS_MODEL, lambda: keras_file(self._model))

    def finished(self, finished: RunResult) -> RunResult:
        """How the run ended, when all else is published: from then on the run is finished.

        Returns it with the checksums of what was published, which the chief has.
        """
        self.wait()
        classes = classes_json(self._plan.dataset.classes)  # which are there since the folder was claimed
        sha256 = dict(sorted({layout.CLASSES: _digest(classes), **self._sha256}.items()))
        whole = replace(finished, sha256=sha256)
        self._publish(layout.FINISHED, whole.dumps)
        self.wait()
        return whole

    def wait(self) -> None:
        """Returns when everything is published."""
        self._background.wait()
        self._background.check()

    def _publish(self, key: str, content: Callable[[], bytes], *, may_wait: bool = False) -> None:
        if (fence := self._fence) is None:
            return
        self._background.check()
        data = content()
        if key in layout.PUBLISHED:
            self._sha256[key] = _digest(data)
        self._background.submit(Write(key, key, lambda: publish(self._store, fence, key, data), may_wait))

    def _remove(self, name: str, keys: Callable[[], Sequence[str]]) -> None:
        if (fence := self._fence) is None:
            return

        def remove() -> None:
            for key in keys():
                fence.check()
                self._store.delete(key)

        self._background.submit(Write(f"removing {name}", f"removing {name}", remove))

    def _read(self, key: str) -> bytes:
        """An object, when all before it is written; tried again as writes are. Empty where there is none."""
        contents = []

        def read() -> None:
            with suppress(FileNotFoundError):
                contents.append(self._store.get(key))

        self._background.submit(Write(f"reading {key}", f"reading {key}", read))
        self.wait()
        return b"".join(contents)

    def _from_checkpoint(self, digest: str | None, step: int) -> bytes:
        """The weights of that digest in the checkpoint of `step`; empty, and the model as it was, without."""
        try:
            state = restore(self._store, step=step)
        except RunError:
            return b""
        if state is None:
            return b""
        last = weights_file(self._model)
        assign_weights(state, self._model)
        content = weights_file(self._model)
        if digest in (None, _digest(content)):
            return content
        load_weights_file(self._model, last)
        return b""


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
