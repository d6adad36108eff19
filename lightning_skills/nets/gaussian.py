"""Diagonal Gaussians, and the tanh that bounds their samples."""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

LOG_STD_RANGE = (-10.0, 2.0)
"""To which a predicted log standard deviation is clamped (SPiRL's code)."""
HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


class Gaussian(NamedTuple):
    """Independent normal distributions; every quantity is per dimension, for the caller to sum or average.

    Args:
        mean: ``[..., d]``.
        log_std: ``[..., d]``, log of the standard deviation.
    """

    mean: Tensor
    log_std: Tensor

    @classmethod
    def from_output(cls, output: Tensor, log_std_range: tuple[float, float] = LOG_STD_RANGE) -> "Gaussian":
        """Split a network output ``[..., 2 d]`` into mean and clamped log std."""
        mean, log_std = output.chunk(2, dim=-1)
        return cls(mean, log_std.clamp(*log_std_range))

    def rsample(self) -> Tensor:
        """A reparameterised sample ``[..., d]``."""
        return torch.addcmul(self.mean, self.log_std.exp(), torch.randn_like(self.mean))

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density of each dimension of ``value`` ``[..., d]``."""
        deviation = (value - self.mean) * torch.exp(-self.log_std)
        return -0.5 * deviation.square() - self.log_std - HALF_LOG_2PI

    def kl(self, other: "Gaussian") -> Tensor:
        """KL(self || other) of each dimension, ``[..., d]``."""
        ratio = self.log_std - other.log_std
        deviation = (self.mean - other.mean) * torch.exp(-other.log_std)
        return 0.5 * ((2 * ratio).exp() + deviation.square() - 1) - ratio

    def kl_to_standard(self) -> Tensor:
        """KL(self || N(0, 1)) of each dimension, ``[..., d]``."""
        return 0.5 * ((2 * self.log_std).exp() + self.mean.square() - 1) - self.log_std

    def detach(self) -> "Gaussian":
        """The same distribution without gradient."""
        return Gaussian(self.mean.detach(), self.log_std.detach())


def squash(u: Tensor, bound: float | None, slope: float | None = None) -> Tensor:
    """``bound * tanh(slope * u / bound)``; ``u`` itself if ``bound`` is None.

    Args:
        u: Any shape.
        bound: Of the result.
        slope: At u = 0; None takes ``bound``, so that the result is ``bound * tanh(u)``.
    """
    return u if bound is None else bound * torch.tanh(u * _steepness(bound, slope))


def unsquash(action: Tensor, bound: float | None, slope: float | None = None) -> Tensor:
    """Inverse of :func:`squash`, finite also at the very bound."""
    if bound is None:
        return action
    limit = 1 - torch.finfo(action.dtype).eps
    return torch.atanh((action / bound).clamp(-limit, limit)) / _steepness(bound, slope)


def squash_log_det(u: Tensor, bound: float | None, slope: float | None = None) -> Tensor:
    """Log derivative of the squashing, per dimension; the log density of ``u`` minus this is that of the result."""
    if bound is None:
        return torch.zeros_like(u)
    within = u * _steepness(bound, slope)
    return math.log(bound if slope is None else slope) + 2 * (math.log(2) - within - functional.softplus(-2 * within))


def _steepness(bound: float, slope: float | None) -> float:
    return 1.0 if slope is None else slope / bound
