"""The skill model that SPiRL learns from trajectories: posterior, closed-loop decoder and skill prior."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from lightning_skills.artefacts import Artefact
from lightning_skills.nets.gaussian import Gaussian
from lightning_skills.nets.lstm import last_output
from lightning_skills.nets.mlp import MLP, initialise
from lightning_skills.nets.numpy_mlp import NumpyMLP

KIND = "skills"
"""Kind of the artefact that holds a :class:`SkillModel`."""


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
        decoder_layers: Hidden layers of the decoder between the first and the last.
        prior_layers: The same of the prior.
    """

    state_dim: int
    action_dim: int
    horizon: int
    latent_dim: int
    encoder_width: int
    width: int
    decoder_layers: int
    prior_layers: int


class SkillOutput(NamedTuple):
    """What :class:`SkillModel` predicts for a batch of windows.

    Args:
        posterior: q(z | s, a), ``[B, d]``.
        skill: A sample of it, ``[B, d]``.
        action: The decoder's reconstruction, ``[B, H, A]``.
        prior: p(z | s_0), ``[B, d]``.
    """

    posterior: Gaussian
    skill: Tensor
    action: Tensor
    prior: Gaussian


class SkillEncoder(nn.Module):
    """q(z | s_0..H-1, a_0..H-1): an LSTM over [a_t, s_t] whose last output gives mean and log std.

    The linear embedding before the LSTM has no activation, so the two linear maps are multiplied into one before they
    meet the data; this halves the LSTM's arithmetic and changes neither outputs nor gradients.

    Args:
        inputs: A + S.
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
        for bias in [*self.lstm.parameters()][2:]:
            # Gates lie in the order input, forget, cell, output; both biases at 1 make the LSTM remember at first.
            nn.init.ones_(bias.data[width : 2 * width])

    def forward(self, sequence: Tensor) -> Gaussian:
        """The posterior ``[B, d]`` of ``[B, H, A + S]``."""
        weight_input, weight_hidden, bias_input, bias_hidden = self.lstm.parameters()
        weight = weight_input @ self.embedding.weight
        bias = torch.addmv(bias_input + bias_hidden, weight_input, self.embedding.bias)
        output = last_output(sequence.transpose(0, 1), weight, weight_hidden, bias)
        return Gaussian.from_output(self.posterior(self.head(output)))


class SkillModel(nn.Module):
    """Closed-loop skill model (SPiRL, Pertsch et al. 2020; decoder of the authors' later ``ClSPiRLMdl``).

    The decoder is a policy pi(a | s, z) that sees the true state at each of the H steps. It predicts the mean of a
    Gaussian of unit variance. Prior and decoder have BatchNorm.

    Args:
        settings: Sizes.
    """

    def __init__(self, settings: SkillModelSettings) -> None:
        super().__init__()
        self.settings = settings
        state, action, latent, width = settings.state_dim, settings.action_dim, settings.latent_dim, settings.width
        self.encoder = SkillEncoder(action + state, latent, settings.encoder_width, width)
        self.decoder = MLP(state + latent, action, settings.decoder_layers, width, normalised=True)
        self.prior_net = MLP(state, 2 * latent, settings.prior_layers, width, normalised=True)

    def forward(self, states: Tensor, actions: Tensor) -> SkillOutput:
        """Encode, decode and predict a batch of windows.

        Args:
            states: ``[B, H, S]``, s_0 to s_{H-1}.
            actions: ``[B, H, A]``.
        """
        posterior = self.encoder(torch.cat([actions, states], dim=-1))
        skill = posterior.rsample()
        return SkillOutput(posterior, skill, self.decode(states, skill), self.prior(states[:, 0]))

    def prior(self, state: Tensor) -> Gaussian:
        """p(z | s) for ``[B, S]``."""
        return Gaussian.from_output(self.prior_net(state))

    def decode(self, states: Tensor, skill: Tensor) -> Tensor:
        """Actions ``[B, T, A]`` for the states ``[B, T, S]`` under one skill ``[B, d]`` each."""
        repeated = skill[:, None].expand(-1, states.shape[1], -1)
        return self.decoder(torch.cat([states, repeated], dim=-1))

    def low_level(self) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
        """The decoder in numpy: states ``[n, S]``, skills ``[n, d]`` to actions ``[n, A]``."""
        decoder = NumpyMLP(self.decoder)
        return lambda states, skills: decoder(np.concatenate([states, skills], axis=1))

    def to_artefact(self) -> Artefact:
        """Settings and tensors."""
        return Artefact(KIND, asdict(self.settings), self.state_dict())

    @classmethod
    def from_artefact(cls, artefact: Artefact) -> "SkillModel":
        """Inverse of :meth:`to_artefact`."""
        model = cls(SkillModelSettings(**artefact.settings))
        model.load_state_dict(artefact.tensors)
        return model
