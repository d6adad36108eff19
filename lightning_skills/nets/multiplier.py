"""Positive weights that are learned."""

import torch
from torch import Tensor, nn
from torch.nn import functional


def inverse_softplus(x: Tensor) -> Tensor:
    """Exact also for small x > 0."""
    return x + torch.log(-torch.expm1(-x))


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
