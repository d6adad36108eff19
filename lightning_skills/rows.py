"""From per-update metrics to rows: averaged over a stretch of training, written to metrics.csv and MLflow."""

import math
import time
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from lightning_skills.csv_file import CsvFile
from lightning_skills.data.collected import CollectedData
from lightning_skills.errors import InputError
from lightning_skills.phases.base import PhaseModule
from lightning_skills.ranks import total

EPISODE_COLUMNS = ("phase", "episode", "env_frames", "return", "success")
"""Of ``episodes.csv``; episodes are counted from 0 in the order in which they ended."""


class Rows(Callback):
    """Cuts training into stretches of equal length and writes one row for each.

    Where a row is cut depends on the counters alone, so a resumed run writes the rows an undisturbed one would have.

    Args:
        phase: Name of the phase.
        csv: The run's metrics file; None on other ranks than 0.
        every: Length of a stretch, in env frames with ``data`` and in updates without.
        data: The online phase's data, for the returns of training episodes.
        episodes: The run's file of these, written with each row; None on other ranks than 0.
    """

    def __init__(
        self,
        phase: str,
        csv: CsvFile | None,
        every: int,
        data: CollectedData | None,
        episodes: CsvFile | None = None,
    ) -> None:
        self._phase, self._csv, self._every, self._data = phase, csv, every, data
        self._episodes, self._ended = episodes, 0
        self._sums: dict[str, Tensor] = {}
        self._count = 0
        self._stretch = 0
        self._clock = (time.monotonic(), 0)
        self.latest: dict[str, float] = {}

    def state(self) -> dict[str, Any]:
        """What is accumulated and not yet written, as plain values."""
        sums = {key: value.item() for key, value in self._sums.items()}
        on_disk = {"csv": self._csv.rows if self._csv else 0, "episodes": self._episodes.rows if self._episodes else 0}
        return {**on_disk, "ended": self._ended, "sums": sums, "count": self._count}

    def restore(self, state: dict[str, Any]) -> None:
        """Inverse of :meth:`state`; rows written after it was taken are dropped."""
        if self._csv is not None:
            self._csv.truncate(state["csv"], self._phase)
        if self._episodes is not None:
            self._episodes.truncate(state["episodes"], self._phase)
        self._sums = {key: torch.tensor(value, dtype=torch.float64) for key, value in state["sums"].items()}
        self._count, self._ended = state["count"], state["ended"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock; a resumed run goes on in the stretch it was in, of whatever length that is now."""
        assert isinstance(pl_module, PhaseModule)
        self._clock = (time.monotonic(), self._position(pl_module))
        self._stretch = self._position(pl_module) // self._every

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: object) -> None:
        """Add the update's metrics; write a row at the end of a stretch.

        Raises:
            InputError: if one of them is not finite: training has diverged.
        """
        assert isinstance(pl_module, PhaseModule)
        for key, value in pl_module.logged.items():
            self._sums[key] = self._sums[key] + value.double() if key in self._sums else value.double()
        self._count += 1
        if self._position(pl_module) // self._every > self._stretch:
            self._stretch = self._position(pl_module) // self._every
            self._write(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write what is left."""
        assert isinstance(pl_module, PhaseModule)
        if self._count:
            self._write(trainer, pl_module)
        self._write_episodes()

    def add(self, trainer: Trainer, module: PhaseModule, metrics: dict[str, float]) -> None:
        """Write a row of its own, such as an evaluation's."""
        if self._csv is None:
            return
        row = {"env_frames": module.env_frames, "updates": module.updates, "wall_s": time.time(), **metrics}
        self._csv.append({"phase": self._phase, **row})
        for logger in trainer.loggers:
            logger.log_metrics(row, step=self._position(module))

    def _write_episodes(self) -> None:
        for env_frames, value, success in self._data.episodes.ended() if self._data is not None else ():
            if self._episodes is not None:
                cells = (self._phase, self._ended, env_frames, value, int(success))
                self._episodes.append(dict(zip(EPISODE_COLUMNS, cells, strict=True)))
            self._ended += 1

    def _position(self, module: PhaseModule) -> int:
        return module.env_frames if self._data is not None else module.updates

    def _write(self, trainer: Trainer, module: PhaseModule) -> None:
        now, position = time.monotonic(), self._position(module)
        means = torch.tensor([(value / self._count).item() for value in self._sums.values()], dtype=torch.float64)
        metrics = dict(zip(self._sums, (total(means) / module.context.world_size).tolist(), strict=True))
        diverged = [key for key, value in metrics.items() if not math.isfinite(value)]
        if diverged:
            raise InputError(
                f"phase {self._phase!r} diverged: {diverged[0]} is {metrics[diverged[0]]} by update {module.updates}; "
                f"a smaller lr may help"
            )
        if self._data is not None:
            metrics |= self._data.episodes.metrics()
            self._write_episodes()
        speed = (position - self._clock[1]) / max(now - self._clock[0], 1e-9)
        metrics["time/frames_per_s" if self._data is not None else "time/updates_per_s"] = speed
        self._clock, self._sums, self._count = (now, position), {}, 0
        self.latest = metrics
        self.add(trainer, module, metrics)
