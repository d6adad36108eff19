"""Learning skills and a skill prior from recorded trajectories."""

from collections.abc import Sequence

import torch
from tensordict import TensorDict
from torch import nn

from lightning_skills.artefacts import Artefact
from lightning_skills.losses.skill_vae import beta_loss, skill_vae_loss
from lightning_skills.nets.skill_model import SkillModel, SkillModelSettings
from lightning_skills.optim import FusedRAdam
from lightning_skills.phases.base import Metrics, PhaseContext
from lightning_skills.phases.options import SkillPretrainOptions
from lightning_skills.phases.pretrain import PretrainModule


class SkillPretrainModule(PretrainModule):
    """Trains a skill model (SPiRL, Pertsch et al. 2020, sec. 3.2) on windows of states or images, and actions.

    Differs from the authors' code in speed only: recurrences and linear maps are multiplied out, the head is applied to
    the last step alone, and images are drawn for the steps at which the model looks.

    Args:
        context: Its ``options`` are :class:`SkillPretrainOptions`.
    """

    model: SkillModel

    def __init__(self, context: PhaseContext) -> None:
        super().__init__(context)
        self.options: SkillPretrainOptions = context.options
        past = self.options.past_actions
        self.model = SkillModel(
            SkillModelSettings(
                state_dim=context.env.state_dim,
                action_dim=context.env.action_dim,
                horizon=self.options.horizon,
                latent_dim=self.options.latent_dim,
                encoder_width=self.options.encoder_width,
                width=self.options.width,
                decoder=self.options.decoder,
                decoder_layers=self.options.decoder_layers,
                prior_layers=self.options.prior_layers,
                image_shape=self.image_shape,
                features=self.options.features,
                past_actions=int(self.image_shape is not None) if past is None else past,
                trained_start=self.options.trained_start,
            )
        )
        self.window = self.model.window
        # Only with a target does the weight of the KL move; it starts at 1 then.
        self.log_beta = None if self.options.target_kl is None else nn.Parameter(torch.zeros(()))

    def build_optimizers(self) -> Sequence[torch.optim.Optimizer]:
        """RAdam of the model and, if it is learned, of beta."""
        optimizers = [*super().build_optimizers()]
        if self.log_beta is not None:
            self.beta_optimizer = FusedRAdam([self.log_beta], lr=self.options.beta_lr)
            optimizers.append(self.beta_optimizer)
        return optimizers

    def update(self, batch: TensorDict) -> Metrics:
        """One step on windows ``[B, window]`` of "observation" (or "scene") and "action".

        The action of a window's last row is not used.
        """
        settings = self.model.settings
        actions = batch["action"][:, : settings.past_actions + settings.horizon]
        output = self.model(self.look(batch, self.model.seen_rows), actions)
        beta = self.options.beta if self.log_beta is None else self.log_beta.detach().exp()
        loss, metrics = skill_vae_loss(
            output.action,
            actions[:, settings.past_actions :],
            output.posterior,
            output.skill,
            output.prior,
            beta=beta,
            prior_estimator=self.options.prior_estimator,
        )
        self.descend(loss)
        if self.log_beta is not None and self.options.target_kl is not None:
            loss, of_beta = beta_loss(self.log_beta, metrics["kl"], self.options.target_kl)
            self.step(self.beta_optimizer, loss)
            metrics |= of_beta
        return metrics

    def artefact(self) -> Artefact:
        """The skill model."""
        return self.model.to_artefact()
