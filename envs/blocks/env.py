"""The block stacking environment."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import mujoco
import numpy as np

from envs.batch import MuJoCoBatch
from envs.blocks import geometry, mjcf, pictures, rewards, tasks
from envs.blocks.config import BlocksConfig
from envs.blocks.rewards import Grip, Progress
from envs.blocks.tasks import BlocksTask
from lightning_skills.data.batch_env import Array, EnvInfo, Observation, State

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STEP = 0.1
"""Seconds of a step (10 Hz)."""
SUBSTEPS = round(STEP / mjcf.TIMESTEP)
HOLD_LOW, HOLD_HIGH = 0.3, 0.7
"""Between these magnitudes, the gripper's control leaves the fingers as they are."""
LIMIT = 2.0
"""States are clipped to plus and minus this."""


class BlocksEnv(MuJoCoBatch):
    """N tables with a gripper and blocks (SPiRL, Pertsch et al. 2020; simulator of the released code).

    An action is the gripper's velocity along y and z, where 1 is 0.5 m/s, and a control g of its fingers: they open
    at g >= 0.7, stay as they are at 0.3 < |g| < 0.7, and close otherwise.

    The observation is the gripper's position (3), velocity (3), angle and finger opening, then the position (3) of
    each block, clipped to +-2; x and the angle are always 0. With images there is ``"scene"`` too, which
    :class:`envs.blocks.images.BlocksRenderer` draws: gripper, finger opening and blocks one step before, and now; one
    step before a reset all was where it is.

    Args:
        task: How many blocks, rewards and time limit.
        seeds: One per world.
        images: Observe scenes, and have a renderer.
    """

    def __init__(self, task: BlocksTask, seeds: Sequence[int], images: bool = False) -> None:
        super().__init__(mujoco.MjModel.from_xml_string(mjcf.model_xml(task.blocks)), seeds)
        self.task = task
        shapes = {"observation": (geometry.state_dim(task.blocks),)}
        self._position, self._velocity = self.batch.bind("qpos"), self.batch.bind("qvel")
        self._poses = self._position[:, 4:].reshape(self.num_worlds, task.blocks, 3)
        self._open = np.ones(self.num_worlds, dtype=bool)
        self._progress = Progress(self.num_worlds, task.blocks)
        if images:
            from envs.blocks.images import BlocksRenderer  # only images pay for importing torch

            self.renderer = BlocksRenderer(task.blocks)
            shapes["scene"] = (2 * geometry.frame_dim(task.blocks),)
        self.info = EnvInfo(shapes, action_dim=3, horizon=task.horizon)
        self._before = self._state()
        self.reset()

    @property
    def blocks(self) -> Array:
        """(y, z) of every block, ``[N, B, 2]``; follows the simulation."""
        return self._poses[..., :2]

    def arrange(self, worlds: Array, blocks: Array) -> None:
        """Put blocks at ``[n, B, 2]``, upright and at rest, below an open gripper at the start."""
        self.batch.reset(worlds)
        self._position[worlds, :2], self._position[worlds, 2:4] = geometry.START, geometry.OPEN
        self._poses[worlds, :, :2] = blocks
        self.refresh(worlds)
        self._open[worlds] = True
        self._progress.reset(worlds)
        self._before[worlds] = self._state()[worlds]

    def _reset(self, worlds: Array) -> None:
        y = 0.2 * (np.arange(self.task.blocks) - (self.task.blocks - 1) / 2)
        row = np.stack([y, np.full(self.task.blocks, geometry.RESTING)], axis=1)
        self.arrange(worlds, np.broadcast_to(row, (len(worlds), *row.shape)))

    def _step(self, action: Array, worlds: Array) -> tuple[Array, Array, Array]:
        if self.renderer is not None:
            self._before[worlds] = self._state()[worlds]
        strength = np.abs(action[:, 2])
        held = (strength > HOLD_LOW) & (strength < HOLD_HIGH)
        self._open[worlds] = np.where(held, self._open[worlds], action[:, 2] >= HOLD_HIGH)
        fingers = np.where(self._open[worlds], geometry.OPEN, 0.0)[:, None]
        self.simulate(np.concatenate([action[:, :2], fingers, fingers], axis=1), worlds, SUBSTEPS)
        reward, height = self._reward(worlds)
        success = height > (self.task.levels - 0.5) * geometry.EDGE
        return reward, np.zeros(len(worlds), dtype=bool), success

    def _reward(self, worlds: Array) -> tuple[Array, Array]:
        """Rewards of the worlds' present states, and the heights of their towers in metres, each ``[n]``."""
        if not self.task.dense:
            height = self._height(worlds)
            return height, height
        grip = Grip(self._position[worlds, :2], self._position[worlds, 2:4])
        self._progress.update(worlds, self.blocks[worlds], grip)
        height = self._height(worlds)
        return self._progress.bonus(worlds) + rewards.PER_METRE * height, height

    def _height(self, worlds: Array) -> Array:
        """Heights of the towers ``[n]`` in metres, of blocks that count in the task."""
        if self.task.dense:
            counted = self._progress.grasped[worlds]
        else:
            tilt = np.abs(np.remainder(self._poses[worlds, :, 2] + np.pi, 2 * np.pi) - np.pi)
            counted = tilt <= rewards.MAX_TILT
        return rewards.tower_height(self.blocks[worlds], counted)

    def episode_info(self) -> Mapping[str, Array]:
        """What SPiRL's authors log of an episode at its end.

        ``final_height``: levels of the tower that stands; in dense tasks also how many blocks have been grasped, and
        then lifted, ``above`` another, and ``set_down`` on something, be it the table, which the authors call stacked.
        """
        counts = self._progress.counts() if self.task.dense else {}
        return {"final_height": self._height(self._all) / geometry.EDGE, **counts}

    def _state(self) -> Array:
        """State vectors ``[N, S]`` float32."""
        state = np.zeros((self.num_worlds, *self.info.observation_shapes["observation"]), dtype=np.float32)
        state[:, 1:3], state[:, 4:6] = self._position[:, :2], self._velocity[:, :2]
        state[:, 7] = self._position[:, 2:4].mean(axis=1)
        state[:, geometry.GRIPPER_STATE :].reshape(self.num_worlds, -1, 3)[..., 1:] = self.blocks
        return state.clip(-LIMIT, LIMIT)

    def _observe(self) -> Observation:
        state = self._state()
        if self.renderer is None:
            return {"observation": state}
        scene = np.concatenate([geometry.frame(self._before), geometry.frame(state)], axis=1)
        return {"observation": state, "scene": scene}

    def _get_state(self) -> State:
        own = {"open": self._open, "before": self._before, **vars(self._progress)}
        return {**super()._get_state(), **{key: value.copy() for key, value in own.items()}}

    def _set_state(self, state: State) -> None:
        super()._set_state(state)
        self._open, self._before = state["open"].astype(bool), state["before"].copy()
        for name, value in vars(self._progress).items():
            value[:] = state[name]

    def draw(self, axes: "Axes", trajectories: Sequence[Array], task: int | None = None) -> bool:
        """Draw the gripper's paths of trajectories (each ``[T, S]``), coloured by time, and where blocks ended."""
        pictures.draw(axes, trajectories)
        return True

    def film(self, trajectory: Array) -> Array:
        """Frames ``[F, height, width, 3]`` uint8 of one trajectory ``[T, S]`` from the front, at most 150."""
        return pictures.film(trajectory)


def make(config: BlocksConfig, seeds: Sequence[int]) -> BlocksEnv:
    """The environment that options describe, with one world per seed.

    Raises:
        InputError: if there is no such task.
    """
    return BlocksEnv(tasks.task(config), seeds, config.images)
