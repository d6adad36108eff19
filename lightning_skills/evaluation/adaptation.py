"""How a meta-learner adapts to tasks that it was not trained on."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from lightning_skills.data.tasks import TaskActing
from lightning_skills.evaluation.rollouts import MakeEnv, save_trajectories
from lightning_skills.phases.base import CollectEpisodes
from lightning_skills.phases.meta_train import MetaTrainModule

MAX_WORLDS = 100
COLUMNS = {
    "task": "task",
    "before": "observation",
    "after": ("next", "observation"),
    **{name: ("next", name) for name in ("reward", "success", "frames", "done")},
}


@dataclass(frozen=True)
class Episode:
    """One episode of a task.

    Args:
        task: Its index.
        reward: Undiscounted return.
        success: Whether the task was solved at any step.
        frames: Primitive steps.
        states: ``[n + 1, S]``, the state vectors before, between and after its n (skill) transitions.
    """

    task: int
    reward: float
    success: bool
    frames: int
    states: np.ndarray


@dataclass(frozen=True)
class Adaptation:
    """The episodes of a meta-learner that adapts to each of T tasks.

    Args:
        tasks: Their names.
        stages: For each stage the episodes of each task, in the order in which they ended.
    """

    tasks: Sequence[str]
    stages: Sequence[Sequence[Sequence[Episode]]]

    @property
    def returns(self) -> np.ndarray:
        """Returns ``[T, E]`` of all stages, one after another."""
        return np.array([[episode.reward for stage in self.stages for episode in stage[i]] for i in self._indices])

    @property
    def _indices(self) -> range:
        return range(len(self.tasks))

    def metrics(self) -> dict[str, float]:
        """Means over tasks and episodes of the last stage, and of the first for comparison."""
        before, after = ([episode for each in stage for episode in each] for stage in (self.stages[0], self.stages[-1]))
        return {
            "eval/return": float(np.mean([episode.reward for episode in after])),
            "eval/success": float(np.mean([episode.success for episode in after])),
            "eval/episode_frames": float(np.mean([episode.frames for episode in after])),
            "eval/return_before": float(np.mean([episode.reward for episode in before])),
        }

    def save(self, path: Path) -> None:
        """Write the states of the last episode of each task to an ``.npz`` file."""
        save_trajectories(path, [episodes[-1].states for episodes in self.stages[-1]])


def adapt(module: MetaTrainModule, make_env: MakeEnv, seed: int) -> Adaptation:
    """Adapt to every task to test on, side by side. Training's random streams are left as they were.

    Args:
        module: Acts; its mode (training or not) is put back.
        make_env: Makes one world per seed.
        seed: Of the worlds and of the policy's sampling.
    """
    plan = module.adaptation()
    worlds = min(max(len(stage.tasks) * stage.episodes for stage in plan), MAX_WORLDS)
    env = make_env(np.random.SeedSequence(seed).generate_state(worlds).tolist())
    tasks = env.info.tasks
    assert tasks is not None
    training = module.training
    module.eval()
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        acting = TaskActing(module, env)
        stages = [_run(acting, stage) for stage in plan]
    module.train(training)
    return Adaptation(tasks.test, stages)


def _run(acting: TaskActing, collect: CollectEpisodes) -> list[list[Episode]]:
    """The episodes of each task of a stage."""
    steps = []
    for step in acting.run(collect, list(collect.tasks)):
        steps.append({name: step[key].squeeze(-1).numpy() for name, key in COLUMNS.items()})
        moved = step[step["next", "frames"].squeeze(1) > 0]
        acting.memory.extend(moved["task"].squeeze(1), acting.transitions(moved), collect.into)
    columns = {name: np.stack([step[name] for step in steps]) for name in COLUMNS}
    episodes = sorted(_episodes(columns), key=lambda pair: pair[0])
    return [[episode for _, episode in episodes if episode.task == task] for task in collect.tasks]


def _episodes(columns: Mapping[str, np.ndarray]) -> Iterator[tuple[int, Episode]]:
    """Every episode and the step with which it ended; a column holds steps and worlds ``[S, N, ...]``."""
    for world in range(columns["done"].shape[1]):
        first = 0
        for last in np.flatnonzero(columns["done"][:, world]).tolist():
            own = {name: column[first : last + 1, world] for name, column in columns.items()}
            states = np.concatenate([own["before"], own["after"][-1:]])
            solved, reward, frames = own["success"].any(), own["reward"].sum(), own["frames"].sum()
            yield last, Episode(int(own["task"][0]), float(reward), bool(solved), int(frames), states)
            first = last + 1
