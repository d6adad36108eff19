"""The network that infers a task."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from lightning_skills.nets.corrected_prior import SMALLEST_STD
from lightning_skills.nets.gaussian import Gaussian
from lightning_skills.nets.set_transformer import SetTransformer


class TaskEncoder(nn.Module):
    """Posterior of a task embedding from a set of skill transitions (SiMPL, sec. 4.3), a Set Transformer.

    Its std before training is about 1.

    Args:
        state_dim: Length of a state.
        skill_dim: Of a skill.
        embedding_dim: d.
        width: Of the transformer.
    """

    def __init__(self, state_dim: int, skill_dim: int, embedding_dim: int, width: int) -> None:
        super().__init__()
        inputs = 2 * state_dim + skill_dim + 2  # both states, skill, reward and end of a transition
        self.transformer = SetTransformer(inputs, 2 * embedding_dim, width)

    def forward(self, context: Tensor) -> Gaussian:
        """``[G, N, inputs]`` to the posterior ``[G, d]``, whatever the order of the N transitions."""
        mean, spread = self.transformer(context).chunk(2, dim=-1)
        std = SMALLEST_STD + functional.softplus(spread + math.log(math.expm1(1.0)))
        return Gaussian(mean, torch.log(std))
