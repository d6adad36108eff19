"""A policy over skills that corrects the skill prior, and multipliers that only grow."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from lightning_skills.nets.gaussian import Gaussian
from lightning_skills.nets.mlp import MLP
from lightning_skills.nets.set_transformer import SetTransformer

SMALLEST_STD = 1e-3


def inverse_softplus(x: Tensor) -> Tensor:
    """Exact also for small x > 0."""
    return x + torch.log(-torch.expm1(-x))


def corrected(prior: Gaussian, correction: Tensor) -> Gaussian:
    """The policy ``[..., d]``: the prior, its mean and the softplus inverse of its std moved by ``[..., 2 d]``."""
    shift, spread = correction.chunk(2, dim=-1)
    std = SMALLEST_STD + functional.softplus(inverse_softplus(prior.log_std.exp()) + spread)
    return Gaussian(prior.mean + shift, torch.log(std))


class TaskEncoder(nn.Module):
    """Posterior of a task embedding from a set of skill transitions (SiMPL, sec. 4.3), a Set Transformer.

    Its std before training is about 1.

    Args:
        inputs: Length of a transition as it is seen.
        embedding_dim: d.
        width: Of the transformer.
    """

    def __init__(self, inputs: int, embedding_dim: int, width: int) -> None:
        super().__init__()
        self.transformer = SetTransformer(inputs, 2 * embedding_dim, width)

    def forward(self, context: Tensor) -> Gaussian:
        """``[G, N, inputs]`` to the posterior ``[G, d]``, whatever the order of the N transitions."""
        mean, spread = self.transformer(context).chunk(2, dim=-1)
        std = SMALLEST_STD + functional.softplus(spread + math.log(math.expm1(1.0)))
        return Gaussian(mean, torch.log(std))


class Multiplier(nn.Module):
    """Weights lambda = softplus(parameter) of constraints, one for each of n.

    Args:
        initial: Their value at first.
        count: n.
    """

    def __init__(self, initial: float, count: int = 1) -> None:
        super().__init__()
        self.parameter = nn.Parameter(inverse_softplus(torch.full((count,), initial)))

    def forward(self) -> Tensor:
        """``[n]``."""
        return functional.softplus(self.parameter)


def torch_mlp(inputs: int, outputs: int, layers: int, width: int) -> MLP:
    """A ReLU network with so many hidden layers and torch's own initial weights."""
    mlp = MLP(inputs, outputs, layers - 1, width, slope=0.0)
    for module in mlp.modules():
        if isinstance(module, nn.Linear):
            module.reset_parameters()
    return mlp
