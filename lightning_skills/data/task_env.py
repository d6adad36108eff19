"""Worlds that take up episodes of tasks from a queue."""

from collections import deque
from collections.abc import Sequence

import numpy as np
import torch
from tensordict import TensorDict, TensorDictBase
from torchrl.data import Unbounded

from lightning_skills.data.batch_env import BatchEnv
from lightning_skills.data.skill_env import Array, SkillEnv, SkillExecution


class TaskEnv(SkillEnv):
    """A SkillEnv whose worlds begin, at a reset, an episode of the task that has waited longest, or stand still.

    A transition tells its ``task`` ``[N, 1]``.

    Args:
        env: The worlds.
        execution: How an action is executed.
    """

    def __init__(self, env: BatchEnv, execution: SkillExecution) -> None:
        super().__init__(env, execution)
        worlds, tasks = env.num_worlds, env.info.task_count
        self.observation_spec["task"] = Unbounded(shape=(worlds, 1), dtype=torch.int64)
        self.parked[:] = True
        self._waiting: deque[int] = deque()
        self._wanted = np.zeros(tasks, dtype=np.int64)

    def ask(self, tasks: Sequence[int], episodes: int, transitions: int) -> None:
        """Queue episodes of each task; more follow until they have given at least so many transitions."""
        self._waiting.extend(list(tasks) * episodes)
        self._wanted[list(tasks)] = transitions

    def _step(self, tensordict: TensorDictBase) -> TensorDict:
        np.subtract.at(self._wanted, self.worlds.task_index[~self.parked], 1)
        return super()._step(tensordict)

    def _begin(self, worlds: Array) -> None:
        ended = self.worlds.task_index[worlds[~self.parked[worlds]]]
        self._waiting.extend(ended[self._wanted[ended] > 0].tolist())
        going = worlds[: len(self._waiting)]
        self.parked[worlds], self.parked[going] = True, False
        mask = np.zeros(self.worlds.num_worlds, dtype=bool)
        mask[going] = True
        self._observation = self.worlds.reset(mask, np.array([self._waiting.popleft() for _ in going], dtype=np.int64))

    def _tensors(self, frames: Array, success: Array, terminated: Array, truncated: Array) -> TensorDict:
        tensors = super()._tensors(frames, success, terminated, truncated)
        return tensors.set("task", torch.tensor(self.worlds.task_index)[:, None])
