"""What feeds a phase that acts: its policy gathers transitions into buffers, and batches are drawn from them."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from tensordict import TensorDict, TensorDictBase
from torch import Tensor
from torch.utils.data import DataLoader

from lightning_skills.data.acting import Acting
from lightning_skills.data.episodes import Episodes
from lightning_skills.data.plan import PlanStream
from lightning_skills.phases.base import PhaseModule, Update
from lightning_skills.ranks import total


class CollectedData(LightningDataModule, ABC):
    """Base of the data modules that hold a collector and buffers.

    Args:
        module: The phase.
        acting: Its policy in the worlds of this rank.
        buffers: What transitions are kept in, by name, each a Replay or a TaskReplay.
    """

    def __init__(self, module: PhaseModule, acting: Acting, buffers: Mapping[str, Any]) -> None:
        super().__init__()
        self.stream = PlanStream(module, self.sample, self.collect)
        self.module, self.acting, self.buffers = module, acting, buffers
        self.episodes = Episodes(acting.env.worlds.num_worlds)

    @abstractmethod
    def sample(self, update: Any) -> TensorDict:
        """This rank's share of the batch of an update."""

    @abstractmethod
    def collect(self, collect: Any) -> None:
        """Gather this rank's share of transitions, and count those of all ranks."""

    def train_dataloader(self) -> DataLoader:
        """The plan's batches."""
        return self.stream.loader()

    def items(self, update: Update) -> int:
        """Single transitions of a batch that this rank samples.

        Raises:
            NotImplementedError: if they are to be windows.
        """
        if update.window != 1:
            raise NotImplementedError("windows are sampled from recorded trajectories only")
        return self.module.share(update)

    def account(self, step: TensorDictBase) -> None:
        """Add a step of all worlds ``[N]`` to the returns of their episodes."""
        keys = ("reward", "success", "frames", "done")
        self.episodes.add(*(step["next"][key].squeeze(1).numpy() for key in keys))

    def count(self, frames: np.ndarray, counted: bool = True) -> None:
        """Add transitions, of so many primitive frames each ``[n]``, or their frames alone, to all ranks' counters."""
        sums = total(torch.tensor([int(frames.sum()), len(frames) * counted])).tolist()
        self.module.env_frames += sums[0]
        self.module.transitions += sums[1]
        self.episodes.counted(self.module.env_frames)

    def save(
        self, folder: Path, previous: tuple[Path, dict[str, int]] | None
    ) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Write the buffers into ``folder`` and return the rest of this rank's state as plain values and tensors.

        Args:
            folder: New folder of this rank.
            previous: Its folder in the last checkpoint and how much each buffer had been written then.
        """
        for name, buffer in self.buffers.items():
            old = None if previous is None else previous[0] / name
            buffer.save(folder / name, old, 0 if previous is None else previous[1][name])
        written = {name: buffer.written for name, buffer in self.buffers.items()}
        return {"written": written, **self.episodes.state()}, self.acting.state()

    def restore(self, state: dict[str, Any], tensors: Mapping[str, Tensor], folder: Path) -> None:
        """Inverse of :meth:`save`."""
        for name, buffer in self.buffers.items():
            buffer.load(folder / name, state["written"][name])
        self.episodes.set_state(state)
        self.acting.set_state(tensors)

    def deal(
        self, folders: Sequence[Path], states: Sequence[dict[str, Any]], rank: int, seeds: np.random.SeedSequence
    ) -> None:
        """Take this rank's part of the transitions of other ranks; the worlds begin new episodes.

        Args:
            folders: Of all ranks that wrote the checkpoint.
            states: What each of them had saved as plain values.
            rank: This one; the first takes over what was not written down.
            seeds: Of its worlds.
        """
        for name, buffer in self.buffers.items():
            shards = [
                buffer.empty().load(folder / name, state["written"][name])
                for folder, state in zip(folders, states, strict=True)
            ]
            buffer.deal(shards, rank, self.module.context.world_size)
        if rank == 0:
            self.episodes.take_over(states)
        worlds = self.acting.env.worlds
        worlds.seed(seeds.spawn(1)[0].generate_state(worlds.num_worlds).tolist())
        self.acting.collector.reset()
