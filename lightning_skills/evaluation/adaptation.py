"""How a meta-learner adapts to tasks that it was not trained on."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lightning_skills.data.tasks import MAX_WORLDS, TaskActing
from lightning_skills.evaluation.rollouts import MakeEnv, Rollouts, evaluating
from lightning_skills.phases.base import CollectEpisodes
from lightning_skills.phases.meta_train import MetaTrainModule

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
        embedding: What the policy knew of the task, ``[d]``; d is 0 of a module that does not say.
    """

    task: int
    reward: float
    success: bool
    frames: int
    states: np.ndarray
    embedding: np.ndarray


@dataclass(frozen=True)
class Adaptation(Rollouts):
    """The episodes of a meta-learner that adapts to each of T tasks: as rollouts, those of the last stage.

    Args:
        tasks: Names of the tasks.
        curves: Returns ``[T, E]`` of the episodes of all stages, one after another, each stage in the order in which
            they began: in that of their ends, solved ones, which are short, would come first.
        first: How many of these belong to the first stage.
        before: State vectors of the first stage's episodes, ``[n + 1, S]`` each, by task; none if that is the last.
        embeddings: By task, what the policy knew of it in the episodes of the last stage; none of a module that does
            not say.
    """

    tasks: Sequence[str]
    curves: np.ndarray
    first: int
    before: Sequence[np.ndarray]
    embeddings: Mapping[str, list[list[float]]]

    def metrics(self) -> dict[str, float]:
        """Means over tasks and episodes of the last stage, and the return in the first, before anything was known."""
        return {**super().metrics(), "eval/return_before": float(self.curves[:, : self.first].mean())}

    def details(self) -> dict[str, Any]:
        """The returns of each task, episode by episode, and the embeddings of its last stage."""
        curves = dict(zip(self.tasks, self.curves.tolist(), strict=True))
        known = {"embeddings": dict(self.embeddings)} if self.embeddings else {}
        return {**super().details(), "adaptation": curves, **known}


def adapt(module: MetaTrainModule, make_env: MakeEnv, seed: int, explore: bool = True) -> Adaptation:
    """Adapt to every task to test on, side by side. Training's random streams are left as they were.

    Args:
        module: Acts; its mode (training or not) is put back.
        make_env: Makes one world per seed.
        seed: Of the worlds and of the policy's sampling.
        explore: Whether the policy may sample, where the module's protocol does.
    """
    tasks = module.context.env.tasks
    assert tasks is not None
    plan = [replace(stage, explore=stage.explore and explore) for stage in module.adaptation()]
    worlds = min(max(len(stage.tasks) * stage.episodes for stage in plan), MAX_WORLDS)
    env = make_env(np.random.SeedSequence(seed).generate_state(worlds).tolist())
    with evaluating(module, seed):
        acting = TaskActing(module, env)
        stages = [_run(module, acting, stage) for stage in plan]
    first, last = ([episode for episodes in stage for episode in episodes] for stage in (stages[0], stages[-1]))
    known = {name: [each.embedding.tolist() for each in own] for name, own in zip(tasks.test, stages[-1], strict=True)}
    per_task = zip(*stages, strict=True)
    return Adaptation(
        returns=np.array([episode.reward for episode in last]),
        success=np.array([episode.success for episode in last]),
        frames=np.array([episode.frames for episode in last]),
        trajectories=[episode.states for episode in last],
        explored=plan[-1].explore,
        tasks=tasks.test,
        curves=np.array([[episode.reward for stage in each for episode in stage] for each in per_task]),
        first=plan[0].episodes,
        before=[episode.states for episode in first] if len(stages) > 1 else [],
        embeddings=known if last[0].embedding.size else {},
    )


def _run(module: MetaTrainModule, acting: TaskActing, collect: CollectEpisodes) -> list[list[Episode]]:
    """The episodes of each task of a stage."""
    steps = []
    for step in acting.run(collect, list(collect.tasks)):
        known = module.embedding_of(acting.actor.state)
        embedding = np.zeros((len(step), 0)) if known is None else known.cpu().numpy().copy()
        steps.append({name: step[key].squeeze(-1).numpy() for name, key in COLUMNS.items()} | {"embedding": embedding})
        acting.remember(step, collect.into)
    columns = {name: np.stack([step[name] for step in steps]) for name in steps[0]}
    episodes = sorted(_episodes(columns), key=lambda pair: pair[0])
    return [[episode for _, episode in episodes if episode.task == task] for task in collect.tasks]


def _episodes(columns: Mapping[str, np.ndarray]) -> Iterator[tuple[int, Episode]]:
    """Every episode and the step with which it began; a column holds steps and worlds ``[S, N, ...]``."""
    for world in range(columns["done"].shape[1]):
        first = 0
        for last in np.flatnonzero(columns["done"][:, world]).tolist():
            own = {name: column[first : last + 1, world] for name, column in columns.items()}
            states = np.concatenate([own["before"], own["after"][-1:]])
            solved, reward, frames = own["success"].any(), own["reward"].sum(), own["frames"].sum()
            known = own["embedding"][-1]
            yield first, Episode(int(own["task"][0]), float(reward), bool(solved), int(frames), states, known)
            first = last + 1
