"""Environment -> TorchRL collector -> replay buffers -> batches."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from tensordict import TensorDict, TensorDictBase
from torch import Tensor
from torch.utils.data import DataLoader
from torchrl.collectors import Collector

from lightning_skills.data.ahead import Ahead
from lightning_skills.data.batch_env import BatchEnv
from lightning_skills.data.plan import PlanStream
from lightning_skills.data.replay import Replay
from lightning_skills.data.skill_env import SkillEnv
from lightning_skills.phases.base import Collect, PhaseModule, Update
from lightning_skills.ranks import total

RECENT_EPISODES = 100
EPISODE_METRICS = ("train/return", "train/success", "train/episode_frames")


class Actor:
    """A phase's acting method as a TorchRL policy; it carries the acting state of every world.

    Args:
        module: The phase.
        env: The worlds it acts in.
        policy: Name of the acting method.
        explore: Whether it samples.
    """

    def __init__(self, module: PhaseModule, env: SkillEnv, policy: str = "act", explore: bool = True) -> None:
        self._module, self._env = module, env
        self.policy, self.explore = policy, explore
        self.when_chosen: Callable[[], None] = lambda: None
        self.state = module.initial_state(env.worlds.num_worlds)

    @torch.no_grad()
    def __call__(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Add ``action`` and whatever the policy wants stored with the transition."""
        device = self._module.device
        observation = TensorDict(
            {key: tensordict[key].to(device) for key in self._env.worlds.info.observation_shapes},
            batch_size=tensordict.batch_size,
        )
        action, state, extras = getattr(self._module, self.policy)(observation, self._started(), self.explore)
        self.state = state
        tensordict.set("action", action.cpu())
        tensordict.update(extras.cpu())
        self.when_chosen()
        return tensordict

    def _started(self) -> TensorDict:
        fresh = torch.from_numpy(self._env.worlds.elapsed == 0)
        if not self.state.is_empty() and fresh.any():
            self.state[fresh] = self._module.initial_state(int(fresh.sum()))
        return self.state


class Episodes:
    """Running returns of N worlds and the last finished episodes."""

    def __init__(self, worlds: int) -> None:
        self.running = np.zeros((worlds, 3))
        self.recent: deque[tuple[float, float, float]] = deque(maxlen=RECENT_EPISODES)

    def add(self, reward: np.ndarray, success: np.ndarray, frames: np.ndarray, done: np.ndarray) -> None:
        """Account for one transition of each world, all arguments ``[N]``."""
        self.running[:, 0] += reward
        self.running[:, 1] = np.maximum(self.running[:, 1], success)
        self.running[:, 2] += frames
        self.recent.extend(tuple(row) for row in self.running[done].tolist())
        self.running[done] = 0

    def metrics(self) -> dict[str, float]:
        """Means over the recent episodes of all ranks: return, success rate, length in primitive steps."""
        rows = torch.tensor([(*row, 1.0) for row in self.recent], dtype=torch.float64).reshape(-1, 4)
        *sums, count = total(rows.sum(0)).tolist()
        if not count:
            return {}
        return {key: value / count for key, value in zip(EPISODE_METRICS, sums, strict=True)}


class OnlineData(LightningDataModule):
    """Feeds an online phase: runs the collector when the plan says so and samples what it gathered.

    Args:
        module: The phase.
        env: The worlds of this rank.
        ahead: Whether the worlds step in the background while the learner updates.
    """

    def __init__(self, module: PhaseModule, env: BatchEnv, ahead: bool = False) -> None:
        super().__init__()
        self.stream = PlanStream(module, self.sample, self.collect)
        self.module = module
        self.skill_env = SkillEnv(env, module.skill_execution())
        self.actor = Actor(module, self.skill_env)
        self.collector = Collector(
            self.skill_env,
            self.actor,
            frames_per_batch=env.num_worlds,
            total_frames=-1,
            use_buffers=False,
            track_traj_ids=False,
        )
        self._ahead = Ahead(self.collector.rollout) if ahead else None
        if self._ahead is not None:
            self.actor.when_chosen = self._ahead.chosen
        self.replays = {name: Replay(capacity) for name, capacity in module.capacities().items()}
        self.episodes = Episodes(env.num_worlds)

    def train_dataloader(self) -> DataLoader:
        """The plan's batches."""
        return self.stream.loader()

    def sample(self, update: Update) -> TensorDict:
        """A batch of single transitions; this rank's share of the whole."""
        if update.window != 1:
            raise NotImplementedError("windows are sampled from recorded trajectories only")
        return self.replays[update.source].sample(self.module.share(update))

    def collect(self, collect: Collect) -> None:
        """Add this rank's share of the transitions, a whole number of steps of all worlds."""
        worlds = self.skill_env.worlds.num_worlds
        self.actor.policy = collect.policy
        steps = -(-collect.transitions // (worlds * self.module.context.world_size))
        for _ in range(steps):
            self._collect_step(collect.into)

    def _collect_step(self, into: str) -> None:
        step = (self._ahead or self.collector).rollout().squeeze(1)
        following = step["next"]
        columns = [following[key].squeeze(1).numpy() for key in ("reward", "success", "frames", "done")]
        self.episodes.add(*columns)
        keys = [*self.skill_env.worlds.info.observation_shapes, "reward", "terminated", "frames"]
        transitions = step.exclude("next", "done", "terminated", "truncated", "frames", "success")
        transitions = transitions.set("next", following.select(*keys))
        with torch.no_grad():
            self.replays[into].extend(self.module.annotate(transitions))
        frames, count = total(torch.tensor([int(columns[2].sum()), len(columns[2])])).tolist()
        self.module.env_frames += frames
        self.module.transitions += count

    def teardown(self, stage: str) -> None:
        """Lightning's hook: end what runs in the background."""
        if self._ahead is not None:
            self._ahead.close()

    def save(
        self, folder: Path, previous: tuple[Path, dict[str, int]] | None
    ) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Write the buffers into ``folder`` and return the rest of this rank's state as plain values and tensors.

        Args:
            folder: New folder of this rank.
            previous: Its folder in the last checkpoint and how much each buffer had been written then.
        """
        pending = None if self._ahead is None else self._ahead.pending()  # before all else, which it changes
        for name, replay in self.replays.items():
            old = None if previous is None else previous[0] / name
            replay.save(folder / name, old, 0 if previous is None else previous[1][name])
        state = {
            "written": {name: replay.written for name, replay in self.replays.items()},
            "running": self.episodes.running.tolist(),
            "recent": list(self.episodes.recent),
        }
        tensors = {f"env/{key}": torch.from_numpy(value) for key, value in self.skill_env.get_state().items()}
        parts = {"carrier": self.collector._carrier, "acting": self.actor.state, "pending": pending}
        for part, tensordict in parts.items():
            if tensordict is None:
                continue
            tensors |= {f"{part}/{key}": value for key, value in tensordict.flatten_keys("/").items()}
        return state, tensors

    def restore(self, state: dict[str, Any], tensors: Mapping[str, Tensor], folder: Path) -> None:
        """Inverse of :meth:`save`."""
        for name, replay in self.replays.items():
            replay.load(folder / name, state["written"][name])
        self.episodes.running = np.array(state["running"])
        self.episodes.recent.extend(tuple(row) for row in state["recent"])
        parts: dict[str, dict[str, Tensor]] = {"env": {}, "carrier": {}, "acting": {}, "pending": {}}
        for key, value in tensors.items():
            part, _, name = key.partition("/")
            if part in parts:
                parts[part][name] = value.clone()  # a file's memory is not aligned as torch's own
        self.skill_env.set_state({key: value.numpy() for key, value in parts["env"].items()})
        worlds = [self.skill_env.worlds.num_worlds]
        self.collector._carrier = TensorDict(parts["carrier"], batch_size=worlds).unflatten_keys("/")
        self.actor.state = TensorDict(parts["acting"], batch_size=worlds).unflatten_keys("/")
        if self._ahead is not None and parts["pending"]:
            self._ahead.resume(TensorDict(parts["pending"], batch_size=[*worlds, 1]).unflatten_keys("/"))

    def deal(self, folders: Sequence[Path], written: Sequence[Mapping[str, int]], rank: int) -> None:
        """Take this rank's part of the transitions of other ranks; the worlds begin new episodes.

        Args:
            folders: Of all ranks that wrote the checkpoint.
            written: How much each had written into each buffer.
            rank: This one.
        """
        for name, replay in self.replays.items():
            shards = [
                Replay(replay.capacity).load(folder / name, each[name])
                for folder, each in zip(folders, written, strict=True)
            ]
            replay.deal(shards, rank, self.module.context.world_size)
