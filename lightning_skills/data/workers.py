"""Work that is done in pieces by several processes and comes back in order."""

import itertools
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from typing import TypeVar

Piece = TypeVar("Piece")


def in_order(make: Callable[[int], Piece], workers: int) -> Iterator[Piece]:
    """Endlessly ``make(0)``, ``make(1)``, ..., the same whatever the number of workers.

    Args:
        make: Depends on the index alone; with several workers it must be picklable (a module's function).
        workers: Processes; one means this one.
    """
    if workers == 1:
        yield from map(make, itertools.count())
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
    try:
        waiting: deque[Future[Piece]] = deque()
        for index in itertools.count():
            waiting.append(pool.submit(make, index))
            if len(waiting) > workers:
                yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
