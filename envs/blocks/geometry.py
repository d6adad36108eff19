"""Sizes and places of block stacking, in metres, and the layout of its state vector.

Everything happens in the plane x = 0. y runs to the right, z upwards; angles turn about x.
"""

from typing import NamedTuple

import numpy as np

Array = np.ndarray

HALF = 0.04
"""Half an edge of a block."""
EDGE = 2 * HALF
TABLE = 0.8
"""Height of the table's top."""
RESTING = TABLE + HALF
"""Height of a block that lies on the table."""
TABLE_HALF_WIDTH = {5: 0.6, 11: 1.2}
"""Half the table's extent along y, by the number of blocks. Invisible walls stand at its edges."""
CEILING, WALL = 1.49, 0.06
"""The gripper stays below the one, and as far as the other from the table's edges: the authors' carries a box, 0.1 wide
and up to 0.2 above it, which meets a ceiling 0.9 above the table, and walls, all 0.02 thick."""
START = (0.0, 1.2)
"""(y, z) of the gripper when an episode starts."""

HELD = 0.11
"""How far below the gripper's position the middle of its fingers lies, where it holds a block."""
FINGER_HALF = (0.03, 0.006, 0.045)
"""Half extents of a finger; its end is as far below a held block's centre as it can be above the table."""
FINGER_DROP = 0.095
"""How far below the gripper's position a finger's centre lies."""
PALM_HALF = (0.04, 0.075, 0.02)
"""Half extents of the palm; its lower side is where the fingers begin."""
PALM_DROP = 0.03
OPEN = 0.06
"""Distance of an open finger's inner side from the middle: open fingers pass between blocks 0.12 apart."""
MAX_OPEN = 0.08
"""Where a finger's joint ends."""

GRIPPER_STATE = 8
"""Numbers of the state vector before the blocks' positions."""


class Parts(NamedTuple):
    """What a state vector tells.

    Args:
        gripper: (y, z), ``[..., 2]``.
        finger: Distance of the fingers' inner sides from the middle, ``[...]``.
        blocks: (y, z) of each block, ``[..., B, 2]``.
    """

    gripper: Array
    finger: Array
    blocks: Array


def state_dim(blocks: int) -> int:
    """Length of the state vector: 23 with 5 blocks, 41 with 11."""
    return GRIPPER_STATE + 3 * blocks


def parts(state: Array) -> Parts:
    """Take state vectors ``[..., S]`` apart."""
    blocks = state[..., GRIPPER_STATE:].reshape(*state.shape[:-1], -1, 3)
    return Parts(state[..., 1:3], state[..., 7], blocks[..., 1:])


def frame_dim(blocks: int) -> int:
    """Length of what an image shows at one time, :func:`frame`."""
    return 3 + 2 * blocks


def frame(state: Array) -> Array:
    """What an image shows of state vectors ``[..., S]``: (y, z, opening) of the gripper, then (y, z) of each block."""
    gripper, finger, blocks = parts(state)
    return np.concatenate([gripper, finger[..., None], blocks.reshape(*blocks.shape[:-2], -1)], axis=-1)
