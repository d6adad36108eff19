"""What block stacking rewards (SPiRL's environments "HighStack" and, sparse, its successor), for n worlds at once.

Positions of blocks are ``[n, B, 2]``, (y, z). All blocks lie on the table when an episode starts.
"""

import math
from dataclasses import dataclass

import numpy as np

from envs.blocks.geometry import HALF, RESTING

Array = np.ndarray

LIFTED = (math.sqrt(3) - 1) * HALF
"""A block that has risen by more is lifted: one that stands on a corner has not."""
ABOVE = 0.075
"""A block is above another if it is higher by more, and less than half an edge beside it."""
SUPPORT_REACH, SUPPORT_LOW, SUPPORT_HIGH = 0.08, 0.04, 0.085
"""How far beside and above a supported block its load may be."""
GRASP_REACH, GRASP_LOW, GRASP_HIGH = 0.08, 0.08, 0.14
"""How far beside and above a grasped block the gripper may be: the band of the authors' script, which holds at 0.11.
Their rewards have 0.16 to 0.22, in a test that always passes."""
GAP_LOW, GAP_HIGH, CLEARANCE = 0.03, 0.05, 0.01
"""How far each finger is from the gripper's middle, and at least from the block's, where they hold a block. The authors
have the band of the first two for the fingers' distance from each other; a held block is within both."""
GRASP_STEPS = 5
"""A block counts as grasped after so many steps in a row."""
MAX_TILT = math.pi / 4
"""A block that is tilted further adds nothing to a sparsely rewarded tower."""
PER_METRE = 50.0
"""Dense reward of a tower's height, a step: 4 per level."""


@dataclass(frozen=True)
class Grip:
    """The grippers of n worlds.

    Args:
        position: (y, z), ``[n, 2]``.
        fingers: Distances of the left and the right finger's inner side from the middle, ``[n, 2]``.
    """

    position: Array
    fingers: Array


def lifted(blocks: Array) -> Array:
    """Which blocks are off the table, ``[n, B]``."""
    return blocks[..., 1] > RESTING + LIFTED


def _between(blocks: Array) -> tuple[Array, Array]:
    """How far block i is beside and above block j, each ``[n, B, B]``."""
    beside, above = np.moveaxis(blocks[:, :, None] - blocks[:, None], 3, 0)
    return np.abs(beside), above


def stacked(blocks: Array) -> Array:
    """Which blocks are above another one, ``[n, B]``."""
    beside, above = _between(blocks)
    over: Array = ((beside < HALF) & (above > ABOVE)).max(axis=2)
    return over


def supported(blocks: Array) -> Array:
    """Which blocks are not lifted, or loosely on a supported one, ``[n, B]``."""
    beside, above = _between(blocks)
    on = (beside < SUPPORT_REACH) & (above > SUPPORT_LOW) & (above < SUPPORT_HIGH)
    held = ~lifted(blocks)
    while True:
        more = held | (on & held[:, None]).any(axis=2)
        if np.array_equal(more, held):
            return held
        held = more


def grasps(blocks: Array, grip: Grip) -> Array:
    """Which blocks the fingers hold off the table, ``[n, B]``."""
    y, below = blocks[..., 0] - grip.position[:, :1], grip.position[:, 1:] - blocks[..., 1]
    left, right = grip.fingers[:, :1], grip.fingers[:, 1:]
    gap = ((grip.fingers > GAP_LOW) & (grip.fingers < GAP_HIGH)).all(axis=1, keepdims=True)
    astride = (left - y > CLEARANCE) & (right + y > CLEARANCE)
    near = (np.abs(y) < GRASP_REACH) & (below > GRASP_LOW) & (below < GRASP_HIGH)
    return lifted(blocks) & gap & astride & near


def tower_height(blocks: Array, counted: Array) -> Array:
    """The largest rise above the table of a supported block, in metres, ``[n]``.

    Args:
        blocks: ``[n, B, 2]``.
        counted: Which blocks count, ``[n, B]``.
    """
    rise = np.where(counted & supported(blocks), blocks[..., 1] - RESTING, 0.0)
    return rise.max(axis=1).clip(0.0)


class Progress:
    """What has been done with each block in N running episodes; the flags stay once they are set.

    Args:
        num_worlds: N.
        blocks: B.
    """

    def __init__(self, num_worlds: int, blocks: int) -> None:
        self.streak = np.zeros((num_worlds, blocks), dtype=np.int64)
        self.grasped, self.lifted, self.above, self.set_down = np.zeros((4, num_worlds, blocks), dtype=bool)

    def reset(self, worlds: Array) -> None:
        """Forget the episodes of the worlds ``[n]``."""
        for flags in vars(self).values():
            flags[worlds] = 0

    def update(self, worlds: Array, blocks: Array, grip: Grip) -> None:
        """Take note of a step of the worlds ``[n]``."""
        self.streak[worlds] = (self.streak[worlds] + 1) * grasps(blocks, grip)
        self.grasped[worlds] |= self.streak[worlds] >= GRASP_STEPS
        self.lifted[worlds] |= self.grasped[worlds] & lifted(blocks)
        self.above[worlds] |= self.grasped[worlds] & stacked(blocks)
        self.set_down[worlds] |= self.grasped[worlds] & supported(blocks)

    def bonus(self, worlds: Array) -> Array:
        """Dense reward of a step for what has been done: 1 a lifted block, 2 one above another, ``[n]``."""
        return np.where(self.above[worlds], 2.0, self.lifted[worlds]).sum(axis=1)

    def counts(self) -> dict[str, Array]:
        """How many blocks have been grasped, and then lifted, above another, and set down, each ``[N]``."""
        flags = {name: each for name, each in vars(self).items() if each.dtype == bool}
        return {f"blocks_{name}": each.sum(axis=1).astype(float) for name, each in flags.items()}
