"""The multi-layer perceptron that priors, decoders, policies and critics are made of."""

from collections.abc import Iterable, Iterator
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

SLOPE = 0.2
"""Negative slope of every LeakyReLU."""


def initialise(module: nn.Module) -> None:
    """Xavier-normal weights and zero biases for a Linear, nothing for other modules."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_normal_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


class MLP(nn.Module):
    """Linear, LeakyReLU(0.2), then ``layers`` hidden Linear [BatchNorm] LeakyReLU(0.2), then Linear.

    So there are ``layers + 2`` weight matrices. Only the hidden layers between the first and the last are normalised,
    and those have no bias of their own. Weights are Xavier-normal, biases zero, as in SPiRL's code.

    In eval mode BatchNorm is an affine map, which is folded into the weights before it: one matrix product a layer, and
    gradients still reach all parameters.

    Args:
        inputs: Input features.
        outputs: Output features.
        layers: Hidden layers between the first and the last.
        width: Features of each.
        normalised: Whether they have BatchNorm.
    """

    def __init__(self, inputs: int, outputs: int, layers: int, width: int, normalised: bool = False) -> None:
        super().__init__()
        self.first = nn.Linear(inputs, width)
        self.hidden = nn.ModuleList(nn.Linear(width, width, bias=not normalised) for _ in range(layers))
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for _ in range(layers if normalised else 0))
        self.last = nn.Linear(width, outputs)
        self.apply(initialise)

    def forward(self, x: Tensor) -> Tensor:
        """``[..., inputs]`` to ``[..., outputs]``; BatchNorm takes its statistics over all leading axes."""
        shape, x = x.shape[:-1], x.flatten(0, -2)
        if self.training and self.norms:
            x = functional.leaky_relu_(self.first(x), SLOPE)
            for linear, norm in zip(self.hidden, self.norms, strict=True):
                x = functional.leaky_relu_(norm(linear(x)), SLOPE)
            return self.last(x).unflatten(0, shape)
        *layers, (weight, bias) = self.affine()
        for inner_weight, inner_bias in layers:
            x = functional.leaky_relu_(functional.linear(x, inner_weight, inner_bias), SLOPE)
        return functional.linear(x, weight, bias).unflatten(0, shape)

    def affine(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Weight ``[out, in]`` and bias ``[out]`` of each layer in eval mode, BatchNorm folded in."""
        yield self.first.weight, self.first.bias
        hidden = cast(Iterable[nn.Linear], self.hidden)
        if self.norms:
            yield from map(fold, hidden, cast(Iterable[nn.BatchNorm1d], self.norms))
        else:
            yield from ((linear.weight, linear.bias) for linear in hidden)
        yield self.last.weight, self.last.bias


def fold(linear: nn.Linear, norm: nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    """Weight and bias of the one affine map that a Linear without bias and an eval-mode BatchNorm after it make."""
    mean, variance, _ = norm.buffers()
    scale = norm.weight * torch.rsqrt(variance + norm.eps)
    return linear.weight * scale[:, None], norm.bias - mean * scale
