"""Uniform noise for observations, from each world's own stream."""

from collections.abc import Sequence

import numpy as np

from lightning_skills.data.batch_env import Array

AMPLITUDE = np.repeat([0.1, 0.005, 0.0005, 0.005, 0.1, 0.005, 0.1, 0.005], [9, 2, 6, 3, 3, 3, 3, 1])
"""``[30]`` amplitudes for a ratio of 1, from the robot's configuration.

D4RL gives the 21 objects its last 21 rows of 30; FrankaKitchen takes each of theirs from one row earlier.
"""
ROWS = 16
"""Draws of a world at a time, so that Python loops over worlds at few steps."""


class Noise:
    """Rows of uniform numbers in [-1, 1], one at a time for each world.

    The n-th row of a world is the n-th of its stream, however many other worlds there are.

    Args:
        worlds: How many.
        width: Numbers in a row.
    """

    def __init__(self, worlds: int, width: int) -> None:
        self._rows = np.zeros((worlds, ROWS, width))
        self._used = np.full(worlds, ROWS)

    def draw(self, rngs: Sequence[np.random.Generator], worlds: Array) -> Array:
        """The next row ``[n, width]`` of each of the worlds ``[n]``, whose streams are among ``rngs``."""
        for world in worlds[self._used[worlds] == ROWS]:
            self._rows[world] = rngs[world].uniform(-1.0, 1.0, self._rows.shape[1:])
            self._used[world] = 0
        drawn = self._rows[worlds, self._used[worlds]]
        self._used[worlds] += 1
        return drawn

    def forget(self, worlds: Array) -> None:
        """Drop what was drawn and not used: the next row comes from the streams as they are then."""
        self._used[worlds] = ROWS

    def get_state(self) -> dict[str, Array]:
        """Copies of what determines the rows to come, beside the streams."""
        return {"noise": self._rows.copy(), "noise_used": self._used.copy()}

    def set_state(self, state: dict[str, Array]) -> None:
        """Inverse of :meth:`get_state`."""
        self._rows, self._used = state["noise"].copy(), state["noise_used"].copy()
