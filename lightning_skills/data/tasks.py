"""Tasks -> episodes -> one replay buffer of all tasks -> batches of contexts and transitions."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from tensordict import TensorDict, TensorDictBase

from lightning_skills.data.acting import Acting
from lightning_skills.data.batch_env import BatchEnv
from lightning_skills.data.collected import CollectedData
from lightning_skills.data.task_env import TaskEnv
from lightning_skills.data.task_replay import TaskReplay
from lightning_skills.errors import InputError
from lightning_skills.phases.base import CollectEpisodes, Update, UpdateTasks
from lightning_skills.phases.meta_train import MetaTrainModule
from lightning_skills.ranks import share

MEMORY = "memory"
MAX_WORLDS = 100
"""Of a phase that meta-trains and of its evaluation, by default."""


class TaskActing(Acting):
    """A meta-learner that acts in worlds which take up one task after another.

    ``memory`` is what it may look into when an episode begins; the caller puts into it what is worth it.

    Args:
        module: The phase.
        env: The worlds.
    """

    def __init__(self, module: MetaTrainModule, env: BatchEnv) -> None:
        self._learner, self._tasks = module, TaskEnv(env, module.skill_execution())
        super().__init__(module, self._tasks, self._begin)
        self.memory = TaskReplay(env.info.task_count, module.views())
        self._given = ""

    def _begin(self, worlds: np.ndarray) -> TensorDict:
        tasks = torch.from_numpy(self._tasks.worlds.task_index[worlds])
        return self._learner.begin(self._given, tasks, self.memory)

    def run(self, collect: CollectEpisodes, tasks: list[int]) -> Iterator[TensorDictBase]:
        """Run the episodes of these tasks; yields the steps of all worlds ``[N]``, some of which may stand still."""
        self._given, self.actor.policy, self.actor.explore = collect.given, collect.policy, collect.explore
        self._tasks.ask(tasks, collect.episodes, collect.transitions)
        self.collector.reset()
        while not self._tasks.parked.all():
            yield self.step()

    def remember(self, step: TensorDictBase, into: Sequence[str]) -> None:
        """Put the transitions of a step, of worlds that do not stand still, into some views of the memory."""
        if into:
            moved = step[step["next", "frames"].squeeze(1) > 0]
            self.memory.extend(moved["task"].squeeze(1), self.transitions(moved), into)


class TaskData(CollectedData):
    """Feeds a meta-training phase: runs the episodes that the plan asks for and samples batches of tasks.

    Rank r of R has the tasks r, r + R, ... to train on: it collects for them and draws them, with replacement. In an
    env of one task every rank has that, and runs its share of the episodes.

    Args:
        module: The phase.
        env: The worlds of this rank.
        rank: Which one it is.

    Raises:
        InputError: if there are fewer tasks than ranks.
    """

    def __init__(self, module: MetaTrainModule, env: BatchEnv, rank: int = 0) -> None:
        tasks, ranks = env.info.tasks, module.context.world_size
        self.own = torch.zeros(1, dtype=torch.int64) if tasks is None else torch.arange(rank, len(tasks.train), ranks)
        self._sharers = ranks if tasks is None else 1
        if tasks is not None and not len(self.own):
            raise InputError(f"{len(tasks.train)} tasks to train on cannot be shared by {ranks} processes")
        self._learner, self._tasks = module, TaskActing(module, env)
        self.memory = self._tasks.memory
        super().__init__(module, self._tasks, {MEMORY: self.memory})

    def collect(self, collect: CollectEpisodes) -> None:
        """Run this rank's episodes."""
        tasks = [task for task in collect.tasks if task in self.own]
        episodes, transitions = (-(-count // self._sharers) for count in (collect.episodes, collect.transitions))
        own = replace(collect, episodes=episodes, transitions=transitions)
        for view in collect.clear:
            self.memory.views[view].clear(tasks)
        frames = [self._keep(step, collect.into) for step in self._tasks.run(own, tasks)]
        before = self.module.transitions
        self.count(np.concatenate([np.zeros(0, dtype=np.int64), *frames]), collect.counted)
        self._learner.collected(collect, self.module.transitions - before, self.memory)

    def _keep(self, step: TensorDictBase, into: tuple[str, ...]) -> np.ndarray:
        """Account for a step and remember it; returns the frames ``[n]`` of worlds that do not stand still."""
        self.account(step)
        self._tasks.remember(step, into)
        frames = step["next", "frames"].squeeze(1)
        return frames[frames > 0].numpy()

    def sample(self, update: UpdateTasks | Update) -> TensorDict:
        """Tasks drawn in groups: ``task`` ``[G]``, ``transitions`` ``[G, B]``, and of group i its ``context_<i>``.

        Without groups, every task of this rank once.

        For an :class:`Update`, whose source is a view, transitions ``[B]`` of the only task.
        """
        if isinstance(update, Update):
            return self.memory.sample(self.own, self.items(update), update.source)[0]
        ranks = self.module.context.world_size
        counts = [share(count, ranks, "a group of {} tasks") for count in update.groups]
        tasks = [self.own[torch.randint(len(self.own), (count,))] for count in counts]
        keys = self._learner.context_keys
        contexts = {
            f"context_{index}": self.memory.sample(group, items, update.context_view, keys)
            for index, (group, items) in enumerate(zip(tasks, update.contexts, strict=True))
        }
        task = torch.cat(tasks) if tasks else self.own
        transitions = self.memory.sample(task, update.batch_size, update.view)
        return TensorDict({"task": task, "transitions": transitions, **contexts})
