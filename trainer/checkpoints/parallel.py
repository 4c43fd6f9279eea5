"""Applies a function to many items in a few threads."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def each(function: Callable[[Item], Result], items: Iterable[Item], workers: int) -> list[Result]:
    """The results for all items, in order. Raises the first error, and then starts no further items.

    With one worker everything happens in the calling thread.
    """
    if workers == 1:
        return [function(item) for item in items]
    pool = ThreadPoolExecutor(workers, thread_name_prefix="checkpoint")
    try:
        return list(pool.map(function, items))
    finally:
        pool.shutdown(cancel_futures=True)
