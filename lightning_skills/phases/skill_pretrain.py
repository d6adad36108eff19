"""Learning skills and a skill prior from recorded trajectories."""

from collections.abc import Sequence

import torch
from tensordict import TensorDict

from lightning_skills.artefacts import Artefact
from lightning_skills.losses.skill_vae import skill_vae_loss
from lightning_skills.nets.skill_model import SkillModel, SkillModelSettings
from lightning_skills.optim import FusedRAdam
from lightning_skills.phases.base import Instruction, Metrics, PhaseContext, PhaseModule, Update
from lightning_skills.phases.options import SkillPretrainOptions


class SkillPretrainModule(PhaseModule):
    """Trains a closed-loop skill model (SPiRL, Pertsch et al. 2020, sec. 3.2) on windows of states and actions.

    Differs from the authors' code in speed only: one fused LSTM call, the head on its last step alone.

    Args:
        context: Its ``options`` are :class:`SkillPretrainOptions`.
    """

    def __init__(self, context: PhaseContext) -> None:
        super().__init__(context)
        self.options: SkillPretrainOptions = context.options
        self.model = SkillModel(
            SkillModelSettings(
                state_dim=context.env.state_dim,
                action_dim=context.env.action_dim,
                horizon=self.options.horizon,
                latent_dim=self.options.latent_dim,
                encoder_width=self.options.encoder_width,
                width=self.options.width,
                decoder_layers=self.options.decoder_layers,
                prior_layers=self.options.prior_layers,
            )
        )

    def plan(self) -> Sequence[Instruction]:
        """All updates that are left, on windows of H + 1 steps."""
        remaining = self.options.updates - self.updates
        window = self.options.horizon + 1
        return [Update(remaining, self.options.batch_size, window, source="data")] if remaining > 0 else []

    def progress(self) -> tuple[int, int]:
        """(updates done, updates in all)."""
        return self.updates, self.options.updates

    def build_optimizers(self) -> Sequence[torch.optim.Optimizer]:
        """One RAdam."""
        self.optimizer = FusedRAdam(self.model.parameters(), lr=self.options.lr)
        return [self.optimizer]

    def update(self, batch: TensorDict) -> Metrics:
        """One step on windows ``[B, H + 1]`` of "observation" and "action"; the last step of a window is not used."""
        states, actions = batch["observation"][:, :-1], batch["action"][:, :-1]
        output = self.model(states, actions)
        loss, metrics = skill_vae_loss(
            output.action, actions, output.posterior, output.skill, output.prior, beta=self.options.beta
        )
        early = self.updates < self.options.clip_updates
        self.step(self.optimizer, loss, max_norm=self.options.clip_norm if early else None)
        return metrics

    def artefact(self) -> Artefact:
        """The skill model."""
        return self.model.to_artefact()
