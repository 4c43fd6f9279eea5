"""The command line: each command parses its words and calls one function, imported when it is called."""

import os
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import typer

from trainer import __version__
from trainer.errors import AGAIN, WRONG, ConfigError, TrainerError

app = typer.Typer(
    name="trainer",
    help="Train image classifiers on Kubernetes, straight from object storage.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Config = Annotated[Path | None, typer.Option("--config", "-f", help="The run's YAML.")]
Recipe = Annotated[str | None, typer.Option(help="A ready run to start from; see `trainer recipes`.")]
Sets = Annotated[list[str] | None, typer.Option("--set", help="One value, as train.epochs=3; repeatable.")]
Release = Annotated[str, typer.Argument(help="The name given to `helm install`.")]
Namespace = Annotated[str | None, typer.Option("--namespace", "-n", help="Default: the context's.")]
USAGE_ERROR: Any = typer.BadParameter.__base__
"""What a command's wrong words raise; typer names only this subclass of it."""
OnBad = Literal["fail", "skip"]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        typer.echo(f"trainer {__version__}")
        raise typer.Exit


@app.command()
def prepare(
    source: Annotated[str, typer.Argument(help="SOURCE/CLASS/*.jpg, or SOURCE/{train,test}/CLASS/*.jpg.")],
    url: Annotated[str, typer.Argument(help="Where the dataset goes: s3://bucket/prefix or a folder.")],
    image_size: Annotated[int | None, typer.Option(help="Resize to this height and width.")] = None,
    validation: Annotated[float | None, typer.Option(help="Share for validation; default a quarter.")] = None,
    test: Annotated[
        float | None, typer.Option(help="Share for testing, if SOURCE has no test folder.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides the split and the order.")] = 0,
    on_bad: Annotated[OnBad, typer.Option(help="What a damaged image does.")] = "fail",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a dataset that is there.")] = False,
    json: Json = False,
) -> None:
    """Write images as HDF5 shards into object storage."""
    from trainer.dataset.prepare import prepare as run
    from trainer.observability.log import progress

    made = run(
        source,
        url,
        image_size=(image_size, image_size) if image_size else None,
        validation=validation,
        test=test,
        seed=seed,
        on_bad=on_bad,
        overwrite=overwrite,
        workers=len(os.sched_getaffinity(0)),
        progress=progress("images prepared:"),
    )
    _print(made, json)


@app.command()
def inspect(url: Annotated[str, typer.Argument(help="A dataset.")], json: Json = False) -> None:
    """Say what a dataset holds."""
    from trainer.dataset.inspect import inspect as run

    _print(run(url), json)


@app.command()
def train(
    config: Config = None,
    recipe: Recipe = None,
    sets: Sets = None,
    ranks: Annotated[int, typer.Option(min=1, help="Horovod ranks on this machine.")] = 1,
) -> None:
    """Train a model, or go on with one that was interrupted."""
    from trainer.config import load
    from trainer.training.launch import launch, this_command

    sys.exit(launch(load(config, recipe=recipe, sets=sets or ()), ranks=ranks, command=this_command()))


@app.command()
def supervise(
    config: Config = None,
    recipe: Recipe = None,
    sets: Sets = None,
    ranks: Annotated[str, typer.Option(help="Ranks in this pod; auto: one a GPU.")] = "auto",
) -> None:
    """Run as process 1 of a pod: start its ranks, form the gang, replace what dies."""
    from trainer.cluster import wanted
    from trainer.config import load
    from trainer.training.launch import gpus, supervise_pod, this_command

    if ranks != "auto" and not (ranks.isdecimal() and int(ranks)):
        raise ConfigError(f"--ranks: expected auto or a number from 1, received {ranks!r}")
    count = max(1, gpus()) if ranks == "auto" else int(ranks)
    run = load(config, recipe=recipe, sets=sets or ())
    command = [word if word != "supervise" else "train" for word in this_command()]
    sys.exit(supervise_pod(run, ranks=count, command=command, wanted=wanted.from_environment()))


@app.command()
def predict(
    config: Config = None,
    run: Annotated[str | None, typer.Option(help="The trained run's folder.")] = None,
    input: Annotated[str | None, typer.Option(help="A prefix with images.")] = None,
    output: Annotated[str | None, typer.Option(help="Where the predictions go.")] = None,
    sets: Sets = None,
    json: Json = False,
) -> None:
    """Name the images of a prefix; go on where an earlier try ended."""
    from trainer.inference.job import main as predict_job

    given = {key: value for key, value in {"run": run, "input": input, "output": output}.items() if value}
    _print(predict_job(config, given, sets or ()), json)


@app.command()
def doctor(
    url: Annotated[str | None, typer.Argument(help="A place in object storage to try.")] = None,
    json: Json = False,
) -> None:
    """Check this machine, and whether a store does all that is needed."""
    from trainer.doctor import examine

    findings = examine(url)
    if json:
        _print([finding.__dict__ for finding in findings], True)
    else:
        for finding in findings:
            typer.echo(f"{finding.mark:7} {finding.what}: {finding.found}")
    if any(finding.mark == "wrong" for finding in findings):
        sys.exit(WRONG)


@app.command()
def recipes(name: Annotated[str | None, typer.Argument(help="Print this one.")] = None) -> None:
    """List the ready runs, or print one."""
    from trainer.config import recipes as ready

    if name is None:
        typer.echo("\n".join(ready()))
    elif name in ready():
        typer.echo(ready()[name], nl=False)
    else:
        raise ConfigError(f"there is no recipe {name!r}", f"Known: {', '.join(ready())}")


@app.command()
def weights(
    run: Annotated[str, typer.Argument(help="A run's folder, or the release that trains it.")],
    destination: Annotated[Path, typer.Argument(help="A file or a folder.")],
    best: Annotated[
        bool, typer.Option("--best/--last", help="The best by run.monitor, or the newest.")
    ] = True,
    step: Annotated[int | None, typer.Option(min=0, help="Those of the checkpoint of this step.")] = None,
    namespace: Namespace = None,
) -> None:
    """Download a run's weights."""
    from trainer.storage import open_store
    from trainer.training.download import checkpoint_weights, download_weights

    if "/" not in run:
        from trainer.cluster.commands import run_url

        run = run_url(run, namespace)
    store = open_store(run)
    if step is None:
        typer.echo(download_weights(store, "best" if best else "last", destination))
    else:
        typer.echo(checkpoint_weights(store, step, destination))


@app.command()
def runs(prefix: Annotated[str, typer.Argument(help="Where runs lie.")], json: Json = False) -> None:
    """List the runs below a prefix: how far each is, and its last figure."""
    import dataclasses

    from trainer.runs import find_runs
    from trainer.storage import open_store

    found = find_runs(open_store(prefix))
    if json:
        _print([dataclasses.asdict(run) for run in found], True)
    else:
        typer.echo("\n".join(map(str, found)))


@app.command()
def verify(run: Annotated[str, typer.Argument(help="A run's folder.")], json: Json = False) -> None:
    """Read every byte of a run's checkpoints against its checksum."""
    from trainer.storage import open_store
    from trainer.training.verify import verify as read

    found = read(open_store(run))
    if json:
        _print([{"step": c.step, "generation": c.generation, "problems": c.problems} for c in found], True)
    for checkpoint in () if json else found:
        typer.echo(f"step {checkpoint.step}: {'; '.join(checkpoint.problems) or 'whole'}")
    if any(checkpoint.problems for checkpoint in found):
        sys.exit(WRONG)


@app.command()
def status(
    release: Annotated[str | None, typer.Argument(help="Default: every release of the namespace.")] = None,
    namespace: Namespace = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Until it has ended.")] = False,
    json: Json = False,
) -> None:
    """Say what a release is doing: pods, ranks, epoch, step, images/s, checkpoint, what is waited for."""
    from trainer.cluster import commands

    commands.status(release, namespace, watch=watch, as_json=json)


@app.command()
def logs(
    release: Release,
    namespace: Namespace = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Over replacements, until the end.")] = False,
    rank: Annotated[int, typer.Option(min=0, help="Another rank's last words.")] = 0,
) -> None:
    """Print the chief's log."""
    from trainer.cluster import commands

    commands.logs(release, namespace, follow=follow, rank=rank)


@app.command()
def wait(
    release: Release,
    namespace: Namespace = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds.")] = None,
) -> None:
    """Wait until a release has ended, and exit as it did."""
    from trainer.cluster import commands

    sys.exit(commands.wait(release, namespace, timeout=timeout))


def _print(result: Any, as_json: bool) -> None:
    import dataclasses
    import json

    values = dataclasses.asdict(result) if dataclasses.is_dataclass(result) else result  # type: ignore[arg-type]
    if as_json:
        typer.echo(json.dumps(values, indent=1, default=str))
        return
    for key, value in values.items():
        if isinstance(value, dict):
            typer.echo(f"{key}:")
            for name, inner in value.items():
                typer.echo(f"  {name}: {inner}")
        else:
            typer.echo(f"{key}: {value}")


def main() -> NoReturn:
    """Every failure that a person can mend is one line and an exit code; see trainer/errors.py."""
    from trainer.distribution import is_rank
    from trainer.observability.log import setup

    setup()
    try:
        app(sys.argv[1:] or ["--help"], standalone_mode=False)
        code = 0
    except typer.Exit as exit:
        code = exit.exit_code
    except SystemExit as exit:
        code = exit.code if isinstance(exit.code, int) else 1
    except BaseException as error:
        code = _explain(error)
    sys.stdout.flush()
    sys.stderr.flush()
    if is_rank():
        os._exit(code)
    sys.exit(code)


def _explain(error: BaseException) -> int:
    from trainer.storage.base import ObjectChanged

    if isinstance(error, TrainerError):
        return _fail(str(error), error.exit_code)
    if isinstance(error, USAGE_ERROR):
        return _fail(str(TrainerError(error.format_message(), "See `trainer --help`")), WRONG)
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        return _fail("interrupted", AGAIN)
    if isinstance(error, ObjectChanged | FileNotFoundError | PermissionError):
        return _fail(str(error), WRONG)
    if isinstance(error, TimeoutError):
        return _fail(str(error), AGAIN)
    # A fault of our own: the whole story, and out, since Horovod may hold up the interpreter's usual end.
    traceback.print_exception(error)
    return 1


def _fail(message: str, code: int) -> int:
    typer.echo(f"trainer: error: {' '.join(message.split())}", err=True)
    return code
