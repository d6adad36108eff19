"""Several multi-layer perceptrons of one shape, each on its own inputs, in one pass."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

StackPass = Callable[..., Tensor]


class MLPStack(nn.Module):
    """ReLU networks with torch's own initial weights, as :func:`lightning_skills.nets.mlp.torch_mlp` makes them.

    Args:
        members: How many, T.
        inputs: Input features.
        outputs: Output features.
        layers: Hidden layers.
        width: Features of each.
    """

    def __init__(self, members: int, inputs: int, outputs: int, layers: int, width: int) -> None:
        super().__init__()
        sizes = [inputs, *[width] * layers, outputs]
        pairs = list(pairwise(sizes))
        self.weights = nn.ParameterList(_uniform(members, fan_in, fan_in, fan_out) for fan_in, fan_out in pairs)
        self.biases = nn.ParameterList(_uniform(members, fan_in, 1, fan_out) for fan_in, fan_out in pairs)

    def of(self, members: Tensor) -> StackPass:
        """Some of them, by their indices ``[M]``, as a function of ``[..., M, inputs]`` to ``[..., M, outputs]``.

        Like :class:`lightning_skills.nets.mlp.MLP` it takes ``learning``: of the first axis, only so many train them.
        """
        parts: list[list[Tensor]] = [[*self.weights], [*self.biases]]
        # Where all are asked for in their order, as whenever each acts in its own world, nothing is copied.
        everyone = torch.equal(members, torch.arange(len(parts[0][0]), device=members.device))

        def forward(x: Tensor, learning: int | None = None) -> Tensor:
            # Chosen anew in each pass: between two, a step may have been made.
            chosen = parts if everyone else _selected(parts, members)
            if learning is None:
                return _chain(x, *chosen)
            fixed = [[each.detach() for each in part] for part in chosen]
            return torch.cat([_chain(x[:learning], *chosen), _chain(x[learning:], *fixed)])

        return forward


def _selected(parts: Sequence[Sequence[Tensor]], members: Tensor) -> list[list[Tensor]]:
    return [[each.index_select(0, members) for each in part] for part in parts]


def _uniform(members: int, fan_in: int, rows: int, columns: int) -> nn.Parameter:
    return nn.Parameter(torch.empty(members, rows, columns).uniform_(-(fan_in**-0.5), fan_in**-0.5))


def _chain(x: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor]) -> Tensor:
    y = (x.flatten(0, -3) if x.dim() > 2 else x[None]).transpose(0, 1)
    for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        y = torch.baddbmm(bias, torch.relu(y) if layer else y, weight)
    return y.transpose(0, 1).reshape(*x.shape[:-1], y.shape[-1])
