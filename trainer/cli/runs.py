"""The commands for runs: training, and what to do with a run's folder."""

import sys
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from trainer import interrupts
from trainer.cli.answers import confirm, print_error, print_json, print_next
from trainer.cli.arguments import (
    Config,
    Json,
    Namespace,
    Overrides,
    Price,
    Recipe,
    Run,
    parse_price,
    price_overrides,
)
from trainer.cli.first_sign import QUIET
from trainer.cli.run_names import run_folder
from trainer.errors import EXIT_INTERRUPTED, EXIT_INVALID, ConfigError, TransientError
from trainer.observability.log import be_quiet, be_verbose

if TYPE_CHECKING:
    from trainer.config import RunConfig
    from trainer.training.auto import Choice


def train(
    config: Config = None,
    recipe: Recipe = None,
    overrides: Overrides = None,
    ranks: Annotated[
        str,
        typer.Option(help="Ranks on this machine (replicas with strategy mirrored). auto: one per GPU."),
    ] = "1",
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Dry run: validate everything with a few images, print the plan, and exit."
        ),
    ] = False,
    price: Price = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Print a line for each step, not a progress bar.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option(*QUIET, help="Print warnings and errors alone; with --check or --json the result.")
    ] = False,
    json: Json = False,
) -> None:
    """Train a model, or resume a run that was interrupted."""
    from trainer.cli.pages.next_commands import after_train, this_training
    from trainer.distribution.rank_variables import is_supervised, rank
    from trainer.runs.documents.finished_values import finished_values
    from trainer.training.auto import loaded_run
    from trainer.training.launch import ranks_of

    if verbose and quiet:
        raise ConfigError("expected --verbose or --quiet, received both", "Remove one of them")
    if quiet:
        be_quiet()
    elif verbose:
        be_verbose()
    count = ranks_of(ranks)
    overrides = [*(overrides or ()), *(price_overrides(price) if price else ())]
    again = this_training(config, recipe, overrides, ranks)
    loaded = loaded_run(config, recipe=recipe, overrides=overrides, ranks=count, keep=not check)
    with loaded as (run, choice):
        if check:
            _check(run, count, choice, json)
            if not json and not quiet:
                print_next(again)
            return
        code = _launched(run, count)
    if rank() == 0 and not is_supervised():
        if code == 0 and json:
            print_json(finished_values(run.run.url))
        elif code == 0 and not quiet:
            print_next(after_train(run.run.url))
        elif code == EXIT_INTERRUPTED and not json and not quiet:
            print_next(again)
    sys.exit(code)


def _launched(run: "RunConfig", ranks: int) -> int:
    """Trains -> the exit code; what stopped it is printed, since a command to resume follows."""
    from trainer.training.launch import launch, this_command

    try:
        return launch(run, ranks=ranks, command=this_command())
    except TransientError as error:
        if interrupts.exit_code() is not None:
            raise  # it is announced already
        print_error(str(error))
        return error.exit_code


def _check(run: "RunConfig", ranks: int, choice: "Choice | None", json: bool) -> None:
    from trainer.cli.pages import runs as pages
    from trainer.training.setup.check import check as try_out

    plan = try_out(run, ranks, choice.lines if choice else ())
    print_json(plan) if json else pages.print_plan(plan)


def supervise(
    config: Config = None,
    recipe: Recipe = None,
    overrides: Overrides = None,
    ranks: Annotated[
        str, typer.Option(help="Ranks in this pod (replicas with strategy mirrored). auto: one per GPU.")
    ] = "auto",
) -> None:
    """Run as process 1 of a pod: start its ranks, join the gang, restart failed ranks."""
    from trainer.cluster import lost_pods, wanted_pods
    from trainer.training.auto import loaded_run
    from trainer.training.launch import ranks_of, supervise_pod, this_command

    count = ranks_of(ranks)
    command = [word if word != "supervise" else "train" for word in this_command()]
    with loaded_run(config, recipe=recipe, overrides=overrides or (), ranks=count) as (run, _):
        lost_pods.start_from_environment()
        code = supervise_pod(run, ranks=count, command=command, wanted=wanted_pods.from_environment())
    sys.exit(code)


def evaluate(
    run: Run,
    split: Annotated[
        str | None,
        typer.Option(help="Split to evaluate: train, validation or test. Default: test, or else validation."),
    ] = None,
    weights: Annotated[Literal["best", "last"], typer.Option(help="Weights to evaluate.")] = "best",
    dataset: Annotated[
        str | None,
        typer.Option(help="Another dataset with the same classes. Default: the dataset of the run."),
    ] = None,
    sensitivity: Annotated[
        bool,
        typer.Option(
            "--sensitivity", help="Also evaluate images that are rotated, flipped, shifted, and all of it."
        ),
    ] = False,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--change",
            metavar="KEY=VALUE,...",
            help="Also evaluate images with a change of your own: keys of data.augment, height and width, "
            "such as rotate=45,height=0.1, or turn=90. Repeatable. Default: none.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Seed of random changes.")] = 1,
    batch_size: Annotated[int, typer.Option(min=1, max=65536, help="Images per batch.")] = 64,
    namespace: Namespace = None,
    json: Json = False,
) -> None:
    """Evaluate a run's weights on a split: accuracy, per-class metrics, confusion, calibration, mistakes."""
    from trainer.api import run_functions
    from trainer.cli.pages import runs as pages
    from trainer.cli.pages.next_commands import after_evaluate

    evaluation = run_functions.evaluate(
        run_folder(run, namespace),
        split,
        weights=weights,
        dataset=dataset,
        sensitivity=sensitivity,
        changes=changes or (),
        seed=seed,
        batch_size=batch_size,
    ).document
    if json:
        print_json(evaluation)
    else:
        pages.print_evaluation(evaluation)
        data = evaluation["dataset"]
        print_next(after_evaluate(evaluation["run"], data["url"], data["split"]))


def report(run: Run, price: Price = None, namespace: Namespace = None) -> None:
    """Write report/index.html to a run's folder: curves, evaluations, images, configuration."""
    from trainer.api import run_functions
    from trainer.cli.pages.next_commands import after_report
    from trainer.runs.run_document import read_finished
    from trainer.storage import open_store

    folder = run_folder(run, namespace)
    typer.echo(run_functions.report(folder, price=parse_price(price) if price else None))
    store = open_store(folder)
    print_next(after_report(store.url, read_finished(store)))


def compare(
    runs: Annotated[list[str], typer.Argument(help="The runs, each its folder, its URL or its release.")],
    split: Annotated[
        str | None,
        typer.Option(
            help="Split of the evaluations: train, validation or test. Default: test, or else validation."
        ),
    ] = None,
    weights: Annotated[Literal["best", "last"], typer.Option(help="Weights of the evaluations.")] = "best",
    format: Annotated[
        Literal["text", "csv", "html", "json"], typer.Option("--format", "-o", help="Output format.")
    ] = "text",
    price: Price = None,
    namespace: Namespace = None,
    json: Json = False,
) -> None:
    """Compare the evaluations of runs: network, image size, parameters, top-1, top-5, loss, time, cost."""
    from trainer.output.table import print_table
    from trainer.reporting import compare as table

    urls = [run_folder(run, namespace) for run in runs]
    rows = table.compare(urls, split, weights, parse_price(price) if price else None)
    if json or format in ("csv", "json"):
        typer.echo(table.dumps(rows, "csv" if format == "csv" and not json else "json"))
    elif format == "html":
        from trainer.reporting.comparison_page import comparison_page, read_details

        typer.echo(comparison_page(rows, read_details(urls, weights)).decode(), nl=False)
    else:
        columns = table.shown_columns(rows)
        print_table(columns, [table.cells(row, columns) for row in rows], right=table.numbers(columns))


def weights(
    run: Run,
    destination: Annotated[
        str, typer.Argument(help="File to write, or a folder: an existing one, or a name that ends in /.")
    ],
    best: Annotated[
        bool, typer.Option("--best/--last", help="The best weights by run.monitor, or the last ones.")
    ] = True,
    step: Annotated[
        int | None,
        typer.Option(min=0, help="The weights in the checkpoint of this step. Default: see --best."),
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
    store = open_store(run_folder(run, namespace))
    if step is None:
        typer.echo(download_weights(store, "best" if best else "last", destination))
    else:
        typer.echo(checkpoint_weights(store, step, destination))


def runs(
    prefix: Annotated[str, typer.Argument(help="Prefix with runs below it.")],
    remove: Annotated[
        list[str] | None,
        typer.Option(
            "--remove", help="Delete this run, by its name in the list. Repeatable. Default: list the runs."
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Also delete a run that may still be running.")
    ] = False,
    json: Json = False,
) -> None:
    """List the runs below a prefix with the epoch and metrics of their best weights, or delete some."""
    from trainer.cli.pages import runs as pages
    from trainer.runs.find_runs import find_runs
    from trainer.runs.removal import RemovedRuns, find_removable
    from trainer.runs.removal import remove as delete
    from trainer.storage import open_store

    store = open_store(prefix)
    if not remove:
        rows = find_runs(store)
        print_json(rows) if json else pages.print_runs(rows)
        return
    chosen = [find_removable(store, name, force=force) for name in dict.fromkeys(remove)]
    if not yes:
        confirm(pages.describe_removable(chosen))
    for run in chosen:
        delete(run.url)
        if not json:
            typer.echo(f"removed {run.url}")
    if json:
        print_json(RemovedRuns(removed=[run.url for run in chosen]))


def verify(run: Run, namespace: Namespace = None, json: Json = False) -> None:
    """Read every byte of a run's checkpoints and verify the checksums."""
    from trainer.checkpoints.verify import verify as read
    from trainer.cli.pages import runs as pages
    from trainer.runs.run_document import read_document
    from trainer.storage import open_store

    store = open_store(run_folder(run, namespace))
    read_document(store)  # raises where there is no run
    reports = read(store)
    if json:
        print_json([report.values() for report in reports])
    elif reports:
        pages.print_checkpoints(reports)
    else:
        typer.echo(f"{store.url}: {pages.NO_CHECKPOINT}")
    if any(checkpoint.problems for checkpoint in reports):
        sys.exit(EXIT_INVALID)
