"""The maze environment: a task's rewards and resets over one of two backends."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from envs.maze import layouts, pictures, tasks
from envs.maze.camera import follow
from envs.maze.config import MazeConfig
from envs.maze.physics import PointMass, free
from envs.maze.tasks import MazeTask
from lightning_skills.data.batch_env import Array, BatchEnv, EnvInfo, Observation, State, TaskDistribution
from lightning_skills.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Physics(Protocol):
    """What steps the point masses: the numpy twin or MuJoCo."""

    def step(self, position: Array, velocity: Array, action: Array, worlds: Array) -> tuple[Array, Array]:
        """Positions and velocities ``[n, 2]`` one time step later; see :class:`envs.maze.physics.PointMass`."""


class MazeEnv(BatchEnv):
    """N point masses in one maze, with one goal each.

    The observation is ``(x, y, vx, vy)``, raw; the action a force in [-1, 1] along each axis. With images there is
    ``"scene"`` too, which :class:`envs.maze.images.MazeRenderer` draws; at a reset the camera is above the ball, and
    one step before everything was where it is.

    Args:
        pursued: Layout, starts, goals and rewards; several tasks differ by their goals alone.
        seeds: One per world.
        physics: What steps the point masses; by default the numpy twin of MuJoCo.
        reject_walls: Redraw starts that lie inside walls.
        images: Observe scenes, and have a renderer.
        names: Of the tasks, if there are several.
    """

    def __init__(
        self,
        pursued: Sequence[MazeTask],
        seeds: Sequence[int],
        physics: Physics | None = None,
        reject_walls: bool = False,
        images: bool = False,
        names: TaskDistribution | None = None,
    ) -> None:
        super().__init__(seeds)
        task = pursued[0]
        shapes = {"observation": (4,), "scene": (9,)} if images else {"observation": (4,)}
        self.info = EnvInfo(shapes, action_dim=2, horizon=task.horizon, tasks=names)
        self.task = task
        self.layout = layouts.named(task.layout)
        self.position = np.zeros((self.num_worlds, 2))
        self.velocity = np.zeros((self.num_worlds, 2))
        self._frames = np.zeros((self.num_worlds, 2, 4))  # ball and camera before and now, kept up for images alone
        self._physics = physics or PointMass(self.layout[None])
        self._reject_walls = reject_walls
        self._goals = np.array([one.goal for one in pursued], dtype=np.float64)
        if images:
            from envs.maze.images import MazeRenderer  # only images pay for importing torch

            self.renderer = MazeRenderer(self.layout[None], self._goals)
        self.reset()

    def _reset(self, worlds: Array) -> None:
        for world in worlds:
            self.position[world] = self._draw_start(self.rngs[world])
            self.velocity[world] = self.rngs[world].normal(0.0, self.task.velocity_noise, 2)
        for _ in range(self.task.settling_steps):
            self._advance(np.zeros((len(worlds), 2)), worlds)
        self._frames[worlds] = np.tile(self.position[worlds], 2)[:, None]

    def _draw_start(self, rng: np.random.Generator) -> Array:
        while True:
            start = self.task.start + rng.uniform(-self.task.start_noise, self.task.start_noise, 2)
            if not self._reject_walls or free(self.layout, start):
                return start

    def _advance(self, action: Array, worlds: Array) -> None:
        self.position[worlds], self.velocity[worlds] = self._physics.step(
            self.position[worlds], self.velocity[worlds], action, worlds
        )

    def _step(self, action: Array, worlds: Array) -> tuple[Array, Array, Array]:
        self._advance(action, worlds)
        if self.renderer is not None:
            before = self._frames[worlds, 1]
            now = np.concatenate([self.position[worlds], follow(before[:, 2:], self.position[worlds])], axis=1)
            self._frames[worlds] = np.stack([before, now], axis=1)
        to_goal = self.position[worlds] - self._goals[self.task_index[worlds]]
        success = np.hypot(to_goal[:, 0], to_goal[:, 1]) <= self.task.radius
        return self.task.reward * success, success & self.task.terminates, success

    def _observe(self) -> Observation:
        observation = {"observation": np.concatenate([self.position, self.velocity], axis=1, dtype=np.float32)}
        if self.renderer is not None:
            layout = np.zeros((self.num_worlds, 1))
            frames = self._frames.reshape(self.num_worlds, -1)
            observation["scene"] = np.concatenate([frames, layout], axis=1, dtype=np.float32)
        return observation

    def _get_state(self) -> State:
        state = {"position": self.position.copy(), "velocity": self.velocity.copy()}
        return state if self.renderer is None else {**state, "frames": self._frames.copy()}

    def _set_state(self, state: State) -> None:
        self.position, self.velocity = state["position"].copy(), state["velocity"].copy()
        if self.renderer is not None:
            self._frames = state["frames"].copy()

    def draw(self, axes: "Axes", trajectories: Sequence[Array], task: int | None = None) -> bool:
        """Draw the maze, the goals and the paths of trajectories (each ``[T, 4]``), coloured by time."""
        pictures.draw(axes, self.layout, self.task, self._goals if task is None else self._goals[[task]], trajectories)
        return True

    def visited(self, trajectory: Array) -> Array:
        """Which free cells, row by row, a trajectory ``[T, 4]`` entered."""
        entered = np.zeros_like(self.layout)
        entered[tuple(np.floor(trajectory[:, :2] - pictures.CORNER).astype(np.int64).T)] = True
        return entered[~self.layout]

    def film(self, trajectory: Array) -> Array:
        """Frames ``[F, height, width, 3]`` uint8 of one trajectory ``[T, 4]``, at most 150."""
        return pictures.film(self.layout, self.task, trajectory)


def make(config: MazeConfig, seeds: Sequence[int]) -> MazeEnv:
    """The environment that options describe, with one world per seed.

    Raises:
        InputError: if there is no such task, or there are several and images, which show goals.
    """
    pursued, names = tasks.pursue(config)
    if config.images and names is not None:
        raise InputError("env.images shows where the goal is, so it needs one task, not a distribution of them")
    physics = _physics(config, pursued[0], len(seeds))
    return MazeEnv(pursued, seeds, physics, config.reject_walls, config.images, names)


def _physics(config: MazeConfig, task: MazeTask, num_worlds: int) -> Physics:
    layout = layouts.named(task.layout)
    if config.backend == "twin":
        return PointMass(layout[None])
    from envs.maze.mjcf import MuJoCoPointMass  # only this backend pays for importing MuJoCo

    return MuJoCoPointMass(layout, num_worlds)
