"""A TensorDict replay buffer that is checkpointed as immutable segments."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from tensordict import NestedKey, TensorDict, TensorDictBase
from torch import Tensor
from torchrl.data import LazyTensorStorage

from lightning_skills.data import segments


class Replay:
    """Ring buffer of transitions, sampled uniformly with replacement. Memory grows with what it holds.

    Args:
        capacity: Transitions kept.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.written = 0
        self._storage = _storage(min(segments.SEGMENT, capacity))

    def __len__(self) -> int:
        return min(self.written, self.capacity)

    def extend(self, transitions: TensorDict) -> None:
        """Append transitions ``[n]``, overwriting the oldest ones of a full buffer."""
        self._make_room(min(self.written + len(transitions), self.capacity))
        self.written += max(0, len(transitions) - self.capacity)
        newest = transitions[-self.capacity :]
        room = self.capacity - self.written % self.capacity
        for part in (newest[:room], newest[room:]):
            if len(part):
                first = self.written % self.capacity
                self._storage.set(slice(first, first + len(part)), part)
                self.written += len(part)

    def _make_room(self, length: int) -> None:
        size = self._storage.max_size
        if length > size:
            held, self._storage = self._storage, _storage(min(max(length, 2 * size), self.capacity))
            if len(self):
                self._storage.set(slice(0, len(self)), held.get(slice(0, len(self))))

    def sample(self, batch_size: int) -> TensorDict:
        """A batch ``[batch_size]`` drawn with the global torch generator."""
        return self.at(torch.randint(len(self), (batch_size,)))

    def at(self, rows: Tensor, keys: Sequence[NestedKey] | None = None) -> TensorDict:
        """The transitions ``[n]`` at some places of the ring; of each what is under ``keys``, or everything."""
        held = self._storage._storage
        return selected(held if keys is None else held.select(*keys), rows)

    def save(self, folder: Path, previous: Path | None, previously_written: int) -> None:
        """Write the used part in segments of fixed size; those unchanged since ``previous`` are hard-linked from there.

        Args:
            folder: New folder.
            previous: Folder of an earlier :meth:`save`.
            previously_written: ``written`` at that time.
        """
        changed = self._segments_written_since(previously_written)
        segments.save(folder, previous, len(self), changed, self._storage.get)

    def _segments_written_since(self, written: int) -> set[int]:
        newest = np.arange(max(written, self.written - self.capacity), self.written)
        return set(np.unique(newest % self.capacity // segments.SEGMENT).tolist())

    def load(self, folder: Path, written: int) -> "Replay":
        """Inverse of :meth:`save`, into an empty buffer; returns it.

        Raises:
            DamagedError: if the files are not those of a buffer like this.
        """
        for rows in segments.load(folder, min(written, self.capacity)):
            self.extend(rows)
        self.written = written
        return self

    def empty(self) -> "Replay":
        """Another buffer like this without content."""
        return Replay(self.capacity)

    def deal(self, shards: Sequence["Replay"], part: int, parts: int) -> None:
        """Append every so-manieth of all transitions of other buffers, the oldest first.

        Args:
            shards: The other buffers.
            part: Which part of the transitions to take.
            parts: How many parts there are.
        """
        filled = [shard for shard in shards if len(shard)]
        if not filled:
            return
        ages = torch.cat([(torch.arange(len(shard)) - shard.written) % len(shard) for shard in filled])
        mine = ages.argsort(stable=True)[part::parts]
        self.extend(selected(torch.cat([shard._storage.get(slice(0, len(shard))) for shard in filled]), mine))


def selected(transitions: TensorDictBase, rows: Tensor) -> TensorDict:
    """Some rows ``[n]``: what indexing by them gives, in half the time."""
    items = {
        key: selected(value, rows) if isinstance(value, TensorDictBase) else value.index_select(0, rows)
        for key, value in transitions.items()
    }
    return TensorDict(items, batch_size=[len(rows)])


def _storage(size: int) -> LazyTensorStorage:
    """Memory of this process alone: what it shares with others by default outlives a kill."""
    return LazyTensorStorage(size, compilable=True)
