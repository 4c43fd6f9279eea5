"""The key of every object in the folder of predictions. Readers and writers take them from here.

plan.json                    what is predicted with which weights; written once, before all else
images/<uid>/00000.jsonl.gz  the images of 100 parts, a line for each part
claims/00017.json            who does a part: advice, so that workers choose different ones
errors/00017.jsonl           what of a part could not be read; written before its predictions
predictions-00017.jsonl      the predictions of a part, committed whole; or .csv, .parquet
errors.jsonl, summary.json, summary.html, with format json results.json   written at the end, the summary last
"""

import re

PLAN = "plan.json"
SUMMARY = "summary.json"
PAGE = "summary.html"
ERRORS = "errors.jsonl"
RESULTS = "results.json"
IMAGES, CLAIMS, PART_ERRORS, PREDICTIONS = "images/", "claims/", "errors/", "predictions-"
FOLDERS = (IMAGES, CLAIMS, PART_ERRORS)

_PART = re.compile(r"(?:predictions-|claims/|errors/)(\d{5,})\.\w+", re.ASCII)


def images(uid: str, block: int) -> str:
    """The images of a hundred parts."""
    return f"{IMAGES}{uid}/{block:05d}.jsonl.gz"


def predictions(part: int, suffix: str) -> str:
    """The predictions of a part, with a suffix such as "jsonl"."""
    return f"{PREDICTIONS}{part:05d}.{suffix}"


def claim(part: int) -> str:
    """Who does a part."""
    return f"{CLAIMS}{part:05d}.json"


def part_errors(part: int) -> str:
    """What of a part could not be read."""
    return f"{PART_ERRORS}{part:05d}.jsonl"


def part_of(key: str) -> int | None:
    """The part to which an object belongs, by its key."""
    match = _PART.fullmatch(key)
    return int(match[1]) if match else None
