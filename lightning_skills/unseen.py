"""How fast runs learn the tasks to test on, or adapt to them: the returns of their episodes there, by number."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lightning_skills.evaluation.statistics import describe
from lightning_skills.groups import Group
from lightning_skills.parts import phase_of
from lightning_skills.recorded import RecordedRun, Row, series

SHOWN = (0, 2, 5, 20, 100, 150)
"""Episodes that the table is about, of those that are there."""
_NAMES = {f"episode {episode}": episode for episode in SHOWN}
WINDOW = 10
"""Training episodes of a mean, from the one it is about on: those before it are not of the policy that it shows."""
NOTE = f"""\
Return of episodes in tasks to test on, mean over the tasks. Where a method trains there, these are its training \
episodes, each the mean of the {WINDOW} from this one on; else those of the final evaluation. All episodes count, also \
those from which a method only infers its task."""


def trains(run: RecordedRun) -> bool:
    """Whether its episodes in tasks to test on are of training there, so that curves are means of :data:`WINDOW`."""
    return any("/" in row["phase"] for row in run.episodes)


def by_episode(run: RecordedRun) -> np.ndarray:
    """Means over the tasks ``[2, n]``: numbers of episodes and returns; empty if there are none.

    Of the training episodes of the last phase in parts, over the next ones too and as far as all of its parts have
    come; of a run without such a phase those in which it adapts in its final evaluation.
    """
    parts: dict[str, list[Row]] = {}
    for row in run.episodes:
        if "/" in row["phase"]:
            parts.setdefault(row["phase"], []).append(row)
    if not parts:
        adaptation = (run.summary or {}).get("adaptation", {})
        return _numbered(np.mean([*adaptation.values()], axis=0) if adaptation else np.zeros(0))
    last = phase_of(list(parts)[-1])
    returns = [series(rows, "episode", "return")[1] for part, rows in parts.items() if phase_of(part) == last]
    shared = min(map(len, returns))
    if shared < WINDOW:
        return _numbered(np.zeros(0))
    means = np.mean([each[:shared] for each in returns], axis=0)
    return _numbered(np.lib.stride_tricks.sliding_window_view(means, WINDOW).mean(-1))


def _numbered(returns: np.ndarray) -> np.ndarray:
    return np.stack([np.arange(len(returns)), returns])


def curves(group: Group) -> list[np.ndarray]:
    """Those of :func:`by_episode`, of every run that has one."""
    return [curve for run in group.runs if (curve := by_episode(run)).size]


def rows(groups: Sequence[Group]) -> list[dict[str, Any]]:
    """A row for each group that has such episodes: its returns at some of them, over seeds."""
    found = [(group, curves(group)) for group in groups]
    cells = [_at(each) for _, each in found]
    reached = [name for name in _NAMES if any(row[name] for row in cells)]
    return [
        {"task": group.task, **group.label, "seeds": len(each), **{name: row[name] for name in reached}}
        for (group, each), row in zip(found, cells, strict=True)
        if each
    ]


def _at(found: Sequence[np.ndarray]) -> Mapping[str, str]:
    """Cells of :data:`SHOWN`, empty past the shortest curve."""
    shortest = min((curve.shape[1] for curve in found), default=0)
    return {
        name: str(describe([curve[1, episode] for curve in found])) if episode < shortest else ""
        for name, episode in _NAMES.items()
    }
