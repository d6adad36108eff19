"""How fast runs in parts learn the tasks to test on: the returns of their training episodes, by number."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lightning_skills.evaluation.statistics import describe
from lightning_skills.groups import Group
from lightning_skills.recorded import RecordedRun, Row, series

SHOWN = (0, 20, 100, 150)
"""Episodes that the table is about."""
WINDOW = 10
"""Episodes of a mean, from the one that it is about on: those before it are not of the policy that it shows."""
NOTE = f"""\
Return of training episodes in tasks to test on, mean over the tasks and over {WINDOW} episodes from this one on. All \
episodes count, also those from which a method only infers its task."""


def by_episode(run: RecordedRun) -> np.ndarray:
    """Means over the tasks and over the next episodes, ``[2, n]``: numbers of episodes and returns.

    Of the last phase in parts, and as far as all of its parts have come; empty if there is none.
    """
    parts: dict[str, list[Row]] = {}
    for row in run.episodes:
        if "/" in row["phase"]:
            parts.setdefault(row["phase"], []).append(row)
    last = list(parts)[-1].partition("/")[0] if parts else ""
    returns = [series(rows, "episode", "return")[1] for part, rows in parts.items() if part.partition("/")[0] == last]
    shared = min(map(len, returns), default=0)
    if shared < WINDOW:
        return np.zeros((2, 0))
    means = np.mean([each[:shared] for each in returns], axis=0)
    following = np.lib.stride_tricks.sliding_window_view(means, WINDOW).mean(-1)
    return np.stack([np.arange(len(following)), following])


def curves(group: Group) -> list[np.ndarray]:
    """Those of :func:`by_episode`, of every run that has one."""
    return [curve for run in group.runs if (curve := by_episode(run)).size]


def rows(groups: Sequence[Group]) -> list[dict[str, Any]]:
    """A row for each group that has learned target tasks: its returns at some episodes, over seeds."""
    return [{"task": group.task, **group.label, **_at(found)} for group in groups if (found := curves(group))]


def _at(found: Sequence[np.ndarray]) -> Mapping[str, Any]:
    shortest = min(curve.shape[1] for curve in found)
    cells = {
        f"episode {episode}": str(describe([curve[1, episode] for curve in found])) if episode < shortest else ""
        for episode in SHOWN
    }
    return {"seeds": len(found), **cells}
