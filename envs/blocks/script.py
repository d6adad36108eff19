"""The script of block stacking: what the gripper does, given the state, for n worlds at once."""

from dataclasses import dataclass

import numpy as np

from envs.blocks import geometry
from envs.blocks.geometry import EDGE, HALF, HELD, Parts
from envs.blocks.rewards import GRASP_HIGH, GRASP_LOW

Array = np.ndarray

LIFT = geometry.TABLE + 4 * EDGE + 0.2
"""Height at which the gripper travels."""
APPROACH = 0.08
"""How far above a grasp or a release the gripper starts to move straight down, and where to it rises."""
STRIDE = 0.05
"""Metres of a step; the control of that velocity is 1."""
REACHED = 0.01
"""Distance in y and in z at which a place counts as reached."""
GRASPING = 2
"""Steps in which the fingers close or open."""
DETOUR_ALONG, DETOUR_ASIDE = (0.2, 0.8), (-0.2, 0.2)
"""Where on its way a detour leads, and how far aside, as shares of the way's length."""


@dataclass(frozen=True)
class Phase:
    """What the gripper does until it is where it should be and has waited.

    Args:
        y: Where to: "own", the y at which the phase began, or that of the block to be moved ("block") or of the one
            that it should be put on ("base").
        z: Height: "own", "lift", "block" or "base"; "block" and "base" are where the gripper holds the block there.
        up: Added to that height.
        open: Whether the fingers should be.
        wait: Steps to stay.
        detour: Whether to pass a random place beside the way.
    """

    y: str
    z: str
    up: float = 0.0
    open: bool = True
    wait: int = 0
    detour: bool = False


PHASES = (
    Phase("own", "lift", detour=True),
    Phase("block", "lift", detour=True),
    Phase("block", "block", APPROACH, detour=True),
    Phase("block", "block"),
    Phase("own", "own", open=False, wait=GRASPING),
    Phase("own", "own", APPROACH, open=False),
    Phase("own", "lift", open=False, detour=True),
    Phase("base", "lift", open=False, detour=True),
    Phase("base", "base", APPROACH, open=False, detour=True),
    Phase("base", "base", open=False),
    Phase("own", "own", wait=GRASPING),
    Phase("own", "own", APPROACH),
)
"""One block is stacked by all of these in turn."""
AGAIN, TAKEN = 2, 5
"""The phase to go back to where a block is not held, and the one after which that shows."""

_PLACES = ("own", "block", "base", "lift")
_TO_Y = np.array([_PLACES.index(phase.y) for phase in PHASES])
_TO_Z = np.array([_PLACES.index(phase.z) for phase in PHASES])
_UP = np.array([phase.up for phase in PHASES])
_OPEN = np.array([phase.open for phase in PHASES])
_WAIT = np.array([phase.wait for phase in PHASES])
_DETOUR = np.array([phase.detour for phase in PHASES])


class Script:
    """Stacks blocks in n worlds. It looks at the present state alone, but remembers where in the script it is.

    Args:
        order: Blocks of the towers from the lowest, ``[n, K]``.
        built: How many stacks of each stand already, ``[n]``.
        stacks: How many more to build.
        rng: Draws detours.
    """

    def __init__(self, order: Array, built: Array, stacks: int, rng: np.random.Generator) -> None:
        self.order, self.first, self.end = order, built, built + stacks
        self._rng = rng
        self._worlds = np.arange(len(order))
        self._level = built.copy()
        self._phase = np.zeros(len(order), dtype=np.int64)
        self._waited = np.zeros(len(order), dtype=np.int64)
        self._began = np.tile(geometry.START, (len(order), 1))
        self._by = np.zeros((len(order), 2))
        self._detouring = np.zeros(len(order), dtype=bool)

    @property
    def finished(self) -> Array:
        """Which worlds have all their stacks, with the gripper above them and open, ``[n]`` bool."""
        return self._level == self.end

    def act(self, seen: Parts) -> Array:
        """Actions ``[n, 3]`` at states; goes on in the script where something is done."""
        self._advance(seen)
        goal = np.where(self._detouring[:, None], self._by, self._goal(seen))
        way = goal - seen.gripper
        length = np.hypot(*way.T)[:, None]
        move = way / np.maximum(length, STRIDE)
        return np.concatenate([move, _OPEN[self._phase, None]], axis=1)

    def _pair(self, seen: Parts) -> tuple[Array, Array]:
        """Places of the blocks to be moved and of those to put them on, each ``[n, 2]``."""
        level = np.minimum(self._level, self.end - 1)
        base, block = self.order[self._worlds, level], self.order[self._worlds, level + 1]
        return seen.blocks[self._worlds, block], seen.blocks[self._worlds, base]

    def _goal(self, seen: Parts) -> Array:
        """Where the present phase leads, ``[n, 2]``."""
        block, base = self._pair(seen)
        grip = seen.gripper - block
        y = np.stack([self._began[:, 0], block[:, 0], base[:, 0] + grip[:, 0]])
        z = np.stack([self._began[:, 1], block[:, 1] + HELD, base[:, 1] + EDGE + grip[:, 1], np.full(len(base), LIFT)])
        phase, worlds = self._phase, self._worlds
        return np.stack([y[_TO_Y[phase], worlds], z[_TO_Z[phase], worlds] + _UP[phase]], axis=1)

    def _advance(self, seen: Parts) -> None:
        """Take note of what is reached; enter the next phases."""
        near = (np.abs(self._goal(seen) - seen.gripper) < REACHED).all(axis=1)
        self._waited += 1
        done = near & ~self._detouring & (self._waited >= _WAIT[self._phase])
        self._detouring &= (np.abs(self._by - seen.gripper) >= REACHED).any(axis=1)
        block, base = self._pair(seen)
        below = seen.gripper[:, 1] - block[:, 1]
        held = (np.abs(seen.gripper[:, 0] - block[:, 0]) < HALF) & (below > GRASP_LOW) & (below < GRASP_HIGH)
        on = (np.abs(block[:, 0] - base[:, 0]) < HALF) & (np.abs(block[:, 1] - base[:, 1] - EDGE) < HALF / 2)
        last = done & (self._phase == len(PHASES) - 1)
        missed = done & (self._phase == TAKEN) & ~held
        self._level += last & on & ~self.finished
        self._phase = np.where(missed, AGAIN, np.where(done, (self._phase + 1) % len(PHASES), self._phase))
        self._enter(np.flatnonzero(done), seen)

    def _enter(self, worlds: Array, seen: Parts) -> None:
        """Begin the present phase in these worlds ``[k]``."""
        self._waited[worlds] = 0
        self._began[worlds] = seen.gripper[worlds]
        way = self._goal(seen)[worlds] - seen.gripper[worlds]
        along, aside = (self._rng.uniform(*span, (len(worlds), 1)) for span in (DETOUR_ALONG, DETOUR_ASIDE))
        by = self._began[worlds] + along * way + aside * way[:, ::-1] * [-1.0, 1.0]
        reach = geometry.TABLE_HALF_WIDTH[seen.blocks.shape[1]] - geometry.WALL
        self._by[worlds] = by.clip([-reach, 0.0], [reach, geometry.CEILING])
        self._detouring[worlds] = _DETOUR[self._phase[worlds]]
