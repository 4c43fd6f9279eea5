"""The command line: each command parses its arguments and calls one function, imported when it is called."""

import math
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from trainer import __version__, interrupts
from trainer.errors import EXIT_INVALID, ConfigError
from trainer.output.units import parse_size

app = typer.Typer(
    name="trainer",
    help="Train image classifiers on Kubernetes, straight from object storage.",
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

Config = Annotated[Path | None, typer.Option("--config", "-f", help="The YAML file. Default: none.")]
Recipe = Annotated[
    str | None, typer.Option(help="A recipe to start from; see `trainer recipes`. Default: the file's.")
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", help="Set one value, such as train.epochs=3. Repeatable. Default: none."),
]
Release = Annotated[str, typer.Argument(help="The name given to `helm install`.")]
Namespace = Annotated[
    str | None, typer.Option("--namespace", "-n", help="Default: the namespace of the current context.")
]
OnBad = Literal["fail", "skip"]
Resize = Literal["squash", "crop", "pad"]
Encoding = Literal["raw", "jpeg"]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]

MAX_SIDE = 8192
MIN_SHARD, MAX_SHARD = 1 << 20, 16 << 30

DATA, RUNS, CLUSTER = "Datasets and predictions", "Runs", "Releases on Kubernetes"


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"trainer {__version__}")
        raise typer.Exit


def _finite(value: float | None) -> float | None:
    """NaN is within no bounds, and passes typer's."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"expected a finite number, received {value}")
    return value


def _sides(text: str) -> tuple[int, int]:
    """(height, width) of "224" or "224x320"; a ValueError otherwise."""
    sides = [int(side) if side.isdecimal() and len(side) < 6 else 0 for side in text.split("x")]
    if not 1 <= len(sides) <= 2 or not all(1 <= side <= MAX_SIDE for side in sides):
        raise ValueError
    return sides[0], sides[-1]


def _image_size(text: str | None) -> str | None:
    try:
        if text is not None:
            _sides(text)
    except ValueError:
        raise typer.BadParameter(
            f"expected a side from 1 to {MAX_SIDE} pixels, or HEIGHTxWIDTH, received {text!r}"
        ) from None
    return text


def _lengths(text: str) -> tuple[int, int, int]:
    """(height, width, channels) of "64x64x3"; a ValueError otherwise."""
    sides, _, channels = text.rpartition("x")
    if sides.count("x") != 1 or channels not in ("1", "3"):
        raise ValueError
    return *_sides(sides), int(channels)


def _image_shape(text: str | None) -> str | None:
    try:
        if text is not None:
            _lengths(text)
    except ValueError:
        raise typer.BadParameter(
            f"expected HEIGHTxWIDTHxCHANNELS, such as 64x64x3, received {text!r}"
        ) from None
    return text


def _shard_size(text: str) -> str:
    try:
        wanted = parse_size(text)
    except ValueError:
        wanted = 0
    if not MIN_SHARD <= wanted <= MAX_SHARD:
        raise typer.BadParameter(f"expected a size from 1MiB to 16GiB, received {text!r}")
    return text


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Train image classifiers on Kubernetes, straight from object storage."""


@app.command(rich_help_panel=DATA)
def prepare(
    source: Annotated[
        str,
        typer.Argument(help="Images: SOURCE/CLASS/*.jpg, SOURCE/{train,test}/CLASS/*.jpg, or see --labels."),
    ],
    url: Annotated[str, typer.Argument(help="Where the dataset goes: s3://bucket/prefix or a folder.")],
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="KIND|FILE",
            help="folders, list, prefix, suffix, stanford-cars, uecfood, cifar10 (docs/datasets.md), or the "
            "file of a label list. Default: what fits.",
        ),
    ] = None,
    crop: Annotated[
        bool, typer.Option("--crop", help="Cut each image to its box (stanford-cars, uecfood).")
    ] = False,
    image_size: Annotated[
        str | None,
        typer.Option(
            metavar="N|HxW",
            callback=_image_size,
            help="Give images this height and width, in pixels: 224, or 224x320. Default: as they are.",
        ),
    ] = None,
    resize: Annotated[
        Resize,
        typer.Option(
            help="How: stretch them; scale the short side and cut the centre out; or scale the long side and "
            "add black borders."
        ),
    ] = "squash",
    validation: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, callback=_finite, help="Share of the images for validation. Default: a quarter."
        ),
    ] = None,
    test: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            callback=_finite,
            help="Share of the images for testing, if SOURCE has no test folder. Default: none.",
        ),
    ] = None,
    max_per_class: Annotated[
        int | None,
        typer.Option(
            min=1, help="Take so many images of each class, before they are split. Default: all of them."
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, max=2**31 - 1, help="Seed of the split and of the order of rows.")
    ] = 0,
    on_bad: Annotated[
        OnBad, typer.Option(help="What to do with images that are damaged or cannot be read.")
    ] = "fail",
    max_bad: Annotated[
        float,
        typer.Option(min=0, max=1, callback=_finite, help="Share of bad images above which skip fails too."),
    ] = 0.1,
    encoding: Annotated[
        Encoding,
        typer.Option(help="Rows are the pixels, or JPEG files of them, of about a seventh of the size."),
    ] = "raw",
    shard_size: Annotated[
        str, typer.Option(callback=_shard_size, help="Size of a shard, such as 64MiB.")
    ] = "64MiB",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing dataset.")] = False,
    json: Json = False,
) -> None:
    """Write images as HDF5 shards into object storage, or continue where an interrupted start ended."""
    from trainer import pages
    from trainer.machine.cores import available_cores
    from trainer.observability.log import say
    from trainer.output.progress import progress
    from trainer.preparation.bad import BadImagesError
    from trainer.preparation.prepare import prepare as run

    try:
        with progress(say, "images prepared") as report, interrupts.unwinding():
            made = run(
                source,
                url,
                labels=labels,
                crop=crop,
                image_size=_sides(image_size) if image_size else None,
                resize=resize,
                validation=validation,
                test=test,
                max_per_class=max_per_class,
                seed=seed,
                on_bad=on_bad,
                max_bad=max_bad,
                encoding=encoding,
                shard_bytes=parse_size(shard_size),
                overwrite=overwrite,
                workers=available_cores(),
                progress=report,
            )
    except BadImagesError as error:
        if json:
            _print_json({"bad": error.problems})
        raise
    if json:
        _print_json(made)
    else:
        pages.prepared(made)
        _say_next(pages.after_prepare(made))


@app.command(rich_help_panel=DATA)
def index(
    url: Annotated[
        str,
        typer.Argument(help="An HDF5 file, a prefix with several, an index, or a dataset that was copied."),
    ],
    target: Annotated[
        str | None,
        typer.Argument(help="Where the index goes. Default: NAME.index beside a file, or the prefix."),
    ] = None,
    images: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The HDF5 dataset of the images. Default: the usual names."),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="[FILE:]NAME",
            help="That of their labels, also in another file. Default: the usual names.",
        ),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="That of the names of the classes. Default: the usual ones, or none."
        ),
    ] = None,
    image_shape: Annotated[
        str | None,
        typer.Option(
            metavar="HxWxC",
            callback=_image_shape,
            help="The shape of an image, if a row is one long vector. Default: that in the file.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Index HDF5 files to train from them where they lie, or a dataset that was copied.

    Each byte is read once: for checksums, the range of the values, their mean and deviation. What a file must
    be like: docs/datasets.md.
    """
    from trainer import pages
    from trainer.observability.log import say
    from trainer.output.progress import progress
    from trainer.preparation.hdf5.index import index_hdf5, is_prepared
    from trainer.preparation.hdf5.parts import Names
    from trainer.preparation.reindex import reindex

    named = Names(images, labels, classes, _lengths(image_shape) if image_shape else None)
    if is_prepared(url):
        if target or named != Names():
            raise ConfigError(
                f"{url}: a dataset of `trainer prepare` is indexed in its place", "Give its URL alone"
            )
        with progress(say, "shards read") as report, interrupts.unwinding():
            copied = reindex(url, progress=report)
        if json:
            _print_json(copied)
        else:
            pages.reindexed(copied)
        return
    with progress(say, "MiB read") as report, interrupts.unwinding():
        made = index_hdf5(url, target, named, progress=report)
    if json:
        _print_json(made)
    else:
        pages.indexed(made)
        _say_next(pages.after_prepare(made))


@app.command(rich_help_panel=DATA)
def inspect(
    url: Annotated[str, typer.Argument(help="A dataset's URL.")],
    read: Annotated[
        bool, typer.Option("--read", help="Read every image: duplicates, blank images, values.")
    ] = False,
    sheet: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Write a PNG of some images of each class. Default: none."),
    ] = None,
    classes: Annotated[
        bool, typer.Option("--classes", help="List every class, also of more than 20.")
    ] = False,
    json: Json = False,
) -> None:
    """Show what a dataset holds, and what is suspicious about it."""
    from trainer import pages
    from trainer.dataset.inspection.describe import inspect as run
    from trainer.observability.log import say
    from trainer.output.progress import progress

    if sheet:
        from trainer.dataset.inspection.contact_sheet import write_contact_sheet

        say(f"contact sheet: {write_contact_sheet(url, sheet)}")
    with progress(say, "images read") as report, interrupts.unwinding():
        found = run(url, read=read, progress=report)
    if json:
        _print_json(found)
    else:
        pages.inspected(found, every_class=classes)


@app.command(rich_help_panel=RUNS)
def train(
    config: Config = None,
    recipe: Recipe = None,
    sets: Sets = None,
    ranks: Annotated[
        str,
        typer.Option(help="Ranks here, or replicas if mirrored; auto: one for each GPU."),
    ] = "1",
    check: Annotated[
        bool,
        typer.Option("--check", help="Try what a run does with a few images, print the plan, keep nothing."),
    ] = False,
    json: Json = False,
) -> None:
    """Train a model, or resume a run that was interrupted."""
    from trainer.config.load import load
    from trainer.distribution.environment import is_supervised, rank
    from trainer.training.launch import launch, ranks_of, this_command

    run = load(config, recipe=recipe, sets=sets or ())
    if check:
        from trainer.training.setup.check import check as try_out

        plan = try_out(run, ranks_of(ranks))
        if json:
            _print_json(plan)
        else:
            from trainer import pages

            pages.planned(plan)
        return
    code = launch(run, ranks=ranks_of(ranks), command=this_command())
    if code == 0 and rank() == 0 and not is_supervised():
        from trainer import pages
        from trainer.runs.document import finished_values

        if json:
            _print_json(finished_values(run.run.url))
        else:
            _say_next(pages.after_train(run.run.url))
    sys.exit(code)


@app.command(rich_help_panel=RUNS)
def supervise(
    config: Config = None,
    recipe: Recipe = None,
    sets: Sets = None,
    ranks: Annotated[str, typer.Option(help="Ranks in this pod; auto: one for each GPU.")] = "auto",
) -> None:
    """Run as process 1 of a pod: start its ranks, join the gang, restart what fails."""
    from trainer.cluster import completions
    from trainer.config.load import load
    from trainer.training.launch import ranks_of, supervise_pod, this_command

    run = load(config, recipe=recipe, sets=sets or ())
    command = [word if word != "supervise" else "train" for word in this_command()]
    sys.exit(
        supervise_pod(run, ranks=ranks_of(ranks), command=command, wanted=completions.from_environment())
    )


@app.command(rich_help_panel=DATA)
def predict(
    images: Annotated[
        list[str] | None,
        typer.Argument(help="A few images: paths, folders, s3:// or https:// URLs. Default: --input."),
    ] = None,
    config: Config = None,
    run: Annotated[
        str | None, typer.Option(help="The folder of the trained run. Default: from --config.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="keras:NAME, with ImageNet's weights and classes. Default: the run's network."),
    ] = None,
    input: Annotated[
        str | None, typer.Option(help="Many images: a prefix, a dataset, a list. Default: from --config.")
    ] = None,
    output: Annotated[
        str | None, typer.Option(help="Where the predictions go. Default: from --config.")
    ] = None,
    workers: Annotated[
        int, typer.Option(min=1, max=256, help="Processes on this machine that share the work. Default: 1.")
    ] = 1,
    split: Annotated[
        str | None, typer.Option(help="Of the dataset that is the input. Default: the input is no dataset.")
    ] = None,
    top: Annotated[
        int, typer.Option(min=1, max=5, help="Of a few images: so many classes each. Default: 1.")
    ] = 1,
    extend: Annotated[
        bool, typer.Option("--extend", help="Also predict images that came after the first start.")
    ] = False,
    sets: Sets = None,
    json: Json = False,
) -> None:
    """Classify a few images, or all of a prefix, dataset or list; continue where an earlier job ended."""
    from trainer import pages
    from trainer.inference.job import main as predict_job

    options = {"run": run, "model": model, "input": input, "output": output, "split": split, "extend": extend}
    given = {key: value for key, value in options.items() if value}
    if images:
        _predict_few(images, config, given, sets or (), top, json)
        return
    summary = predict_job(config, given, sets or (), workers)
    if summary is None:
        return
    if json:
        _print_json(summary)
    else:
        pages.predicted(summary)
        _say_next(pages.after_predict(summary["output"]))


@app.command(rich_help_panel=RUNS)
def evaluate(
    run: Annotated[str, typer.Argument(help="A run's folder.")],
    split: Annotated[str, typer.Option(help="Of the dataset: train, validation or test.")] = "test",
    weights: Annotated[Literal["best", "last"], typer.Option(help="Which of the run's weights.")] = "best",
    dataset: Annotated[
        str | None, typer.Option(help="Another dataset with the same classes. Default: the run's.")
    ] = None,
    sensitivity: Annotated[
        bool, typer.Option("--sensitivity", help="Also turn, mirror and move the images.")
    ] = False,
    batch_size: Annotated[int, typer.Option(min=1, max=65536, help="Images at once.")] = 64,
    json: Json = False,
) -> None:
    """Measure a run's weights on a split: accuracy, classes, confusion, calibration, mistakes."""
    from trainer import pages
    from trainer.inference.evaluation.evaluate import evaluate as measure
    from trainer.output.progress import print_line, progress

    with progress(print_line, "images") as report:
        found = measure(
            run,
            split,
            weights,
            dataset_url=dataset,
            sensitivity=sensitivity,
            batch_size=batch_size,
            progress=report,
        )
    if json:
        _print_json(found)
    else:
        pages.evaluated(found)


@app.command(rich_help_panel=RUNS)
def report(run: Annotated[str, typer.Argument(help="A run's folder.")]) -> None:
    """Write report/index.html into a run's folder: curves, evaluations, images, configuration."""
    from trainer.report.build import write_report

    typer.echo(write_report(run))


@app.command(rich_help_panel=RUNS)
def compare(
    runs: Annotated[list[str], typer.Argument(help="Folders of runs.")],
    split: Annotated[str, typer.Option(help="Whose evaluation: train, validation or test.")] = "test",
    weights: Annotated[Literal["best", "last"], typer.Option(help="Which of the runs' weights.")] = "best",
    form: Annotated[
        Literal["text", "csv", "html", "json"], typer.Option("--format", "-o", help="How it is printed.")
    ] = "text",
    json: Json = False,
) -> None:
    """Show runs side by side: network, parameters, top 1, top 5, loss, time, by their evaluations."""
    from trainer.output.table import print_table
    from trainer.report import compare as table

    rows = table.compare(runs, split, weights)
    if json or form != "text":
        typer.echo(table.dumps(rows, "json" if json or form == "text" else form))
    else:
        print_table(table.COLUMNS, [table.cells(row) for row in rows], right=table.NUMBERS)


def _predict_few(
    images: list[str], config: Path | None, given: dict[str, Any], sets: Any, top: int, json: bool
) -> None:
    """Exits with 64 when one could not be read, after all others are shown."""
    from trainer import pages
    from trainer.inference.few import main as predict_few

    rows = predict_few(images, config, given, sets)
    if json:
        _print_json(rows)
    else:
        pages.classified(rows, top)
    if any("error" in row for row in rows):
        raise typer.Exit(EXIT_INVALID)


@app.command()
def doctor(
    url: Annotated[
        str | None, typer.Argument(help="A place in object storage to check. Default: this machine alone.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Nothing that takes seconds. Default: also devices and speeds.")
    ] = False,
    json: Json = False,
) -> None:
    """Check this machine, and whether an object store does all that is needed; what to fix, in order."""
    from trainer import pages
    from trainer.doctor import examine

    with interrupts.unwinding():
        findings = examine(url, timed=not quick)
    if json:
        _print_json([finding.__dict__ for finding in findings])
    else:
        pages.findings(findings)
    if any(finding.mark == "error" for finding in findings):
        sys.exit(EXIT_INVALID)


@app.command(rich_help_panel=RUNS)
def recipes(
    name: Annotated[str | None, typer.Argument(help="Print this recipe. Default: list them.")] = None,
) -> None:
    """List the recipes, or print one."""
    from trainer.config.load import recipes as known

    if name is None:
        from trainer import pages

        pages.recipes(known())
    elif name in known():
        typer.echo(known()[name], nl=False)
    else:
        raise ConfigError(f"there is no recipe {name!r}", f"Known: {', '.join(known())}")


@app.command(rich_help_panel=RUNS)
def weights(
    run: Annotated[str, typer.Argument(help="A run's folder, or the release that trains it.")],
    destination: Annotated[
        str, typer.Argument(help="A file, or a folder: one that is there, or a name that ends in /.")
    ],
    best: Annotated[
        bool, typer.Option("--best/--last", help="The best by run.monitor, or the newest.")
    ] = True,
    step: Annotated[
        int | None, typer.Option(min=0, help="Those of the checkpoint of this step. Default: see --best.")
    ] = None,
    namespace: Namespace = None,
) -> None:
    """Download a run's weights."""
    from trainer.storage import open_store
    from trainer.training.results.download import checkpoint_weights, download_weights
    from trainer.urls import looks_like_a_url

    if looks_like_a_url(destination):
        problem = f"DESTINATION: expected a file or a folder, received {destination!r}"
        raise ConfigError(problem, "Name a local one, such as .")
    if "/" not in run and not looks_like_a_url(run):
        from trainer.cluster.commands import run_url

        run = run_url(run, namespace)
    store = open_store(run)
    if step is None:
        typer.echo(download_weights(store, "best" if best else "last", destination))
    else:
        typer.echo(checkpoint_weights(store, step, destination))


@app.command(rich_help_panel=RUNS)
def runs(
    prefix: Annotated[str, typer.Argument(help="A prefix with runs below it.")],
    remove: Annotated[
        list[str] | None,
        typer.Option(
            "--remove", help="Delete this run, by its name in the list. Repeatable. Default: list them."
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Delete without asking.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Delete a run that may be running.")] = False,
    json: Json = False,
) -> None:
    """List the runs below a prefix with their best weights' epoch and metrics, or delete some of them."""
    from trainer import pages
    from trainer.runs.listing import find_runs
    from trainer.runs.removal import find_removable
    from trainer.runs.removal import remove as delete
    from trainer.storage import open_store

    store = open_store(prefix)
    if not remove:
        found = find_runs(store)
        _print_json(found) if json else pages.listed(found)
        return
    chosen = [find_removable(store, name, force=force) for name in dict.fromkeys(remove)]
    if not yes:
        _confirm(pages.to_remove(chosen))
    for run in chosen:
        delete(run.url)
        if not json:
            typer.echo(f"removed {run.url}")
    if json:
        _print_json({"removed": [run.url for run in chosen]})


@app.command(rich_help_panel=RUNS)
def verify(run: Annotated[str, typer.Argument(help="A run's folder.")], json: Json = False) -> None:
    """Read every byte of a run's checkpoints and compare it with its checksum."""
    from trainer import pages
    from trainer.checkpoints.verify import verify as read
    from trainer.runs.document import read_document
    from trainer.storage import open_store

    store = open_store(run)
    read_document(store)  # raises where there is no run
    found = read(store)
    if json:
        rows = [
            {"step": c.attempt.step, "generation": c.attempt.generation, "problems": c.problems}
            for c in found
        ]
        _print_json(rows)
    elif found:
        pages.checkpoints(found)
    else:
        typer.echo(f"{store.url}: no checkpoint yet")
    if any(checkpoint.problems for checkpoint in found):
        sys.exit(EXIT_INVALID)


@app.command(rich_help_panel=CLUSTER)
def status(
    release: Annotated[str | None, typer.Argument(help="Default: every release of the namespace.")] = None,
    namespace: Namespace = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Update until it has ended.")] = False,
    json: Json = False,
) -> None:
    """Show the state of a release: pods, ranks, epoch, step, images/s, checkpoint, what it is waiting for."""
    from trainer.cluster import commands

    commands.status(release, namespace, watch=watch, as_json=json)


@app.command(rich_help_panel=CLUSTER)
def logs(
    release: Release,
    namespace: Namespace = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Follow over replaced pods, until the end.")
    ] = False,
    rank: Annotated[int, typer.Option(min=0, help="Print the last output of this rank.")] = 0,
) -> None:
    """Print the log of the chief (rank 0)."""
    from trainer.cluster import commands

    commands.logs(release, namespace, follow=follow, rank=rank)


@app.command(rich_help_panel=CLUSTER)
def wait(
    release: Release,
    namespace: Namespace = None,
    timeout: Annotated[
        float | None, typer.Option(min=0, callback=_finite, help="In seconds. Default: no limit.")
    ] = None,
    json: Json = False,
) -> None:
    """Wait until a release has ended, and exit with its exit code."""
    from trainer.cluster import commands

    sys.exit(commands.wait(release, namespace, timeout=timeout, as_json=json))


def _print_json(result: Any) -> None:
    import dataclasses
    import json

    def plain(value: Any) -> Any:
        return dataclasses.asdict(value) if dataclasses.is_dataclass(value) else str(value)  # type: ignore[arg-type]

    typer.echo(json.dumps(result, indent=1, default=plain))


def _say_next(text: str) -> None:
    """What may be done next; on stderr, since it is no result."""
    typer.echo(f"next: {text}", err=True)


def _confirm(what: list[str]) -> None:
    """Asks before `what` is deleted. Raises typer.Exit where the answer is no."""
    if not sys.stdin.isatty():
        raise ConfigError(
            "expected an answer, and stdin is no terminal", "Add --yes to delete without asking"
        )
    for line in what:
        typer.echo(line, err=True)
    if not typer.confirm("Delete for good?", err=True):
        typer.echo("nothing was deleted", err=True)
        raise typer.Exit
