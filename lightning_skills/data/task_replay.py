"""A replay buffer of many tasks: transitions, and views that say which of them belong to a task."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tensordict import NestedKey, TensorDict
from torch import Tensor

from lightning_skills.data.table import Table
from lightning_skills.files import reading

VIEWS = "views.safetensors"


class View:
    """For each task a ring of entries, the rows of transitions in their order of arrival.

    Entries past ``capacity`` drop the oldest. Memory grows with the fullest task.

    Args:
        tasks: How many.
        capacity: Entries kept of each.
    """

    def __init__(self, tasks: int, capacity: int) -> None:
        self.capacity = capacity
        self.rows = torch.zeros(tasks, 0, dtype=torch.int64)
        self.first, self.end = torch.zeros(2, tasks, dtype=torch.int64)

    @property
    def sizes(self) -> Tensor:
        """Entries of each task ``[T]``."""
        return self.end - self.first

    def extend(self, task: Tensor, row: Tensor) -> None:
        """Append entries, all arguments ``[n]``, those of one task in their order."""
        order = task.argsort(stable=True)
        task, row = task[order], row[order]
        counts = torch.bincount(task, minlength=len(self.end))
        place = self.end[task] + torch.arange(len(task)) - (counts.cumsum(0) - counts)[task]
        self.end += counts
        self._grow(int(self.end.max()))
        kept = place >= self.end[task] - self.capacity
        self.rows[task[kept], place[kept] % self.capacity] = row[kept]
        self.first = torch.maximum(self.first, self.end - self.capacity)

    def _grow(self, longest: int) -> None:
        wanted, length = min(longest, self.capacity), self.rows.shape[1]
        if wanted > length:
            room = min(max(wanted, 2 * length), self.capacity) - length
            self.rows = torch.cat([self.rows, self.rows.new_zeros(len(self.rows), room)], dim=1)

    def clear(self, tasks: Sequence[int]) -> None:
        """Forget all entries of some tasks."""
        self.first[list(tasks)] = self.end[list(tasks)] = 0

    def restore(self, rows: Tensor, first: Tensor, end: Tensor) -> None:
        """Take over all that another view like this held.

        Raises:
            ValueError: if that was not a view like this.
        """
        for mine, theirs in ((self.rows[:, :0], rows[:, :0]), (self.first, first), (self.end, end)):
            if (mine.shape, mine.dtype) != (theirs.shape, theirs.dtype):
                raise ValueError(f"{theirs.dtype} {[*theirs.shape]} in place of {mine.dtype} {[*mine.shape]}")
        sizes = end - first
        if bool((sizes < 0).any() or (sizes > min(rows.shape[1], self.capacity)).any() or (rows < 0).any()):
            raise ValueError("more entries than there is room for")
        self.rows, self.first, self.end = rows, first, end

    def held(self) -> Tensor:
        """Rows ``[n]`` of all entries of all tasks."""
        place = torch.arange(self.rows.shape[1])
        return self.rows[(place - self.first[:, None]) % self.capacity < self.sizes[:, None]]

    def draw(self, tasks: Tensor, items: int) -> Tensor:
        """Rows ``[G, items]`` of transitions of tasks ``[G]``, drawn with replacement."""
        uniform = torch.rand(len(tasks), items, dtype=torch.float64)
        place = self.first[tasks, None] + (uniform * self.sizes[tasks, None]).long()
        return self.rows[tasks[:, None], place % self.capacity]

    def all(self, task: int) -> Tensor:
        """Rows ``[n]`` of all of a task's transitions, the oldest first."""
        place = torch.arange(int(self.first[task]), int(self.end[task]))
        return self.rows[task, place % self.capacity]


class TaskReplay:
    """Replay buffer of the transitions of many tasks, with named views of what belongs to each.

    A transition is stored once, whatever number of views it is in, and kept as long as one of them holds it: what is
    collected in one task never pushes out what another still has. Memory grows with what is held.

    Args:
        tasks: How many.
        views: Transitions of a task that each view keeps.
    """

    def __init__(self, tasks: int, views: Mapping[str, int]) -> None:
        self.tasks, self.table = tasks, Table()
        self.views = {name: View(tasks, kept) for name, kept in views.items()}
        self._free = torch.zeros(0, dtype=torch.int64)

    @property
    def written(self) -> int:
        """Transitions stored so far, also those since overwritten."""
        return self.table.written

    def extend(self, task: Tensor, transitions: TensorDict, into: Sequence[str]) -> None:
        """Append transitions ``[n]`` of tasks ``[n]`` to some views."""
        rows = self._take(len(task))
        self.table.put(rows, transitions)
        for name in into:
            self.views[name].extend(task, rows)

    def _take(self, count: int) -> Tensor:
        """Rows ``[count]`` that no view holds.

        They are looked for when none are left; there is room for an eighth more than is held, so that this is rare.
        """
        if count > len(self._free):
            held = torch.cat([view.held() for view in self.views.values()])
            self.table.make_room(len(held.unique()) * 9 // 8 + count)
            free = torch.ones(self.table.room, dtype=torch.bool)
            free[held] = False
            self._free = free.nonzero().squeeze(1)
        rows, self._free = self._free[:count], self._free[count:]
        return rows

    def sample(self, tasks: Tensor, items: int, view: str, keys: Sequence[NestedKey] | None = None) -> TensorDict:
        """Transitions ``[G, items]`` of tasks ``[G]``, drawn with replacement; of each ``keys``, or everything."""
        rows = self.views[view].draw(tasks, items)
        return self.table.at(rows.flatten(), keys).reshape(rows.shape)

    def all(self, task: int, view: str) -> TensorDict:
        """All transitions ``[n]`` of a task, the oldest first."""
        return self.table.at(self.views[view].all(task))

    def save(self, folder: Path, previous: Path | None, previously_written: int) -> None:
        """Write transitions and views; segments unchanged since ``previous`` are hard-linked from there.

        Args:
            folder: New folder.
            previous: Folder of an earlier :meth:`save`.
            previously_written: ``written`` at that time.
        """
        self.table.save(folder, previous, previously_written)
        tensors: dict[str, Tensor] = {}
        for name, view in self.views.items():
            tensors |= {f"{name}/rows": view.rows, f"{name}/first": view.first, f"{name}/end": view.end}
        save_file(tensors, folder / VIEWS)

    def load(self, folder: Path, written: int) -> "TaskReplay":
        """Inverse of :meth:`save`, into an empty buffer; returns it.

        Raises:
            DamagedError: if the files are not those of a buffer like this.
        """
        self.table.load(folder, written)
        with reading(folder / VIEWS):
            tensors = load_file(folder / VIEWS)
            for name, view in self.views.items():
                view.restore(*(tensors[f"{name}/{part}"] for part in ("rows", "first", "end")))
                if bool((view.held() >= len(self.table)).any()):
                    raise ValueError(f"{name} holds transitions that are not there")
        return self

    def empty(self) -> "TaskReplay":
        """Another buffer like this without content."""
        return TaskReplay(self.tasks, {name: view.capacity for name, view in self.views.items()})

    def deal(self, shards: Sequence["TaskReplay"], part: int, parts: int) -> None:
        """Take over, from other buffers, what is in the views of every so-manieth task.

        The only task of an env is shared: of each of its views every so-manieth entry.

        Args:
            shards: The other buffers.
            part: Which part to take.
            parts: How many parts there are.
        """
        if self.tasks == 1:
            self._take_over(shards, 0, slice(part, None, parts))
            return
        for task in range(part, self.tasks, parts):
            self._take_over(shards, task, slice(None))

    def _take_over(self, shards: Sequence["TaskReplay"], task: int, taken: slice) -> None:
        """Take some of the entries of a task, of all shards together the oldest first."""
        first = list(itertools.accumulate([shard.table.room for shard in shards], initial=0))
        chosen: dict[str, Tensor] = {}
        for name in self.views:
            each = [shard.views[name].all(task) for shard in shards]
            age = torch.cat([torch.arange(len(rows)) for rows in each]).argsort(stable=True)
            # Rows of all shards, numbered one after another.
            chosen[name] = torch.cat([rows + start for rows, start in zip(each, first[:-1], strict=True)])[age[taken]]
        theirs = torch.cat([*chosen.values()]).unique()
        if not len(theirs):
            return
        ours = self._take(len(theirs))
        parts = [theirs[(start <= theirs) & (theirs < end)] - start for start, end in itertools.pairwise(first)]
        self.table.put(
            ours, torch.cat([shard.table.at(rows) for shard, rows in zip(shards, parts, strict=True) if len(rows)])
        )
        for name, rows in chosen.items():
            moved = ours[torch.searchsorted(theirs, rows)]
            self.views[name].extend(torch.full_like(moved, task), moved)
