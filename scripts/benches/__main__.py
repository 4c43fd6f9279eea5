"""Runs the rounds of one benchmark, or of all; prints a table and writes what was measured as JSON."""

import argparse
import importlib
import json
import os
import platform
import statistics
from pathlib import Path

from trainer.observability import log

NAMES = (
    "data",
    "accelerators",
    "plan",
    "gang",
    "train",
    "scaling",
    "checkpoint",
    "predict",
    "exact",
    "recovery",
    "goodput",
)


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
    """The medians and the spread over `rounds` rounds; null with a reason for what could not be measured."""
    module = importlib.import_module(f"scripts.benches.{name}")
    found: list[dict[str, float | None]] = [module.measure() for _ in range(rounds)]
    ratios: dict[str, float | None] = {}
    spread: dict[str, list[float] | None] = {}
    for key in found[0]:
        values = [value for one in found if (value := one[key]) is not None]
        ratios[key] = statistics.median(values) if values else None
        spread[key] = [min(values), max(values)] if values else None
        shown = f"{ratios[key]:10.4f}   [{min(values):.4f}, {max(values):.4f}]" if values else "      null"
        print(f"{name:12} {key:36} {shown}", flush=True)
    reasons: dict[str, str] = getattr(module, "REASONS", {})
    for what, reason in reasons.items():
        print(f"{name:12} {what}: {reason}", flush=True)
    machine = {"cores": len(os.sched_getaffinity(0)), "python": platform.python_version()}
    return {
        "bench": name,
        "rounds": rounds,
        "ratios": ratios,
        "spread": spread,
        "reasons": reasons,
        "machine": machine,
    }


if __name__ == "__main__":
    main()
