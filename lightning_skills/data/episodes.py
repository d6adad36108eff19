"""Returns of training episodes, world by world."""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from lightning_skills.ranks import gathered, total

RECENT_EPISODES = 100
EPISODE_METRICS = ("train/return", "train/success", "train/episode_frames")


class Episodes:
    """Running returns of N worlds, the last finished episodes, and those not yet written down."""

    def __init__(self, worlds: int) -> None:
        self.running = np.zeros((worlds, 3))
        self.recent: deque[tuple[float, float, float]] = deque(maxlen=RECENT_EPISODES)
        self._step = 0
        self._uncounted: list[tuple[float, ...]] = []
        self._unwritten: list[tuple[float, ...]] = []

    def add(self, reward: np.ndarray, success: np.ndarray, frames: np.ndarray, done: np.ndarray) -> None:
        """Account for one transition of each world, all arguments ``[N]``."""
        self.running[:, 0] += reward
        self.running[:, 1] = np.maximum(self.running[:, 1], success)
        self.running[:, 2] += frames
        self.recent.extend(tuple(row) for row in self.running[done].tolist())
        ended = np.flatnonzero(done).tolist()
        self._uncounted += [(self._step, world, *self.running[world, :2].tolist()) for world in ended]
        self._step += 1
        self.running[done] = 0

    def counted(self, env_frames: int) -> None:
        """The transitions since the last call are among so many frames of all ranks."""
        self._unwritten += [(env_frames, *row) for row in self._uncounted]
        self._step, self._uncounted = 0, []

    def ended(self) -> list[tuple[int, float, bool]]:
        """Frames, return and success of all ranks' episodes since the last call, in the order in which they ended.

        The frames are those that had been counted when the episode was. Of episodes that ended in the same step, the
        one of the first world of the first rank comes first.
        """
        own = torch.tensor(self._unwritten, dtype=torch.float64).reshape(-1, 5)
        self._unwritten = []
        every = [(frames, step, rank, *rest) for rank, rows in enumerate(gathered(own)) for frames, step, *rest in rows]
        return [(int(frames), value, bool(solved)) for frames, _, _, _, value, solved in sorted(every)]

    def metrics(self) -> dict[str, float]:
        """Means over the recent episodes of all ranks: return, success rate, length in primitive steps."""
        rows = torch.tensor([(*row, 1.0) for row in self.recent], dtype=torch.float64).reshape(-1, 4)
        *sums, count = total(rows.sum(0)).tolist()
        if not count:
            return {}
        return {key: value / count for key, value in zip(EPISODE_METRICS, sums, strict=True)}

    def state(self) -> dict[str, Any]:
        """Everything between two updates, as plain values."""
        return {"running": self.running.tolist(), "recent": list(self.recent), "unwritten": list(self._unwritten)}

    def take_over(self, states: Sequence[Mapping[str, Any]]) -> None:
        """The episodes that others had not written down yet."""
        self._unwritten += [tuple(row) for state in states for row in state["unwritten"]]

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state`."""
        self.running = np.array(state["running"])
        self.recent.extend(tuple(row) for row in state["recent"])
        self._unwritten = [tuple(row) for row in state["unwritten"]]
