"""Recorded trajectories as batches of windows."""

from collections.abc import Sequence

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from tensordict import TensorDict
from torch import Tensor
from torch.utils.data import DataLoader

from lightning_skills.data.plan import PlanStream
from lightning_skills.data.trajectories import Dataset
from lightning_skills.errors import InputError
from lightning_skills.phases.base import PhaseModule, Update


def _tensor(array: np.ndarray) -> Tensor:
    """A copy in memory; floats of any width become float32, which the networks compute in."""
    floating = np.issubdtype(array.dtype, np.floating)
    return torch.from_numpy(array.astype(np.float32 if floating else array.dtype, copy=True))


class OfflineData(LightningDataModule):
    """Feeds an offline phase: every update of its plan gets windows of consecutive rows.

    A window is drawn as SPiRL's authors do: a trajectory uniformly (whatever its length), then a start uniformly. Draws
    are with replacement. All data lie in memory as one flat tensor per key, so a batch is one gather.

    Args:
        module: The phase.
        dataset: The trajectories.

    Attributes:
        digest: Of the trajectories.

    Raises:
        InputError: if no trajectory is as long as the windows of the phase's plan.
    """

    def __init__(self, module: PhaseModule, dataset: Dataset) -> None:
        super().__init__()
        self.stream = PlanStream(module, self.sample)
        self._module = module
        self._path, self.digest = dataset.path, dataset.digest
        self._steps = {key: _tensor(array) for key, array in dataset.steps.items()}
        self._lengths = torch.from_numpy(np.array(dataset.lengths))
        self._starts = torch.from_numpy(dataset.starts)
        self._check_windows([item.window for item in module.plan() if isinstance(item, Update)])

    def train_dataloader(self) -> DataLoader:
        """The plan's batches."""
        return self.stream.loader()

    def sample(self, update: Update) -> TensorDict:
        """A batch ``[batch_size, window]`` of all step keys; this rank's share of the whole."""
        items = self._module.share(update)
        usable = (self._lengths >= update.window).nonzero().squeeze(1)
        chosen = usable[torch.randint(len(usable), (items,))]
        room = self._lengths[chosen] - update.window + 1
        start = self._starts[chosen] + (torch.rand(items, dtype=torch.float64) * room).long()
        rows = start[:, None] + torch.arange(update.window)
        return TensorDict({key: values[rows] for key, values in self._steps.items()}, batch_size=[items, update.window])

    def _check_windows(self, windows: Sequence[int]) -> None:
        longest = int(self._lengths.max())
        if windows and max(windows) > longest:
            raise InputError(
                f"data set {self._path}: the longest trajectory has {longest} rows, windows need {max(windows)}"
            )
