"""Recipes, each trained with several seeds and evaluated: a Markdown table beside their sources' figures.

Runs that are finished are not trained again, so that it may be stopped and started.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from trainer.config.load import recipes

HEADER = """\
| recipe | seeds | test accuracy | smallest, largest | turned by 90 degrees | the source |
|---|---|---|---|---|---|"""


@dataclass(frozen=True)
class Result:
    """What one run's last weights reached on the test split, as the sources measured theirs."""

    recipe: str
    top1: float
    turned: float


def main(words: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="scripts/results", description=__doc__)
    parser.add_argument("dataset", help="URL of a dataset with a validation and a test split")
    parser.add_argument("runs", help="URL of the folder for the runs")
    parser.add_argument("recipes", nargs="+", choices=sorted(recipes()), metavar="RECIPE")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--ranks", type=int, default=1, help="of each run")
    parser.add_argument("--at-once", type=int, default=2, help="runs")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="of each recipe")
    given = parser.parse_args(words)
    tasks = [(recipe, seed) for seed in range(given.seeds) for recipe in given.recipes]
    with ThreadPoolExecutor(given.at_once) as pool:
        found = list(pool.map(lambda task: _result(given, *task), tasks))
    print(HEADER)
    for recipe in given.recipes:
        print(_row(recipe, [result for result in found if result.recipe == recipe]))


def _result(given: argparse.Namespace, recipe: str, seed: int) -> Result:
    run, began = f"{given.runs}/{recipe}-{seed}", time.monotonic()
    sets = (f"data.url={given.dataset}", f"run.url={run}", f"train.seed={seed}", *given.set)
    words = (word for value in sets for word in ("--set", value))
    _trainer("train", "--recipe", recipe, "--ranks", str(given.ranks), *words)
    found = json.loads(_trainer("evaluate", run, "--weights", "last", "--change", "turn=90", "--json"))
    result = Result(recipe, found["top1"], found["sensitivity"]["changes"][0]["top1"])
    spent = time.monotonic() - began
    print(f"{recipe}, seed {seed}: {result.top1:.4f} ({spent:.0f} s)", file=sys.stderr, flush=True)
    return result


def _trainer(*words: str) -> str:
    done = subprocess.run([sys.executable, "-m", "trainer", *words], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"trainer {' '.join(words)}: exit {done.returncode}\n{done.stderr}")
    return done.stdout


def _row(recipe: str, results: Sequence[Result]) -> str:
    top1 = [result.top1 for result in results]
    turned = statistics.mean(result.turned for result in results)
    source = recipes()[recipe].splitlines()[1].removeprefix("# ").rstrip(".")
    return (
        f"| {recipe} | {len(results)} | {statistics.mean(top1):.4f} | {min(top1):.4f}, {max(top1):.4f} "
        f"| {turned:.4f} | {source} |"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
