"""Two ways to do the same, and the matrix products of one of them, timed in turns."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.products import Step, products_of

Clock = Callable[[], float]
WALL, CPU = time.perf_counter, time.process_time


@dataclass(frozen=True)
class Comparison:
    """One line of a table.

    Args:
        sizes: Where such sizes are used.
        name: What is compared.
        ours: One update.
        plain: The same in plain form.
        authors: What their own code does, updates/s, measured elsewhere.
    """

    sizes: str
    name: str
    ours: Step
    plain: Step
    authors: str = ""


@dataclass(frozen=True)
class Timing:
    """Calls per second in turns ``[rounds]``.

    Args:
        ours: Of one side.
        plain: Of the other.
        products: Of the matrix products of ours alone.
        multiply_adds: Of these.
    """

    ours: np.ndarray
    plain: np.ndarray
    products: np.ndarray
    multiply_adds: int


def rate(step: Step, seconds: float, clock: Clock = WALL) -> float:
    """Calls per second."""
    calls, begin = 0, clock()
    while (elapsed := clock() - begin) < seconds or not calls:
        step()
        calls += 1
    return calls / elapsed


def measure(comparison: Comparison, seconds: float, rounds: int, clock: Clock = WALL) -> Timing:
    """Time both sides and the products of ours.

    Args:
        comparison: The sides.
        seconds: Length of one window.
        rounds: Windows of each.
        clock: What tells the time.
    """
    comparison.ours()  # the first call builds the optimizers' states
    products = products_of(comparison.ours)
    steps = (comparison.ours, comparison.plain, products.alone())
    for step in steps:
        rate(step, seconds / 4, clock)
    rates = np.array([[rate(step, seconds, clock) for step in steps] for _ in range(rounds)])
    return Timing(*rates.T, products.multiply_adds)


def spread(values: np.ndarray, digits: int = 2) -> str:
    """Median (first to third quartile)."""
    low, middle, high = np.percentile(values, [25, 50, 75])
    return f"{middle:.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"
