"""The figures at the top of a report: how good, of what, how long, at what cost."""

from collections.abc import Sequence
from datetime import UTC, datetime

from trainer.config.run_sections import PriceSection
from trainer.output.html.tile import Tile
from trainer.output.units import plural, shape, span
from trainer.reporting.intervals import interval_95
from trainer.reporting.known import Known
from trainer.reporting.usage import money, usage_of
from trainer.runs.run_document import RunResult
from trainer.runs.timing import EpochTiming


def headline(known: Known) -> list[Tile]:
    """The figures that are known, the most important one first."""
    return [
        *_accuracy(known),
        Tile("Classes", f"{len(known.run.classes):,}"),
        *_images(known),
        Tile("Network", known.run.config.model.name, _parameters(known)),
        *_when(known),
        *cost(known.timing, known.run.config.run.price),
    ]


def state(finished: RunResult | None) -> str:
    """How far the run is."""
    if finished is None:
        return "not finished"
    text = f"finished after {plural(finished.epochs, 'epoch')}, {plural(finished.steps, 'step')}"
    return text + (" (stopped early)" if finished.stopped_early else "")


def _accuracy(known: Known) -> list[Tile]:
    """What the first evaluation measured; before there is one, what the published weights reached."""
    if known.evaluations:
        found = known.evaluations[0]
        low, high = interval_95(found["top1"] * found["rows"], found["rows"])
        remark = f"95 % interval {low:.1%} to {high:.1%}, {found['weights']} weights"
        tiles = [Tile(f"{found['dataset']['split'].capitalize()} accuracy", f"{found['top1']:.1%}", remark)]
        if found["top5"] is not None:
            tiles.append(
                Tile("Top 5", f"{found['top5']:.1%}", "the class is among the five most probable ones")
            )
        return tiles
    metrics = known.finished.published.metrics if known.finished else {}
    for name, title in (("val_accuracy", "Validation accuracy"), ("accuracy", "Training accuracy")):
        if name in metrics:
            return [Tile(title, f"{metrics[name]:.1%}", f"epoch {known.finished.published.epoch}")]  # type: ignore[union-attr]
    return []


def _images(known: Known) -> list[Tile]:
    if not known.rows:
        return []
    parts = ", ".join(f"{name} {rows:,}" for name, rows in known.rows.items())
    return [
        Tile("Images", f"{sum(known.rows.values()):,}", f"{parts}; {shape(known.run.image_shape)} pixels")
    ]


def _parameters(known: Known) -> str:
    start = {"none": "random", "imagenet": "ImageNet"}.get(known.run.config.model.weights, "other")
    text = f"{known.evaluations[0]['parameters']:,} parameters, " if known.evaluations else ""
    return f"{text}from {start} weights"


def _when(known: Known) -> list[Tile]:
    if known.started is None:
        return []
    day = f"started {datetime.fromtimestamp(known.started, UTC):%d %b %Y %H:%M} UTC"
    if known.ended is None:
        return [Tile("Trained", "unfinished", day)]
    pauses = "" if not known.restarts else f", {plural(len(known.restarts), 'restart')} and pauses included"
    working = f"; {span(usage_of(known.timing).seconds)} without pauses" if known.timing else ""
    return [Tile("Took", span(known.ended - known.started), day + pauses + working)]


def cost(timing: Sequence[EpochTiming], price: PriceSection | None) -> list[Tile]:
    """The hours of GPUs, or of CPU cores, that the epochs took, and what they cost by the price."""
    used = usage_of(timing)
    hours = used.describe()
    if not hours:
        return []
    if price is None:
        first, _, others = hours.partition("; ")
        return [Tile("Used", first, "; ".join([*([others] if others else []), "of the epochs"]))]
    return [Tile("Cost", money(used.cost(price), price.currency), f"{hours}; by run.price")]
