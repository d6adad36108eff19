"""The worlds of the sample env."""

from collections.abc import Sequence

import numpy as np

from lightning_skills.data.batch_env import BatchEnv, EnvInfo, TaskDistribution
from skills_sample.env import TargetConfig

GOALS = {"near": 0.3, "far": 0.8}
BOTH = TaskDistribution(train=("near", "far"), test=("near", "far"))


class TargetEnv(BatchEnv):
    """Position on a line; an action moves by at most 0.1; the reward is minus the distance to the goal."""

    def __init__(self, config: TargetConfig, seeds: Sequence[int]) -> None:
        super().__init__(seeds)
        tasks = BOTH if config.task == "both" else None
        self.info = EnvInfo({"observation": (1,)}, action_dim=1, horizon=config.horizon, tasks=tasks)
        names = (*tasks.train, *tasks.test) if tasks else (config.task,)
        self._goals = np.array([GOALS[name] for name in names])
        self._position = np.zeros((self.num_worlds, 1))

    def _reset(self, worlds):
        for world in worlds:
            self._position[world] = self.rngs[world].uniform(-0.1, 0.1)

    def _step(self, action, worlds):
        self._position[worlds] += 0.1 * action
        distance = np.abs(self._position[worlds, 0] - self._goals[self.task_index[worlds]])
        return -distance, np.zeros(len(worlds), dtype=bool), distance < 0.05

    def _observe(self):
        return {"observation": self._position.astype(np.float32)}

    def _get_state(self):
        return {"position": self._position.copy()}

    def _set_state(self, state):
        self._position = state["position"].copy()


def make(config: TargetConfig, seeds: Sequence[int]) -> TargetEnv:
    """Worlds of the sample env, one per seed."""
    return TargetEnv(config, seeds)
