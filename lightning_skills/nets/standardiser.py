"""Vectors by mean and standard deviation of those seen before."""

import torch
from torch import Tensor, nn

from lightning_skills.ranks import total

LEAST_STD = 1e-2
"""What hardly moved while it was looked at is not blown up when it does."""


class Standardiser(nn.Module):
    """Shifts and scales vectors by the mean and the standard deviation, at least 0.01, of those it was shown.

    Before any was shown, it leaves them as they are.

    Args:
        features: Their length, F.
    """

    count: Tensor
    sums: Tensor
    squares: Tensor
    mean: Tensor
    std: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(1, dtype=torch.float64))
        self.register_buffer("sums", torch.zeros(features, dtype=torch.float64))
        self.register_buffer("squares", torch.zeros(features, dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("std", torch.ones(features))

    def show(self, vectors: Tensor) -> None:
        """Take ``[n, F]`` of every rank into account."""
        shown = vectors.to(self.sums)
        moments = torch.cat([self.count.new_tensor([len(shown)]), shown.sum(0), shown.square().sum(0)])
        count, sums, squares = total(moments).split([1, len(self.sums), len(self.sums)])
        self.count += count
        self.sums += sums
        self.squares += squares
        mean = self.sums / self.count
        self.mean.copy_(mean)
        self.std.copy_((self.squares / self.count - mean.square()).clamp(min=0).sqrt().clamp(min=LEAST_STD))

    def forward(self, vectors: Tensor) -> Tensor:
        """``[..., F]`` to ``[..., F]``."""
        return (vectors - self.mean) / self.std
