"""What is reported of several seeds: interquartile mean with bootstrap interval, or every value if they are few.

Two algorithms are compared by the probability that a run of one beats a run of the other. All of it is after Agarwal et
al. 2021, "Deep Reinforcement Learning at the Edge of the Statistical Precipice".
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from lightning_skills.errors import InputError

MIN_SEEDS = 5
"""From this many seeds on, an interquartile mean and its interval mean something."""


def iqm(values: ArrayLike) -> float:
    """Interquartile mean: the mean of what is left without the lowest and the highest quarter, each rounded down."""
    return float(_trimmed_mean(np.ravel(values)[None])[0])


def bootstrap_interval(values: ArrayLike, resamples: int = 50_000, seed: int = 0) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the interquartile mean, stratified by task.

    Args:
        values: ``[seeds]``, or ``[seeds, tasks]``: the seeds of each task are then resampled on their own.
        resamples: Number of bootstrap samples.
        seed: Of the resampling.

    Returns:
        Lower and upper end.
    """
    table = np.asarray(values, dtype=np.float64)
    table = table.reshape(len(table), -1)
    rng = np.random.default_rng(seed)
    drawn = rng.integers(len(table), size=(resamples, *table.shape))
    means = _trimmed_mean(table[drawn, np.arange(table.shape[1])].reshape(resamples, -1))
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


@dataclass(frozen=True)
class Description:
    """Several seeds in short; ``str`` gives the cell of a table.

    Args:
        values: The value of every seed, averaged over tasks.
        centre: Interquartile mean from 5 seeds on, mean below.
        interval: 95 % bootstrap interval of the interquartile mean; None below 5 seeds.
    """

    values: tuple[float, ...]
    centre: float
    interval: tuple[float, float] | None

    def __str__(self) -> str:
        if self.interval is not None:
            return f"{self.centre:.3g} [{self.interval[0]:.3g}, {self.interval[1]:.3g}]"
        if len(self.values) == 1:
            return f"{self.centre:.3g}"
        return f"{self.centre:.3g} ({', '.join(f'{value:.3g}' for value in self.values)})"


def describe(values: Sequence[float] | np.ndarray) -> Description:
    """Describe the results of several seeds.

    Args:
        values: ``[seeds]`` or ``[seeds, tasks]``.

    Raises:
        InputError: if there are none, or one is not finite.
    """
    table = np.asarray(values, dtype=np.float64)
    if not table.size:
        raise InputError("no results to describe; give at least one seed")
    if not np.isfinite(table).all():
        raise InputError(f"result of seed number {np.argwhere(~np.isfinite(table))[0][0]} is not finite; leave it out")
    seeds = tuple(table.reshape(len(table), -1).mean(axis=1).tolist())
    if len(seeds) < MIN_SEEDS:
        return Description(seeds, float(table.mean()), None)
    return Description(seeds, iqm(table), bootstrap_interval(table))


def describe_curves(values: np.ndarray, resamples: int = 2_000) -> tuple[np.ndarray, np.ndarray | None]:
    """Describe the curves of several seeds point by point, by the rule of :func:`describe`.

    Args:
        values: ``[seeds, points]``.
        resamples: Number of bootstrap samples at each point; the same ones at all of them, so that the ends are smooth.

    Returns:
        The centre ``[points]``, and the lower and upper end of its interval ``[2, points]``; None below 5 seeds.
    """
    if len(values) < MIN_SEEDS:
        return values.mean(axis=0), None
    intervals = [bootstrap_interval(point, resamples) for point in values.T]
    return _trimmed_mean(values.T), np.array(intervals).reshape(-1, 2).T


def probability_of_improvement(
    first: Sequence[ArrayLike], second: Sequence[ArrayLike], resamples: int = 50_000, seed: int = 0
) -> tuple[float, tuple[float, float] | None]:
    """How likely a run of one algorithm is better than one of another, on a task drawn at random.

    On a task it is the share of pairs of runs of which the first is better, ``P(X > Y) + P(X = Y) / 2``, which is the
    Mann-Whitney statistic over the number of pairs; then the mean over tasks, as in rliable.

    Args:
        first: Results of X: the seeds of each task.
        second: Results of Y on the same tasks; there may be another number of seeds.
        resamples: Number of bootstrap samples. The seeds of each task and algorithm are resampled on their own.
        seed: Of the resampling.

    Returns:
        The probability, and its 95 % percentile bootstrap interval; None where some task has fewer than 5 seeds.

    Raises:
        InputError: if there is no task, the tasks are not as many, one has no seed, or a result is not finite.
    """
    pairs = [tuple(np.ravel(np.asarray(side, dtype=np.float64)) for side in task) for task in _zip(first, second)]
    if not all(side.size and np.isfinite(side).all() for pair in pairs for side in pair):
        raise InputError("a task has no result or one that is not finite; leave it out of the comparison")
    # wins[i, j]: whether seed i of X is better than seed j of Y.
    wins = [(x[:, None] > y) + 0.5 * (x[:, None] == y) for x, y in pairs]
    centre = float(np.mean([task.mean() for task in wins]))
    if min(min(task.shape) for task in wins) < MIN_SEEDS:
        return centre, None
    rng = np.random.default_rng(seed)
    drawn = np.mean([_resampled_mean(task, resamples, rng) for task in wins], axis=0)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return centre, (float(low), float(high))


def _zip(first: Sequence[ArrayLike], second: Sequence[ArrayLike]) -> list[tuple[ArrayLike, ArrayLike]]:
    if not first or len(first) != len(second):
        raise InputError(f"cannot compare {len(first)} tasks with {len(second)}; give the same, and one at least")
    return list(zip(first, second, strict=True))


def _resampled_mean(table: np.ndarray, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """Means of a table whose rows and columns are drawn with replacement, ``[resamples]``."""
    rows, columns = (rng.multinomial(size, np.full(size, 1 / size), resamples) / size for size in table.shape)
    return ((rows @ table) * columns).sum(axis=1)


def _trimmed_mean(rows: np.ndarray) -> np.ndarray:
    """Mean of each row without its lowest and highest quarter."""
    cut = rows.shape[1] // 4
    return np.sort(rows, axis=1)[:, cut : rows.shape[1] - cut].mean(axis=1)
