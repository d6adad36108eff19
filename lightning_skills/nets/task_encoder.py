"""What a meta-learner infers of a task from a context of transitions."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from lightning_skills.nets.gaussian import Gaussian
from lightning_skills.nets.mlp import MLP, initialise_like_rlkit

SMALLEST_VARIANCE = 1e-7


class GaussianProductEncoder(nn.Module):
    """Posterior of a task embedding as a product of one Gaussian factor for each transition (PEARL, sec. 4.2).

    Rakelly et al., ICML 2019. A ReLU network sees one transition and gives the mean and, through a softplus, the
    variance of its factor. Weights begin as in the authors' code (rlkit).

    Args:
        inputs: Length of a transition as it is seen.
        embedding_dim: d.
        layers: Hidden layers.
        width: Features of each.
    """

    def __init__(self, inputs: int, embedding_dim: int, layers: int, width: int) -> None:
        super().__init__()
        self.factors = MLP(inputs, 2 * embedding_dim, layers - 1, width, slope=0.0)
        initialise_like_rlkit(self.factors, last=3e-3)

    def forward(self, context: Tensor) -> Gaussian:
        """``[..., N, inputs]`` to the posterior ``[..., d]``, whatever the order of the N transitions."""
        mean, spread = self.factors(context).chunk(2, dim=-1)
        return product_of_gaussians(mean, functional.softplus(spread))


def product_of_gaussians(mean: Tensor, variance: Tensor) -> Gaussian:
    """The Gaussian ``[..., d]`` that is proportional to the product of N Gaussians ``[..., N, d]``."""
    precision = variance.clamp(min=SMALLEST_VARIANCE).reciprocal()
    total = precision.sum(-2)
    return Gaussian((mean * precision).sum(-2) / total, -0.5 * torch.log(total))
