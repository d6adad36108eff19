"""A policy that corrects a frozen prior."""

import torch
from torch import Tensor
from torch.nn import functional

from lightning_skills.nets.gaussian import Gaussian
from lightning_skills.nets.multiplier import inverse_softplus

SMALLEST_STD = 1e-3


def corrected(prior: Gaussian, correction: Tensor) -> Gaussian:
    """The policy ``[..., d]``: the prior, its mean and the softplus inverse of its std moved by ``[..., 2 d]``.

    As SiMPL's is (Nam et al., ICLR 2022, the authors' code).
    """
    shift, spread = correction.chunk(2, dim=-1)
    std = SMALLEST_STD + functional.softplus(inverse_softplus(prior.log_std.exp()) + spread)
    return Gaussian(prior.mean + shift, torch.log(std))
