"""One function over many items in a few threads."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def each(function: Callable[[Item], Result], items: Iterable[Item], workers: int) -> list[Result]:
    """`function` of every item, in order. The first error is raised, and what has not begun is left undone.

    With one worker everything happens in the calling thread.
    """
    if workers == 1:
        return [function(item) for item in items]
    pool = ThreadPoolExecutor(workers, thread_name_prefix="checkpoint")
    try:
        return list(pool.map(function, items))
    finally:
        pool.shutdown(cancel_futures=True)
