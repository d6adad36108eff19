"""Returns of training episodes, world by world."""

from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from lightning_skills.ranks import total

RECENT_EPISODES = 100
EPISODE_METRICS = ("train/return", "train/success", "train/episode_frames")


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

    def state(self) -> dict[str, Any]:
        """Everything, as plain values."""
        return {"running": self.running.tolist(), "recent": list(self.recent)}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state`."""
        self.running = np.array(state["running"])
        self.recent.extend(tuple(row) for row in state["recent"])
