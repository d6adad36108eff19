"""A replay buffer of many tasks: one ring of transitions, and views that say which of them belong to a task."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tensordict import NestedKey, TensorDict
from torch import Tensor

from lightning_skills.data.replay import Replay

VIEWS = "views.safetensors"


class View:
    """For each task a ring of entries, the numbers of transitions in their order of arrival.

    Entries past ``capacity`` drop the oldest. Memory grows with the fullest task.

    Args:
        tasks: How many.
        capacity: Entries kept of each.
    """

    def __init__(self, tasks: int, capacity: int) -> None:
        self.capacity = capacity
        self.numbers = torch.zeros(tasks, 0, dtype=torch.int64)
        self.first, self.end = torch.zeros(2, tasks, dtype=torch.int64)

    @property
    def sizes(self) -> Tensor:
        """Entries of each task ``[T]``."""
        return self.end - self.first

    def extend(self, task: Tensor, number: Tensor) -> None:
        """Append entries, all arguments ``[n]``, those of one task in their order."""
        order = task.argsort(stable=True)
        task, number = task[order], number[order]
        counts = torch.bincount(task, minlength=len(self.end))
        place = self.end[task] + torch.arange(len(task)) - (counts.cumsum(0) - counts)[task]
        self.end += counts
        self._grow(int(self.end.max()))
        kept = place >= self.end[task] - self.capacity
        self.numbers[task[kept], place[kept] % self.capacity] = number[kept]
        self.first = torch.maximum(self.first, self.end - self.capacity)

    def _grow(self, longest: int) -> None:
        wanted, length = min(longest, self.capacity), self.numbers.shape[1]
        if wanted > length:
            room = min(max(wanted, 2 * length), self.capacity) - length
            self.numbers = torch.cat([self.numbers, self.numbers.new_zeros(len(self.numbers), room)], dim=1)

    def clear(self, tasks: Sequence[int]) -> None:
        """Forget all entries of some tasks."""
        self.first[list(tasks)] = self.end[list(tasks)] = 0

    def forget(self, before: int) -> None:
        """Drop entries of transitions with lower numbers."""
        while (stale := (self.sizes > 0) & (self._at(self.first.clamp(max=self.end - 1)) < before)).any():
            self.first += stale

    def _at(self, place: Tensor) -> Tensor:
        if not self.numbers.shape[1]:
            return torch.zeros_like(place)
        return self.numbers[torch.arange(len(place)), place.clamp(min=0) % self.capacity]

    def draw(self, tasks: Tensor, items: int) -> Tensor:
        """Numbers ``[G, items]`` of transitions of tasks ``[G]``, drawn with replacement."""
        uniform = torch.rand(len(tasks), items, dtype=torch.float64)
        place = self.first[tasks, None] + (uniform * self.sizes[tasks, None]).long()
        return self.numbers[tasks[:, None], place % self.capacity]

    def all(self, task: int) -> Tensor:
        """Numbers ``[n]`` of all of a task's transitions, the oldest first."""
        place = torch.arange(int(self.first[task]), int(self.end[task]))
        return self.numbers[task, place % self.capacity]


class TaskReplay:
    """Ring buffer of the transitions of many tasks, with named views of what belongs to each.

    A transition is stored once, whatever number of views it is in; a view may forget one that the ring still holds. A
    transition that the ring overwrites leaves all views.

    Args:
        tasks: How many.
        views: Transitions of a task that each view keeps.
        capacity: Transitions that the ring keeps, of all tasks together.
    """

    def __init__(self, tasks: int, views: Mapping[str, int], capacity: int) -> None:
        self.tasks, self.ring = tasks, Replay(capacity)
        self.views = {name: View(tasks, kept) for name, kept in views.items()}

    @property
    def written(self) -> int:
        """Transitions stored so far, also those since overwritten."""
        return self.ring.written

    def extend(self, task: Tensor, transitions: TensorDict, into: Sequence[str]) -> None:
        """Append transitions ``[n]`` of tasks ``[n]`` to the ring and to some views."""
        first = self.ring.written
        self.ring.extend(transitions)
        for name in into:
            self.views[name].extend(task, torch.arange(first, first + len(task)))
        if self.ring.written > self.ring.capacity:
            for view in self.views.values():
                view.forget(self.ring.written - self.ring.capacity)

    def at(self, numbers: Tensor, keys: Sequence[NestedKey] | None = None) -> TensorDict:
        """The transitions of these numbers, in one gather, with their shape as batch size; ``keys`` of them alone."""
        return self.ring.at(numbers.flatten() % self.ring.capacity, keys).reshape(numbers.shape)

    def sample(self, tasks: Tensor, items: int, view: str, keys: Sequence[NestedKey] | None = None) -> TensorDict:
        """Transitions ``[G, items]`` of tasks ``[G]``, drawn with replacement; of each ``keys``, or everything."""
        return self.at(self.views[view].draw(tasks, items), keys)

    def all(self, task: int, view: str) -> TensorDict:
        """All transitions ``[n]`` of a task, the oldest first."""
        return self.at(self.views[view].all(task))

    def save(self, folder: Path, previous: Path | None, previously_written: int) -> None:
        """Write ring and views; segments of the ring unchanged since ``previous`` are hard-linked from there.

        Args:
            folder: New folder.
            previous: Folder of an earlier :meth:`save`.
            previously_written: ``written`` at that time.
        """
        self.ring.save(folder, previous, previously_written)
        tensors: dict[str, Tensor] = {}
        for name, view in self.views.items():
            tensors |= {f"{name}/numbers": view.numbers, f"{name}/first": view.first, f"{name}/end": view.end}
        save_file(tensors, folder / VIEWS)

    def load(self, folder: Path, written: int) -> "TaskReplay":
        """Inverse of :meth:`save`, into an empty buffer; returns it."""
        self.ring.load(folder, written)
        tensors = load_file(folder / VIEWS)
        for name, view in self.views.items():
            view.numbers, view.first, view.end = (tensors[f"{name}/{part}"] for part in ("numbers", "first", "end"))
        return self

    def empty(self) -> "TaskReplay":
        """Another buffer like this without content."""
        kept = {name: view.capacity for name, view in self.views.items()}
        return TaskReplay(self.tasks, kept, self.ring.capacity)

    def deal(self, shards: Sequence["TaskReplay"], part: int, parts: int) -> None:
        """Take over, from other buffers, the transitions of every so-manieth task.

        Args:
            shards: The other buffers.
            part: Which part of the tasks to take.
            parts: How many parts there are.
        """
        for shard in shards:
            for task in range(part, self.tasks, parts):
                self._take(shard, task)

    def _take(self, shard: "TaskReplay", task: int) -> None:
        entries = {name: view.all(task) for name, view in shard.views.items()}
        numbers = torch.cat([*entries.values()]).unique()
        if not len(numbers):
            return
        first = self.ring.written
        self.ring.extend(shard.at(numbers))
        for name, chosen in entries.items():
            moved = first + torch.searchsorted(numbers, chosen)
            self.views[name].extend(torch.full_like(moved, task), moved)
