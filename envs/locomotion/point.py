"""A point on a plane that should go to a place it is not told."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from envs.locomotion import pictures
from envs.locomotion.tasks import LocomotionTask
from lightning_skills.data.batch_env import Array, BatchEnv, EnvInfo, Observation, State, TaskDistribution

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DENSE, SPARSE = "point-robot", "sparse-point-robot"
HORIZON = 20
"""Steps of an episode."""
REACH = 0.1
"""The longest step along each axis."""
RADIUS = 0.2
"""Distance to the goal within which the sparse reward is paid, unless options say otherwise."""


class PointEnv(BatchEnv):
    """N points, each with a goal.

    ``point-robot`` starts anywhere in the square of side 2 around the origin and pays minus the distance to the goal.
    ``sparse-point-robot`` starts at the origin and pays one minus the distance within a radius, else 0; that
    is a success, which the other does not know. PEARL's critic learns from the dense reward there, its encoder from the
    sparse one: ``reward`` is one of them, and the dense one of the last step is observed as ``"dense_reward"``.

    Args:
        pursued: The tasks, all of one family.
        seeds: One per world.
        horizon: Steps of an episode.
        dense: Whether the sparse family pays the dense reward.
        radius: Distance to the goal within which the sparse family pays and succeeds.
        names: Of the tasks, if there are several.
    """

    def __init__(
        self,
        pursued: Sequence[LocomotionTask],
        seeds: Sequence[int],
        horizon: int = HORIZON,
        dense: bool = False,
        radius: float = RADIUS,
        names: TaskDistribution | None = None,
    ) -> None:
        super().__init__(seeds)
        self._name = pursued[0].family
        second = {"dense_reward": (1,)} if self._name == SPARSE else {}
        self.info = EnvInfo({"observation": (2,), **second}, action_dim=2, horizon=horizon, tasks=names)
        self.position = np.zeros((self.num_worlds, 2))
        self.dense_reward = np.zeros(self.num_worlds)
        """``[N]``, minus the distance to the goal after each world's last step; 0 before its first."""
        self._goals = np.array([task.goal for task in pursued])
        self._radius = radius
        self._pays_dense = dense or self._name == DENSE
        self.reset()

    def _reset(self, worlds: Array) -> None:
        self.position[worlds] = 0.0
        self.dense_reward[worlds] = 0.0
        if self._name == DENSE:
            for world in worlds:
                self.position[world] = self.rngs[world].uniform(-1.0, 1.0, 2)

    def _step(self, action: Array, worlds: Array) -> tuple[Array, Array, Array]:
        self.position[worlds] += REACH * action.astype(np.float64)
        to_goal = self.position[worlds] - self._goals[self.task_index[worlds]]
        distance = np.hypot(to_goal[:, 0], to_goal[:, 1])
        self.dense_reward[worlds] = -distance
        inside = distance <= self._radius
        reward = -distance if self._pays_dense else inside * (1.0 - distance)
        return reward, np.zeros(len(worlds), dtype=bool), inside & (self._name == SPARSE)

    def _observe(self) -> Observation:
        observed = {"observation": self.position, "dense_reward": self.dense_reward[:, None]}
        return {key: observed[key].astype(np.float32) for key in self.info.observation_shapes}

    def _get_state(self) -> State:
        return {"position": self.position.copy(), "dense_reward": self.dense_reward.copy()}

    def _set_state(self, state: State) -> None:
        self.position, self.dense_reward = state["position"].copy(), state["dense_reward"].copy()

    def draw(self, axes: "Axes", trajectories: Sequence[Array], task: int | None = None) -> bool:
        """Draw the ways of trajectories (each ``[T, 2]``) and the goals; one alone with its radius."""
        goals = self._goals if task is None else self._goals[[task]]
        if self._name == SPARSE and len(goals) == 1:
            pictures.draw_reach(axes, (goals[0, 0], goals[0, 1]), self._radius)
        pictures.draw(axes, self._name, goals, trajectories)
        return True
