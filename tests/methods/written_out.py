"""What the updates of methods are written out with, in torch's own terms."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn


def plain(network: nn.Module, x: Tensor) -> Tensor:
    """A ReLU network of :class:`lightning_skills.nets.mlp.MLP` without BatchNorm."""
    x = torch.relu(network.first(x))
    for linear in network.hidden:
        x = torch.relu(linear(x))
    return network.last(x)


def descent(networks: Mapping[str, nn.Module], lr: float) -> dict[str, torch.optim.SGD]:
    """Plain gradient descent of each: Adam's first step hardly depends on a gradient's size."""
    return {name: torch.optim.SGD(network.parameters(), lr=lr) for name, network in networks.items()}


def descend(module: nn.Module, optimizers: Sequence[str], lr: float) -> None:
    """Have a phase step by plain gradient descent too."""
    for name in optimizers:
        setattr(module, name, torch.optim.SGD(getattr(module, name).param_groups[0]["params"], lr=lr))


def assert_close(module: nn.Module, expected: Mapping[str, nn.Module]) -> None:
    """A phase's networks are these, in double precision."""
    for name, network in expected.items():
        found = dict(getattr(module, name).named_parameters())
        for key, parameter in network.named_parameters():
            torch.testing.assert_close(found[key], parameter, rtol=1e-9, atol=1e-12, msg=f"{name}.{key}")
