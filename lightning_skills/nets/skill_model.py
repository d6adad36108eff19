"""The skill model that SPiRL learns from trajectories: posterior, decoder and skill prior."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from lightning_skills.data.batch_env import Observation
from lightning_skills.data.rendering import Renderer, look
from lightning_skills.data.skill_env import LowLevel
from lightning_skills.nets.behaviour import Behaviour
from lightning_skills.nets.conv import ConvEncoder, perceptron
from lightning_skills.nets.gaussian import Gaussian
from lightning_skills.nets.lstm import last_output
from lightning_skills.nets.mlp import MLP, initialise
from lightning_skills.nets.numpy_mlp import NumpyMLP
from lightning_skills.nets.open_loop import OpenLoopDecoder, remember


@dataclass(frozen=True)
class SkillModelSettings:
    """Everything that rebuilds a :class:`SkillModel`.

    Args:
        state_dim: Length of a state, S.
        action_dim: Length of a primitive action, A.
        horizon: Primitive steps per skill, H.
        latent_dim: Length of a skill z, d.
        encoder_width: Output features of the LSTM.
        width: Features of every other hidden layer.
        decoder_layers: Hidden layers of a closed-loop decoder between the first and the last.
        prior_layers: The same of the prior.
        decoder: One of :data:`lightning_skills.phases.options.DECODERS`.
        image_shape: ``(C, H, W)`` of what the model sees instead of states; None for states.
        features: Length of an image's features.
        past_actions: Actions before the skill's first that the posterior sees too.
        trained_start: Whether an open-loop decoder learns its first action and state.
    """

    state_dim: int
    action_dim: int
    horizon: int
    latent_dim: int
    encoder_width: int
    width: int
    decoder_layers: int
    prior_layers: int
    decoder: str = "closed_loop"
    image_shape: Sequence[int] | None = None
    features: int = 32
    past_actions: int = 0
    trained_start: bool = True


class SkillOutput(NamedTuple):
    """What :class:`SkillModel` predicts for a batch of windows.

    Args:
        posterior: q(z | .), ``[B, d]``.
        skill: A sample of it, ``[B, d]``.
        action: The decoder's reconstruction, ``[B, H, A]``.
        prior: p(z | s) at the skill's first step, ``[B, d]``.
    """

    posterior: Gaussian
    skill: Tensor
    action: Tensor
    prior: Gaussian


class SkillEncoder(nn.Module):
    """q(z | .): an LSTM over actions, each beside what is seen then, whose last output gives mean and log std.

    The linear embedding before the LSTM has no activation, so the two linear maps are multiplied into one before they
    meet the data; this halves the LSTM's arithmetic and changes neither outputs nor gradients.

    Args:
        inputs: Length of a step of the sequence, n.
        latent_dim: d.
        encoder_width: Output features of the head on the LSTM's last step.
        width: Features of embedding and LSTM state.
    """

    def __init__(self, inputs: int, latent_dim: int, encoder_width: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Linear(inputs, width)
        self.lstm = nn.LSTM(width, width)
        self.head = nn.Linear(width, encoder_width)
        self.posterior = nn.Linear(encoder_width, 2 * latent_dim)
        self.apply(initialise)
        remember(self.lstm)

    def forward(self, sequence: Tensor) -> Gaussian:
        """The posterior ``[B, d]`` of ``[B, T, n]``."""
        weight_input, weight_hidden, bias_input, bias_hidden = self.lstm.parameters()
        weight = weight_input @ self.embedding.weight
        bias = torch.addmv(bias_input + bias_hidden, weight_input, self.embedding.bias)
        output = last_output(sequence.transpose(0, 1), weight, weight_hidden, bias)
        return Gaussian.from_output(self.posterior(self.head(output)))


class SkillModel(Behaviour):
    """Skill model with a Gaussian prior (SPiRL, Pertsch et al. 2020, sec. 3.2).

    Its decoder is one of three. ``"open_loop"``, the paper's: actions follow from the skill alone. ``"conditioned"``
    (app. D): from the skill and what is seen at its start. ``"closed_loop"`` (``ClSPiRLMdl`` of the authors' later
    code): a policy pi(a | s, z) that sees the true state at each of the H steps. Each predicts the mean of a Gaussian
    of unit variance. Posterior and decoder see the same: nothing, the start, or every step; the prior sees the start.

    Of images, posterior and decoder share one convolutional encoder, and the prior has its own. The MLPs have
    BatchNorm.

    Args:
        settings: Sizes and choices.
    """

    kind = "skills"
    settings_type = SkillModelSettings
    settings: SkillModelSettings

    def __init__(self, settings: SkillModelSettings) -> None:
        sees = settings.decoder != "open_loop"
        chunk = 1 if settings.decoder == "closed_loop" else settings.horizon
        super().__init__(settings, settings.latent_dim, settings.horizon, chunk, sees, settings.prior_layers)
        action, latent, width = settings.action_dim, settings.latent_dim, settings.width
        images = settings.image_shape
        context = 0 if not sees else settings.state_dim if images is None else settings.features
        self.perception = ConvEncoder(images, settings.features) if sees and images is not None else nn.Identity()
        self.encoder = SkillEncoder(action + context, latent, settings.encoder_width, width)
        self.decoder: MLP | OpenLoopDecoder
        if settings.decoder == "closed_loop":
            self.decoder = MLP(context + latent, action, settings.decoder_layers, width, normalised=True)
        else:
            self.decoder = OpenLoopDecoder(
                latent, action, settings.horizon, width, settings.trained_start, context_dim=context or None
            )
        self.prior_net = perceptron(**self.prior_settings)

    @property
    def window(self) -> int:
        """Rows of a recorded trajectory that :meth:`forward` is about; the skill starts in row ``past_actions``."""
        return self.settings.horizon + self.settings.past_actions + 1

    @property
    def seen_rows(self) -> slice:
        """Rows of a window at which the model looks."""
        start = self.settings.past_actions
        steps = self.settings.horizon + start if self.settings.decoder == "closed_loop" else 1
        return slice(start, start + steps)

    def forward(self, seen: Tensor, actions: Tensor) -> SkillOutput:
        """Encode, decode and predict a batch of windows.

        Args:
            seen: States or images ``[B, T, ...]`` of the rows ``seen_rows``.
            actions: ``[B, past_actions + H, A]``.
        """
        settings = self.settings
        sequence, context = actions, None
        if self.low_level_sees:
            context = self.perception(seen)
            sequence = torch.cat([actions, context.expand(-1, actions.shape[1], -1)], dim=-1)
            context = context[:, : settings.horizon]
        posterior = self.encoder(sequence)
        skill = posterior.rsample()
        return SkillOutput(posterior, skill, self._decode(context, skill), self.prior(seen[:, 0]))

    def decode(self, seen: Tensor | None, skill: Tensor) -> Tensor:
        """Actions of skills ``[B, d]``.

        Args:
            seen: States or images ``[B, T, ...]``; the start's alone (T = 1) for a conditioned decoder, None for one
                that sees nothing.
            skill: One skill each.

        Returns:
            ``[B, T, A]`` of a closed-loop decoder, ``[B, H, A]`` of the others.
        """
        return self._decode(None if seen is None else self.perception(seen), skill)

    def _decode(self, context: Tensor | None, skill: Tensor) -> Tensor:
        if isinstance(self.decoder, OpenLoopDecoder):
            return self.decoder(skill, None if context is None else context[:, 0])
        assert context is not None
        repeated = skill[:, None].expand(-1, context.shape[1], -1)
        return self.decoder(torch.cat([context, repeated], dim=-1))

    def low_level(self, renderer: Renderer | None) -> LowLevel:
        """The decoder as it acts in an environment, ``chunk`` actions at a time; it must stay in eval mode.

        Args:
            renderer: Draws the images of a model that sees images.
        """
        if isinstance(self.decoder, MLP) and renderer is None:
            decoder = NumpyMLP(self.decoder)
            return lambda observation, skill: decoder(np.concatenate([observation["observation"], skill], 1))[:, None]

        @torch.inference_mode()
        def decode(observation: Observation, skill: np.ndarray) -> np.ndarray:
            device = self.encoder.head.weight.device
            seen = None
            if self.low_level_sees:
                tensors = {key: torch.tensor(value, device=device) for key, value in observation.items()}
                seen = look(tensors, renderer)[:, None]
            return self.decode(seen, torch.tensor(skill, device=device)).cpu().numpy()

        return decode
