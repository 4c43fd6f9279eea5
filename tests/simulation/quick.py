"""Quick versions of what a simulation calls all the time. They return what the originals return."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from typing import Any, TypeVar
from unittest import mock

from tests.simulation import coordinator, pod
from trainer.checkpoints.commit import Commit
from trainer.gang import decisions
from trainer.gang.forming import seats
from trainer.gang.leading import contact, tokens
from trainer.runs import layout

T = TypeVar("T")

_dumps = json.dumps


def replace(value: T, **changes: Any) -> T:
    """`dataclasses.replace` for the protocol's classes, whose fields are all in their `__dict__`."""
    new = object.__new__(type(value))
    new.__dict__.update(value.__dict__, **changes)
    return new


def dumps(value: Any, **_: Any) -> str:
    """On one line, which json's C code can write."""
    return _dumps(value)


@contextmanager
def quick() -> Iterator[None]:
    with ExitStack() as stack:
        for module in (coordinator, pod, decisions, seats, contact, tokens):
            if hasattr(module, "replace"):
                stack.enter_context(mock.patch.object(module, "replace", replace))
        stack.enter_context(mock.patch.object(json, "dumps", dumps))
        stack.enter_context(mock.patch.object(tokens, "asdict", lambda value: dict(vars(value))))
        loads = lru_cache(10_000)(Commit.loads)
        stack.enter_context(mock.patch.object(Commit, "loads", loads))
        for name in ("parse_checkpoint_key", "token_number"):
            cached = lru_cache(10_000)(getattr(layout, name))
            stack.enter_context(mock.patch.object(layout, name, cached))
        yield
