"""Executes a phase's plan as the stream of batches that Lightning trains on."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from typing import Any

from tensordict import TensorDict
from torch.utils.data import DataLoader, Dataset, IterableDataset

from lightning_skills.phases.base import (
    Collect,
    CollectEpisodes,
    CollectInstruction,
    Instruction,
    PhaseModule,
    Update,
    UpdateTasks,
)

INSTRUCTIONS: dict[str, type] = {kind.__name__: kind for kind in (Collect, CollectEpisodes, Update, UpdateTasks)}


class PlanStream(IterableDataset):
    """Walks through a plan: collects when it says so, and yields one batch for each update.

    The rest of the current round is the stream's state: restored, it goes on with the very next instruction.

    Args:
        module: The phase whose plan it is.
        sample: Draws the batch of an update, of the kind that this phase's data knows.
        collect: Executes a Collect; None for a phase without an environment.
    """

    def __init__(
        self,
        module: PhaseModule,
        sample: Callable[[Any], TensorDict],
        collect: Callable[[Any], None] | None = None,
    ) -> None:
        self._module, self._sample, self._collect = module, sample, collect
        self._round: list[Instruction] = []
        self.before_first_batch: Callable[[], None] = lambda: None

    def __len__(self) -> int:
        # Without a length Lightning draws one batch ahead, and everything is off by one.
        return sys.maxsize

    def __iter__(self) -> Iterator[TensorDict]:
        # The last thing before the first draw: whatever Lightning draws while it starts up must not count.
        self.before_first_batch()
        while self._round or self._next_round():
            instruction = self._round.pop(0)
            if isinstance(instruction, CollectInstruction):
                if self._collect is None:
                    raise TypeError(f"{type(self._module).__name__} collects, but its phase has no environment")
                self._collect(instruction)
                continue
            if instruction.updates > 1:
                self._round.insert(0, replace(instruction, updates=instruction.updates - 1))
            if instruction.updates > 0:
                yield self._sample(instruction)

    def _next_round(self) -> bool:
        self._round = list(self._module.plan())
        return bool(self._round)

    def remaining(self) -> list[dict[str, Any]]:
        """The instructions still to be done in this round, as plain values."""
        return [{"instruction": type(item).__name__, **asdict(item)} for item in self._round]

    def go_on_with(self, remaining: list[dict[str, Any]]) -> None:
        """Inverse of :meth:`remaining`."""
        self._round = [_instruction(dict(item)) for item in remaining]

    def loader(self) -> DataLoader:
        """The stream as Lightning wants it: TensorDicts pass through uncollated."""
        dataset: Dataset = self
        return DataLoader(dataset, batch_size=None, collate_fn=lambda batch: batch)


def _instruction(item: dict[str, Any]) -> Instruction:
    kind = INSTRUCTIONS[item.pop("instruction")]
    return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in item.items()})
