"""Pictures of the maze: a plot of paths and a film of one. x runs to the right, y upwards, as in SiMPL's figures."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from envs.maze.physics import CELL_CENTRE
from envs.maze.tasks import MazeTask

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = np.ndarray

FLOOR, TILE, WALL = (np.array(colour) / 255 for colour in ((251, 249, 245), (245, 242, 236), (58, 66, 84)))
GOAL, TRAIL, AGENT = (np.array(colour) / 255 for colour in ((70, 170, 110), (66, 122, 200), (226, 84, 58)))
CORNER = CELL_CENTRE - 0.5
"""Position of the picture's lower left corner, that of cell (0, 0)."""
MAX_FRAMES = 150
"""Of a film; longer trajectories are thinned."""
SIDE = 210
"""Height and width of a film in pixels, rounded to whole pixels a cell."""
AGENT_PIXELS, TRAIL_PIXELS = 4.0, 1.1
"""Radii in a film; the ball itself would be a pixel wide."""


def draw(axes: "Axes", layout: Array, task: MazeTask, goals: Array, trajectories: Sequence[Array]) -> None:
    """Draw walls, start, goals and paths into a plot; time runs from dark to bright.

    Args:
        axes: Where to draw; loses its ticks and gets equal scales.
        layout: ``[S, S]`` bool.
        task: Its start is shown.
        goals: ``[K, 2]``; each is shown with the radius of the task.
        trajectories: Paths, each ``[T, >= 2]``.
    """
    from matplotlib.collections import LineCollection
    from matplotlib.patches import Circle

    far = CORNER + len(layout)
    axes.imshow(_floor(layout), origin="lower", extent=(CORNER, far, CORNER, far), interpolation="nearest")
    for goal in goals:
        axes.add_patch(Circle(goal, task.radius, facecolor=(*GOAL, 0.3), edgecolor=GOAL, linewidth=1.5, zorder=2))
    for path in trajectories:
        segments = np.stack([path[:-1, :2], path[1:, :2]], axis=1)
        lines = LineCollection(list(segments), cmap="plasma", linewidths=1.4, alpha=0.85, capstyle="round", zorder=3)
        lines.set_array(np.linspace(0.0, 0.92, len(segments)))
        lines.set_clim(0.0, 1.0)
        axes.add_collection(lines)
    axes.plot(*task.start, "o", color="white", markeredgecolor=WALL, markeredgewidth=1.5, markersize=7, zorder=4)
    axes.plot(*goals.T, "*", color=GOAL, markeredgecolor="white", markeredgewidth=0.8, markersize=13, zorder=4)
    axes.set(xlim=(CORNER, far), ylim=(CORNER, far), xticks=[], yticks=[], aspect="equal")


def film(layout: Array, task: MazeTask, trajectory: Array) -> Array:
    """Frames ``[F, height, width, 3]`` uint8 of a ball that leaves a trail, ``F <= 150``.

    Args:
        layout: ``[S, S]`` bool.
        task: Its goal and radius are shown.
        trajectory: ``[T, >= 2]``.
    """
    scale = round(SIDE / len(layout))
    scene = _floor(layout).repeat(scale, axis=0).repeat(scale, axis=1)
    _blend(scene, 0.45 * _disc(scene.shape, (np.array(task.goal) - CORNER) * scale, task.radius * scale), GOAL)
    path = (trajectory[:, :2] - CORNER) * scale
    shown = np.unique(np.linspace(0, len(path) - 1, min(len(path), MAX_FRAMES)).astype(int))
    trail, frames, drawn = np.zeros(scene.shape[:2]), [], 0
    for index in shown:
        for point in path[drawn : index + 1]:
            np.maximum(trail, _disc(scene.shape, point, TRAIL_PIXELS), out=trail)
        drawn = index + 1
        frames.append(_frame(scene, trail, path[index]))
    return np.stack(frames)


def _floor(layout: Array) -> Array:
    """Colours ``[S, S, 3]`` of the cells, rows along y."""
    i, j = np.indices(layout.shape)
    tiles = np.where(((i + j) % 2 == 0)[..., None], FLOOR, TILE)
    return np.where(layout[..., None], WALL, tiles).swapaxes(0, 1)


def _frame(scene: Array, trail: Array, agent: Array) -> Array:
    image = scene.copy()
    _blend(image, 0.6 * trail, TRAIL)
    _blend(image, _disc(image.shape, agent, AGENT_PIXELS + 1.0), np.ones(3))
    _blend(image, _disc(image.shape, agent, AGENT_PIXELS), AGENT)
    return np.rint(255 * image[::-1]).astype(np.uint8)


def _disc(shape: tuple[int, ...], centre: Array, radius: float) -> Array:
    """Coverage ``[height, width]`` in [0, 1] of pixels by a disc; ``centre`` is (x, y) in pixels."""
    columns, rows = np.arange(shape[1]) + 0.5 - centre[0], np.arange(shape[0]) + 0.5 - centre[1]
    return np.clip(radius + 0.5 - np.hypot(rows[:, None], columns), 0.0, 1.0)


def _blend(image: Array, opacity: Array, colour: Array) -> None:
    """Paint ``colour`` over ``image`` in place."""
    image += opacity[..., None] * (colour - image)
