"""Episodes of a phase's policy in worlds of their own."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lightning_skills.data.acting import Actor
from lightning_skills.data.batch_env import BatchEnv
from lightning_skills.data.skill_env import SkillEnv
from lightning_skills.files import whole
from lightning_skills.phases.base import PhaseModule

MakeEnv = Callable[[Sequence[int]], BatchEnv]


@dataclass(frozen=True)
class Rollouts:
    """What E episodes gave.

    Args:
        returns: Undiscounted sum of rewards ``[E]``.
        success: Whether the task was solved at any step ``[E]``.
        frames: Primitive steps ``[E]``.
        trajectories: State vectors of each episode, ``[frames + 1, S]``.
        explored: Whether the policy sampled.
        info: What the env reports of each at its end, by name, each ``[E]``.
    """

    returns: np.ndarray
    success: np.ndarray
    frames: np.ndarray
    trajectories: list[np.ndarray]
    explored: bool = field(kw_only=True)
    info: Mapping[str, np.ndarray] = field(default_factory=dict, kw_only=True)

    def save(self, path: Path) -> None:
        """Write the trajectories to an ``.npz`` file, one array per episode."""
        arrays: dict[str, Any] = {str(index): states for index, states in enumerate(self.trajectories)}
        with whole(path) as beside, beside.open("wb") as file:
            np.savez_compressed(file, **arrays)

    def metrics(self) -> dict[str, float]:
        """Means over the episodes."""
        return {
            "eval/return": float(self.returns.mean()),
            "eval/success": float(self.success.mean()),
            "eval/episode_frames": float(self.frames.mean()),
            **{f"eval/{name}": float(values.mean()) for name, values in self.info.items()},
        }

    def details(self) -> dict[str, Any]:
        """What every episode gave, as plain values."""
        info = {name: values.tolist() for name, values in self.info.items()}
        return {"returns": self.returns.tolist(), "success": self.success.tolist(), **info}


def rollout(
    module: PhaseModule, make_env: MakeEnv, episodes: int, seed: int, explore: bool, policy: str = "act"
) -> Rollouts:
    """Run episodes side by side, one world each. Training's random streams are left as they were.

    Args:
        module: Acts; its mode (training or not) is put back.
        make_env: Makes one world per seed.
        episodes: How many.
        seed: Of the worlds and of the policy's sampling.
        explore: Whether the policy samples.
        policy: Name of the acting method.
    """
    seeds = np.random.SeedSequence(seed).generate_state(episodes).tolist()
    with evaluating(module, seed):
        return _run(SkillEnv(make_env(seeds), module.skill_execution()), module, policy, explore)


@contextmanager
def evaluating(module: PhaseModule, seed: int) -> Iterator[None]:
    """Puts the module into eval mode and seeds torch's random streams; afterwards mode and streams are as before."""
    training = module.training
    module.eval()
    try:
        with torch.random.fork_rng(), torch.no_grad():
            torch.manual_seed(seed)
            yield
    finally:
        module.train(training)


def _run(env: SkillEnv, module: PhaseModule, policy: str, explore: bool) -> Rollouts:
    episodes = env.worlds.num_worlds
    actor = Actor(module, env, policy, explore)
    returns, success, frames = np.zeros(episodes), np.zeros(episodes, dtype=bool), np.zeros(episodes, dtype=np.int64)
    info = {name: np.zeros(episodes) for name in env.worlds.episode_info()}
    env.recording = []
    step = env.reset()
    while not env.parked.all():
        step = env.step(actor(step))["next"]
        reward, solved, length, done = (step[key].squeeze(1).numpy() for key in ("reward", "success", "frames", "done"))
        returns += reward
        success |= solved
        frames += length
        for name, values in env.worlds.episode_info().items():
            info[name][~env.parked] = values[~env.parked]
        env.parked |= done
    recorded = np.stack(env.recording)
    trajectories = [recorded[: length + 1, i] for i, length in enumerate(frames)]
    return Rollouts(returns, success, frames, trajectories, explored=explore, info=info)
