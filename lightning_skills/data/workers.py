"""Work that is done in pieces by several processes and comes back in order."""

import itertools
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from typing import TypeVar

from lightning_skills.parent import stop_with

Piece = TypeVar("Piece")


def in_order(make: Callable[[int], Piece], workers: int) -> Iterator[Piece]:
    """Endlessly ``make(0)``, ``make(1)``, ..., the same whatever the number of workers.

    Args:
        make: Depends on the index alone; with several workers it must be picklable (a module's function).
        workers: Processes; one means this one.
    """
    if workers == 1:
        yield from map(make, itertools.count())
    # A worker that waits for work would wait for ever once this process was killed.
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=stop_with, initargs=(os.getpid(),))
    try:
        waiting: deque[Future[Piece]] = deque()
        for index in itertools.count():
            waiting.append(pool.submit(make, index))
            if len(waiting) > workers:
                yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
