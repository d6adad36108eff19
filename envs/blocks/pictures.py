"""Pictures of block stacking from the front: a plot of what the gripper did and a film. y runs to the right."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from envs.blocks import geometry

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = np.ndarray

SKY, WOOD, GRIPPER = (np.array(colour) / 255 for colour in ((251, 249, 245), (201, 178, 148), (58, 66, 84)))
FIRST, LAST = (np.array(colour) / 255 for colour in ((66, 122, 200), (226, 84, 58)))
"""Of the blocks, from the leftmost at the start to the rightmost."""
BOTTOM, TOP = geometry.TABLE - 0.06, geometry.CEILING + 0.05
"""Of the picture, in metres."""
MAX_FRAMES = 150
"""Of a film; longer trajectories are thinned."""
SCALE = 180
"""Pixels of a film per metre."""

Rectangle = tuple[float, float, float, float, Array]
"""Centre (y, z), half extents and colour."""


def draw(axes: "Axes", trajectories: Sequence[Array]) -> None:
    """Draw the table, the gripper's paths (time runs from dark to bright) and the blocks where they ended.

    Args:
        axes: Where to draw; loses its ticks and gets equal scales.
        trajectories: States, each ``[T, S]``.
    """
    from matplotlib.collections import LineCollection
    from matplotlib.patches import Rectangle as Patch

    wide = _half_width(trajectories[0])
    axes.add_patch(Patch((-wide, BOTTOM), 2 * wide, geometry.TABLE - BOTTOM, facecolor=WOOD))
    for trajectory in trajectories:
        path = geometry.parts(trajectory).gripper
        lines = LineCollection(list(np.stack([path[:-1], path[1:]], axis=1)), cmap="plasma", linewidths=0.8, alpha=0.5)
        lines.set_array(np.linspace(0.0, 0.92, len(path) - 1))
        lines.set_clim(0.0, 1.0)
        axes.add_collection(lines)
        for y, z, half_y, half_z, colour in _blocks(trajectory, len(trajectory) - 1):
            corner = (y - half_y, z - half_z)
            axes.add_patch(Patch(corner, 2 * half_y, 2 * half_z, facecolor=(*colour, 0.35), edgecolor=colour))
    axes.set(xlim=(-wide, wide), ylim=(BOTTOM, TOP), xticks=[], yticks=[], aspect="equal")


def film(trajectory: Array) -> Array:
    """Frames ``[F, height, width, 3]`` uint8 of states ``[T, S]``, ``F <= 150``."""
    shown = np.unique(np.linspace(0, len(trajectory) - 1, min(len(trajectory), MAX_FRAMES)).astype(int))
    return np.stack([_frame(trajectory, index) for index in shown])


def _half_width(trajectory: Array) -> float:
    return geometry.TABLE_HALF_WIDTH[geometry.parts(trajectory[0]).blocks.shape[0]]


def _blocks(trajectory: Array, index: int) -> Iterator[Rectangle]:
    """The blocks at one step, coloured by their place at the first."""
    first, now = (geometry.parts(trajectory[step]).blocks for step in (0, index))
    rank = np.argsort(np.argsort(first[:, 0])) / (len(first) - 1)
    for (y, z), share in zip(now, rank, strict=True):
        yield y, z, geometry.HALF, geometry.HALF, FIRST + share * (LAST - FIRST)


def _gripper(state: Array) -> Iterator[Rectangle]:
    (y, z), opening, _ = geometry.parts(state)
    yield y, z - geometry.PALM_DROP, *geometry.PALM_HALF[1:], GRIPPER
    for side in (-1, 1):
        aside = side * (opening + geometry.FINGER_HALF[1])
        yield y + aside, z - geometry.FINGER_DROP, *geometry.FINGER_HALF[1:], GRIPPER


def _frame(trajectory: Array, index: int) -> Array:
    wide = _half_width(trajectory)
    image = np.tile(SKY, (round(SCALE * (TOP - BOTTOM)), round(2 * SCALE * wide), 1))
    _paint(image, wide, (0.0, geometry.TABLE / 2, wide, geometry.TABLE / 2, WOOD))
    for rectangle in (*_blocks(trajectory, index), *_gripper(trajectory[index])):
        _paint(image, wide, rectangle)
    return np.rint(255 * image[::-1]).astype(np.uint8)


def _paint(image: Array, wide: float, rectangle: Rectangle) -> None:
    """Paint a rectangle over an image ``[height, width, 3]``, whose first row is the lowest, in place."""
    y, z, half_y, half_z, colour = rectangle
    rows, up = _shares(image.shape[0], SCALE * (z - half_z - BOTTOM), SCALE * (z + half_z - BOTTOM))
    columns, across = _shares(image.shape[1], SCALE * (y - half_y + wide), SCALE * (y + half_y + wide))
    image[rows, columns] += (up[:, None] * across)[..., None] * (colour - image[rows, columns])


def _shares(pixels: int, low: float, high: float) -> tuple[slice, Array]:
    """The pixels between two places, given in pixels, and the share of each that lies between them."""
    first, last = (int(np.clip(place, 0, pixels)) for place in (np.floor(low), np.ceil(high)))
    borders = np.clip(np.arange(first, last + 1), low, high)
    return slice(first, last), borders[1:] - borders[:-1]
