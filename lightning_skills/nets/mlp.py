"""The multi-layer perceptron that priors, decoders, policies and critics are made of."""

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
        x = functional.leaky_relu_(self.first(x), SLOPE)
        for index, linear in enumerate(self.hidden):
            x = linear(x)
            if self.norms:
                x = self.norms[index](x)
            x = functional.leaky_relu_(x, SLOPE)
        return self.last(x).unflatten(0, shape)
