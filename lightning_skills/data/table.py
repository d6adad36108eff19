"""Transitions in numbered rows, which are written in any order."""

from collections.abc import Sequence
from pathlib import Path

import torch
from tensordict import NestedKey, TensorDict
from torch import Tensor

from lightning_skills.data import segments
from lightning_skills.data.replay import selected


class Table:
    """Rows of transitions, checkpointed as immutable segments. Memory grows when it is asked to."""

    def __init__(self) -> None:
        self.room = 0
        self.written = 0
        self._length = 0  # up to the last row that has ever been written
        self._rows = TensorDict({}, batch_size=[0])
        self._stamps: dict[int, int] = {}  # ``written`` when a segment was last written to

    def __len__(self) -> int:
        return self._length

    def make_room(self, rows: int) -> None:
        """Have memory for at least so many rows, or twice of what there was; those there keep their numbers."""
        if rows > self.room:
            self.room = max(rows, 2 * self.room)
            if self._length:
                self._allocate(self._rows[: self._length])

    def _allocate(self, first: TensorDict) -> None:
        """Memory for all rows, the first of which hold these."""
        self._rows = torch.zeros_like(first[:1].expand(self.room))
        self._rows[: len(first)] = first

    def put(self, rows: Tensor, transitions: TensorDict) -> None:
        """Write transitions ``[n]`` into rows ``[n]`` that there is room for."""
        if not len(rows):
            return
        if not self._length:
            self._allocate(transitions[:1])
        self._rows[rows] = transitions
        self.written += len(rows)
        self._length = max(self._length, int(rows.max()) + 1)
        self._stamps |= dict.fromkeys((rows // segments.SEGMENT).unique().tolist(), self.written)

    def at(self, rows: Tensor, keys: Sequence[NestedKey] | None = None) -> TensorDict:
        """The transitions ``[n]`` of some rows; of each what is under ``keys``, or everything."""
        return selected(self._rows if keys is None else self._rows.select(*keys), rows)

    def save(self, folder: Path, previous: Path | None, previously_written: int) -> None:
        """Write all rows.

        Args:
            folder: New folder.
            previous: Folder of an earlier :meth:`save`.
            previously_written: ``written`` at that time.
        """
        changed = {segment for segment, stamp in self._stamps.items() if stamp > previously_written}
        segments.save(folder, previous, self._length, changed, self._rows.__getitem__)

    def load(self, folder: Path, written: int) -> None:
        """Inverse of :meth:`save`, into an empty table.

        Raises:
            DamagedError: if files are missing or damaged.
        """
        for part in segments.load(folder):
            first, end = self._length, self._length + len(part)
            self.make_room(end)
            self.put(torch.arange(first, end), part)
        self.written, self._stamps = written, {}
