"""Environment -> TorchRL collector -> replay buffers -> batches."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tensordict import TensorDict
from torch import Tensor

from lightning_skills.data.acting import Acting, named
from lightning_skills.data.ahead import Ahead
from lightning_skills.data.batch_env import BatchEnv
from lightning_skills.data.collected import CollectedData
from lightning_skills.data.replay import Replay
from lightning_skills.data.skill_env import SkillEnv
from lightning_skills.phases.base import Collect, PhaseModule, Update


class OnlineData(CollectedData):
    """Feeds an online phase: runs the collector when the plan says so and samples what it gathered.

    Args:
        module: The phase.
        env: The worlds of this rank.
        ahead: Whether the worlds step in the background while the learner updates.
    """

    def __init__(self, module: PhaseModule, env: BatchEnv, ahead: bool = False) -> None:
        acting = Acting(module, SkillEnv(env, module.skill_execution()))
        super().__init__(module, acting, {name: Replay(capacity) for name, capacity in module.capacities().items()})
        self._ahead = Ahead(acting.step) if ahead else None
        if self._ahead is not None:
            acting.actor.when_chosen = self._ahead.chosen

    def sample(self, update: Update) -> TensorDict:
        """A batch of single transitions; this rank's share of the whole."""
        return self.buffers[update.source].sample(self.items(update))

    def collect(self, collect: Collect) -> None:
        """Add this rank's share of the transitions, a whole number of steps of all worlds."""
        worlds = self.acting.env.worlds.num_worlds
        self.acting.actor.policy = collect.policy
        steps = -(-collect.transitions // (worlds * self.module.context.world_size))
        for _ in range(steps):
            step = self._ahead.rollout() if self._ahead else self.acting.step()
            self.account(step)
            self.buffers[collect.into].extend(self.acting.transitions(step))
            self.count(step["next", "frames"].squeeze(1).numpy())

    def teardown(self, stage: str) -> None:
        """Lightning's hook: end what runs in the background."""
        if self._ahead is not None:
            self._ahead.close()

    def save(
        self, folder: Path, previous: tuple[Path, dict[str, int]] | None
    ) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """See :class:`CollectedData`."""
        pending = self._ahead.pending() if self._ahead else None  # before all else, which it changes
        state, tensors = super().save(folder, previous)
        if pending is not None:
            tensors |= {f"pending/{key}": value for key, value in pending.flatten_keys("/").items()}
        return state, tensors

    def restore(self, state: dict[str, Any], tensors: Mapping[str, Tensor], folder: Path) -> None:
        """See :class:`CollectedData`."""
        super().restore(state, tensors, folder)
        pending = named(tensors, "pending")
        if self._ahead is not None and pending:
            worlds = [self.acting.env.worlds.num_worlds]
            self._ahead.resume(TensorDict(pending, batch_size=worlds).unflatten_keys("/"))
