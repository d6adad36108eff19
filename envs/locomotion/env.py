"""The locomotion environments on MuJoCo's batch: PEARL's rewards for gymnasium's robots."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import mujoco
import numpy as np

from envs.batch import MuJoCoBatch, usable_threads
from envs.locomotion import models, pictures, point, tasks
from envs.locomotion.config import LocomotionConfig
from envs.locomotion.families import FAMILIES
from envs.locomotion.parameters import Parameters
from envs.locomotion.point import PointEnv
from envs.locomotion.rewards import Step
from envs.locomotion.tasks import LocomotionTask
from lightning_skills.data.batch_env import Array, EnvInfo, Observation, State, TaskDistribution
from lightning_skills.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HORIZON = 200
"""Steps of an episode."""


class LocomotionEnv(MuJoCoBatch):
    """N robots of one kind, each with a task of one family.

    An action in [-1, 1] is a share of what each motor may do. Observations, rewards and ends are those of
    :data:`envs.locomotion.families.FAMILIES`. No family has a notion of success.

    Args:
        pursued: The tasks, all of one family.
        seeds: One per world.
        horizon: Steps of an episode.
        threads: Native threads; they do not change what happens.
        names: Of the tasks, if there are several.
    """

    def __init__(
        self,
        pursued: Sequence[LocomotionTask],
        seeds: Sequence[int],
        horizon: int = HORIZON,
        threads: int = 1,
        names: TaskDistribution | None = None,
    ) -> None:
        self._name = pursued[0].family
        self.family = FAMILIES[self._name]
        self.model = models.load(self.family.robot)
        super().__init__(self.model, seeds, threads)
        self._goals = np.array([task.goal for task in pursued])
        self._parameters = self._expanded() if self.family.randomised else None
        self._seconds = self.family.robot.substeps * self.model.opt.timestep
        self._stage = mujoco.mjtStage.mjSTAGE_ACC if self.family.robot.fields else mujoco.mjtStage.mjSTAGE_NONE
        for name in self.family.robot.fields:
            self.batch.bind(name)  # a field is filled from the first call on that follows
        observed = self.family.observe(self.batch.bind).shape[1:]
        self.info = EnvInfo({"observation": observed}, action_dim=self.model.nu, horizon=horizon, tasks=names)
        self.reset()

    def _expanded(self) -> Parameters:
        return Parameters(self.batch, self.model, len(tasks.DISTRIBUTIONS[self._name]))

    def _reset(self, worlds: Array) -> None:
        self._randomise(worlds)
        self.batch.reset(worlds, stage=mujoco.mjtStage.mjSTAGE_NONE)
        for world in worlds:
            self._start(world)
        self.batch.forward(worlds, stage=self._stage)

    def _randomise(self, worlds: Array) -> None:
        if self._parameters is not None:
            self._parameters.apply(worlds, self._goals[self.task_index[worlds], 0].astype(np.int64))

    def _start(self, world: int) -> None:
        rng, noise = self.rngs[world], self.family.robot.noise
        self.batch.bind("qpos")[world] += rng.uniform(-noise, noise, self.model.nq)
        velocity = rng.standard_normal if self.family.robot.gaussian else lambda size: rng.uniform(-1.0, 1.0, size)
        self.batch.bind("qvel")[world] = noise * velocity(self.model.nv)

    def _step(self, action: Array, worlds: Array) -> tuple[Array, Array, Array]:
        before = self.family.position(self.batch.bind)[worlds]
        control = self.model.actuator_ctrlrange[:, 1] * action.astype(np.float64)
        self.batch.bind("ctrl")[worlds] = control
        self.batch.step(worlds, nstep=self.family.robot.substeps, stage=self._stage)
        velocity = (self.family.position(self.batch.bind)[worlds] - before) / self._seconds
        goal = self._goals[self.task_index[worlds]]
        step = Step(lambda name: self.batch.bind(name)[worlds], velocity, control, goal)
        return self.family.reward(step), self.family.ends(step), np.zeros(len(worlds), dtype=bool)

    def _observe(self) -> Observation:
        return {"observation": self.family.observe(self.batch.bind).astype(np.float32)}

    def _set_state(self, state: State) -> None:
        self._randomise(self._all)
        super()._set_state(state)
        self.batch.forward(stage=self._stage)

    def draw(self, axes: "Axes", trajectories: Sequence[Array], task: int | None = None) -> bool:
        """Draw the ways, or of a robot in a plane the speeds, of trajectories (each ``[T, S]``), and the goals."""
        goals = self._goals if task is None else self._goals[[task]]
        pictures.draw(axes, self._name, goals, trajectories, self._seconds)
        return True


def make(config: LocomotionConfig, seeds: Sequence[int]) -> LocomotionEnv | PointEnv:
    """The environment that options describe, with one world per seed.

    Raises:
        InputError: if there is no such task, or it has no dense reward beside its own, or no radius.
    """
    pursued, names = tasks.pursue(config)
    family = pursued[0].family
    if config.dense and family != point.SPARSE:
        raise InputError(f"env.dense=true: {config.task!r} has one reward; only {point.SPARSE} has two")
    if config.radius and family != point.SPARSE:
        raise InputError(f"env.radius={config.radius}: {config.task!r} has no radius; only {point.SPARSE} has one")
    if family not in FAMILIES:
        radius = config.radius or point.RADIUS
        return PointEnv(pursued, seeds, config.horizon or point.HORIZON, config.dense, radius, names)
    threads = config.threads or usable_threads(len(seeds))
    return LocomotionEnv(pursued, seeds, config.horizon or HORIZON, threads, names)
