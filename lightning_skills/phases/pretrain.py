"""What phases that learn from windows of recorded trajectories have in common."""

from collections.abc import Sequence

import torch
from tensordict import TensorDict
from torch import Tensor, nn

from lightning_skills.data.rendering import look
from lightning_skills.optim import FusedRAdam
from lightning_skills.phases.base import Instruction, PhaseContext, PhaseModule, Update
from lightning_skills.phases.options import PretrainOptions


class PretrainModule(PhaseModule):
    """Trains one model by RAdam, the first updates with clipped gradients (SPiRL, app. B and code).

    Beyond that, the last updates may be made with a rate that falls, for budgets much smaller than the authors'.

    A subclass sets ``model`` and ``window`` before the plan is asked for. Where data offer images, models see images
    instead of states.

    Args:
        context: Its ``options`` are :class:`PretrainOptions`.
    """

    model: nn.Module
    window: int
    """Rows of the windows to train on."""

    def __init__(self, context: PhaseContext) -> None:
        super().__init__(context)
        self.options: PretrainOptions = context.options

    @property
    def image_shape(self) -> tuple[int, int, int] | None:
        """Of what the model sees; None for states."""
        return None if self.renderer is None else self.renderer.image_shape

    def look(self, batch: TensorDict, rows: slice) -> Tensor:
        """States or images ``[B, T, ...]`` of these rows of windows ``[B, window]``."""
        return look(batch[:, rows], self.renderer)

    def plan(self) -> Sequence[Instruction]:
        """All updates that are left."""
        remaining = self.options.updates - self.updates
        return [Update(remaining, self.options.batch_size, self.window)] if remaining > 0 else []

    def progress(self) -> tuple[int, int]:
        """(updates done, updates in all)."""
        return self.updates, self.options.updates

    def build_optimizers(self) -> Sequence[torch.optim.Optimizer]:
        """RAdam of the model."""
        parameters = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.optimizer = FusedRAdam(parameters, lr=self.options.lr)
        return [self.optimizer]

    def descend(self, loss: Tensor) -> None:
        """One step on the model's loss."""
        left, falling = self.options.updates - self.updates, self.options.cooldown * self.options.updates
        for group in self.optimizer.param_groups:
            group["base_lr"] = self.options.lr * (min(1.0, left / falling) if falling else 1.0)
        early = self.updates < self.options.clip_updates
        self.step(self.optimizer, loss, max_norm=self.options.clip_norm if early else None)
