"""A plot of what robots did: their ways on the ground, or their speeds where they run along a line."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lightning_skills.data.batch_env import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PLACES: Mapping[str, slice] = {family: slice(0, 2) for family in ("point-robot", "sparse-point-robot", "ant-goal")}
"""Where x and y are in the observations of families that see them."""
DRIFTS: Mapping[str, slice] = {"ant-dir": slice(13, 15), "humanoid-dir": slice(22, 24)}
"""Where velocities along x and y are, in those that do not."""
SPEEDS: Mapping[str, int] = {
    "cheetah-vel": 8,
    "cheetah-dir": 8,
    "walker-rand-params": 8,
    "hopper-rand-params": 5,
}
"""Where the velocity along x is, in those that run in a plane."""
GOAL = "#46aa6e"


def draw(axes: "Axes", family: str, goals: Array, trajectories: Sequence[Array], seconds: float = 1.0) -> None:
    """Draw trajectories of a family.

    Args:
        axes: Where to draw.
        family: The name of the distribution.
        goals: ``[K, G]`` of the tasks; places are marked, and so are speeds.
        trajectories: Observations, each ``[T, S]``.
        seconds: Between two observations.
    """
    if family in SPEEDS:
        _draw_speeds(axes, [path[:, SPEEDS[family]] for path in trajectories], seconds)
        for goal in goals[:, 0] if family == "cheetah-vel" else ():
            axes.axhline(goal, color=GOAL, linewidth=0.8, zorder=1)
        return
    _draw_ways(axes, [way(family, path, seconds) for path in trajectories])
    if family in PLACES:
        axes.plot(*goals.T, "*", color=GOAL, markersize=7, zorder=3)


def draw_reach(axes: "Axes", goal: tuple[float, float], radius: float) -> None:
    """Draw the circle around a goal, x and y, within which it is found."""
    from matplotlib.patches import Circle

    axes.add_patch(Circle(goal, radius, fill=False, linestyle=":", linewidth=1.5, edgecolor=GOAL, zorder=1))


def way(family: str, trajectory: Array, seconds: float) -> Array:
    """Places ``[T, 2]`` of a trajectory ``[T, S]``; where none are seen, summed up from velocities, from the origin."""
    if family in PLACES:
        return trajectory[:, PLACES[family]]
    moved = np.cumsum(trajectory[:-1, DRIFTS[family]], axis=0) * seconds
    return np.concatenate([np.zeros((1, 2)), moved])


def _draw_ways(axes: "Axes", ways: Sequence[Array]) -> None:
    for each in ways:
        axes.plot(*each.T, linewidth=1.2, alpha=0.85, zorder=2)
        axes.plot(*each[-1], "o", color="black", markersize=3, zorder=4)
    axes.set(xlabel="x (m)", ylabel="y (m)")
    axes.set_aspect("equal", adjustable="datalim")


def _draw_speeds(axes: "Axes", speeds: Sequence[Array], seconds: float) -> None:
    for each in speeds:
        axes.plot(seconds * np.arange(len(each)), each, linewidth=1.0, alpha=0.85, zorder=2)
    axes.set(xlabel="time (s)", ylabel="velocity (m/s)")
