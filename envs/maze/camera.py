"""Where the camera is that follows the agent."""

import numpy as np

Array = np.ndarray

SHARE = 0.2
"""Of the way to the agent, the camera goes this much at every frame: measured in MuJoCo 2.2 (newer versions follow at
once). At a steady motion it is four steps behind."""


def follow(camera: Array, position: Array) -> Array:
    """Where cameras ``[N, 2]`` are one frame later, with agents at ``[N, 2]``."""
    return camera + SHARE * (position - camera)


def followed(position: Array, starts: Array, lengths: Array) -> Array:
    """Cameras ``[N, 2]`` along trajectories that lie end to end; each begins above its agent.

    Args:
        position: ``[N, 2]``.
        starts: First row of each trajectory ``[M]``.
        lengths: Rows of each ``[M]``.
    """
    camera = position.copy()
    for step in range(1, lengths.max(initial=0)):
        rows = starts[lengths > step] + step
        camera[rows] = follow(camera[rows - 1], position[rows])
    return camera
