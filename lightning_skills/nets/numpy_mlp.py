"""An MLP in numpy, for the innermost loop of an environment, where torch's cost per call would dominate."""

from collections.abc import Iterable, Iterator
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from lightning_skills.nets.mlp import MLP, SLOPE

Array = np.ndarray


class NumpyMLP:
    """A copy of an MLP as it is in eval mode, BatchNorm folded into the weights.

    Args:
        mlp: The network; later changes to it do not reach the copy.
    """

    def __init__(self, mlp: MLP) -> None:
        self._layers = [
            (np.ascontiguousarray(weight.detach().cpu().numpy().T), bias.detach().cpu().numpy().copy())
            for weight, bias in affine_maps(mlp)
        ]

    def __call__(self, x: Array) -> Array:
        """``[n, inputs]`` to ``[n, outputs]``, float32."""
        *layers, (weight, bias) = self._layers
        for inner_weight, inner_bias in layers:
            x = x @ inner_weight
            x += inner_bias
            np.maximum(x, SLOPE * x, out=x)
        return x @ weight + bias


def affine_maps(mlp: MLP) -> Iterator[tuple[Tensor, Tensor]]:
    """Weight ``[out, in]`` and bias ``[out]`` of each layer in eval mode."""
    yield mlp.first.weight, mlp.first.bias
    hidden = cast(Iterable[nn.Linear], mlp.hidden)
    if mlp.norms:
        yield from map(fold, hidden, cast(Iterable[nn.BatchNorm1d], mlp.norms))
    else:
        yield from ((linear.weight, linear.bias) for linear in hidden)
    yield mlp.last.weight, mlp.last.bias


def fold(linear: nn.Linear, norm: nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    """Weight and bias of the one affine map that a Linear without bias and an eval-mode BatchNorm after it make."""
    mean, variance, _ = norm.buffers()
    scale = norm.weight * torch.rsqrt(variance + norm.eps)
    return linear.weight * scale[:, None], norm.bias - mean * scale
