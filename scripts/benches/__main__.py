"""Runs the rounds of one benchmark, or of all; prints a table and writes what was measured as JSON."""

import argparse
import importlib
import json
import os
import platform
import statistics
from pathlib import Path

from trainer.observability import log

NAMES = ("checkpoint", "ranks")


def main() -> None:
    log.setup()
    parser = argparse.ArgumentParser(prog="scripts/bench")
    parser.add_argument("name", choices=[*NAMES, "all"])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    reports = [
        run(name, arguments.rounds) for name in (NAMES if arguments.name == "all" else [arguments.name])
    ]
    if arguments.json:
        arguments.json.write_text(json.dumps(reports if arguments.name == "all" else reports[0], indent=1))


def run(name: str, rounds: int) -> dict[str, object]:
    """The medians and the spread over `rounds` rounds."""
    measure = importlib.import_module(f"scripts.benches.{name}").measure
    found: list[dict[str, float]] = [measure() for _ in range(rounds)]
    ratios = {key: statistics.median(one[key] for one in found) for key in found[0]}
    spread = {key: [min(one[key] for one in found), max(one[key] for one in found)] for key in ratios}
    for key, value in ratios.items():
        low, high = spread[key]
        print(f"{name:12} {key:28} {value:10.4f}   [{low:.4f}, {high:.4f}]", flush=True)
    machine = {"cores": len(os.sched_getaffinity(0)), "python": platform.python_version()}
    return {"bench": name, "rounds": rounds, "ratios": ratios, "spread": spread, "machine": machine}


if __name__ == "__main__":
    main()
