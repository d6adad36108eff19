"""The multi-layer perceptron that priors, decoders, policies and critics are made of."""

from collections.abc import Sequence
from itertools import chain
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from lightning_skills.nets.affine import affine

SLOPE = 0.2
"""Negative slope of LeakyReLU in SPiRL's networks."""


def initialise(module: nn.Module) -> None:
    """Xavier-normal weights and zero biases for a Linear, nothing for other modules."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_normal_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def initialise_like_rlkit(mlp: "MLP", last: float) -> None:
    """Weights of all but the last layer uniform within one over the root of its *outputs*, biases 0.1.

    Args:
        mlp: The network.
        last: Weights and biases of its last layer are uniform within this.
    """
    for linear in (mlp.first, *mlp.hidden):
        bound = linear.out_features**-0.5
        nn.init.uniform_(linear.weight, -bound, bound)
        nn.init.constant_(linear.bias, 0.1)
    for parameter in mlp.last.parameters():
        nn.init.uniform_(parameter, -last, last)


class MLP(nn.Module):
    """Linear, LeakyReLU, then ``layers`` hidden Linear [BatchNorm] LeakyReLU, then Linear.

    So there are ``layers + 2`` weight matrices. Only the hidden layers between the first and the last are normalised,
    and those have no bias of their own. Weights are Xavier-normal, biases zero, as in SPiRL's code.

    Args:
        inputs: Input features.
        outputs: Output features.
        layers: Hidden layers between the first and the last.
        width: Features of each.
        normalised: Whether they have BatchNorm.
        slope: Negative slope of the LeakyReLUs; 0 makes them ReLUs.
    """

    def __init__(
        self, inputs: int, outputs: int, layers: int, width: int, normalised: bool = False, slope: float = SLOPE
    ) -> None:
        super().__init__()
        self.slope = slope
        self.first = nn.Linear(inputs, width)
        self.hidden = nn.ModuleList(nn.Linear(width, width, bias=not normalised) for _ in range(layers))
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for _ in range(layers if normalised else 0))
        self.last = nn.Linear(width, outputs)
        self.apply(initialise)

    def forward(self, x: Tensor, learning: int | None = None) -> Tensor:
        """``[..., inputs]`` to ``[..., outputs]``; BatchNorm takes its statistics over all leading axes.

        Args:
            x: Input.
            learning: See :class:`AffineChain`; not while BatchNorm is training.
        """
        shape, x = x.shape[:-1], x.flatten(0, -2)
        if self.norms and self.training:
            return self._normalise(x).view(*shape, self.last.out_features)
        maps = chain(*self.affine_maps())
        return AffineChain.apply(x, learning, self.slope, *maps).view(*shape, self.last.out_features)

    def _normalise(self, x: Tensor) -> Tensor:
        x = functional.leaky_relu_(self.first(x), self.slope)
        for linear, norm in zip(self.hidden, self.norms, strict=True):
            x = functional.leaky_relu_(norm(linear(x)), self.slope)
        return self.last(x)

    def affine_maps(self) -> list[tuple[Tensor, Tensor]]:
        """Weight ``[out, in]`` and bias ``[out]`` of each layer as it is in eval mode."""
        hidden = cast(Sequence[nn.Linear], self.hidden)
        if self.norms:
            inner = fold(hidden, cast(Sequence[nn.BatchNorm1d], self.norms))
        else:
            inner = [(linear.weight, linear.bias) for linear in hidden]
        return [(self.first.weight, self.first.bias), *inner, (self.last.weight, self.last.bias)]


def torch_mlp(inputs: int, outputs: int, layers: int, width: int) -> MLP:
    """A ReLU network with so many hidden layers and torch's own initial weights."""
    mlp = MLP(inputs, outputs, layers - 1, width, slope=0.0)
    for module in mlp.modules():
        if isinstance(module, nn.Linear):
            module.reset_parameters()
    return mlp


def fold(linears: Sequence[nn.Linear], norms: Sequence[nn.BatchNorm1d]) -> list[tuple[Tensor, Tensor]]:
    """Weight and bias of the affine maps that Linears without bias and eval-mode BatchNorms after them make.

    Stacked, as the layers are of one size: so small, each would cost little more than the calls it takes.
    """
    weight, mean, variance, gain, bias = (
        torch.stack(cast(list[Tensor], [getattr(module, name) for module in modules]))
        for modules, name in (
            (linears, "weight"),
            (norms, "running_mean"),
            (norms, "running_var"),
            (norms, "weight"),
            (norms, "bias"),
        )
    )
    scale = gain * torch.rsqrt(variance + norms[0].eps)
    weights, biases = weight * scale[..., None], torch.addcmul(bias, mean, scale, value=-1)
    return list(zip(weights.unbind(), biases.unbind(), strict=True))


class AffineChain(torch.autograd.Function):
    """Affine maps with LeakyReLU between them, as one step of autograd.

    An actor-critic's loss needs a critic twice, at stored actions to train the critic and at the policy's to train the
    policy. Given ``learning``, one pass serves both: the first so many rows give gradients to weights and biases, the
    other rows to the input. The smaller of two critics passes a gradient on and the other one gets zeros, so those
    other rows are left out of the backward pass where their gradient is zero.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, learning: int | None, slope: float, *parameters: Tensor) -> Tensor:
        """``[n, in]`` to ``[n, out]``; ``parameters`` are weight and bias of one map after the other."""
        weights, biases = parameters[::2], parameters[1::2]
        inputs = [x]
        for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
            inputs.append(functional.leaky_relu_(affine(inputs[-1], weight, bias), slope))
        ctx.learning, ctx.slope = learning, slope
        ctx.save_for_backward(*inputs, *weights)
        return affine(inputs[-1], weights[-1], biases[-1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of the arguments of :meth:`forward` for that of its result ``[n, out]``."""
        depth = len(ctx.saved_tensors) // 2
        inputs, weights = ctx.saved_tensors[:depth], ctx.saved_tensors[depth:]
        train, steer = ctx.needs_input_grad[3], ctx.needs_input_grad[0]
        learning = len(grad) if ctx.learning is None else ctx.learning
        rows, grad = None, grad[:learning] if not steer else grad
        if steer and ctx.learning is not None:
            rows = learning + grad[learning:].any(1).nonzero().squeeze(1)
            grad = torch.cat([grad[:learning], grad.index_select(0, rows)])
        gradients: list[Tensor | None] = []
        for layer in reversed(range(depth)):
            x = inputs[layer]
            if train:
                trained = grad[:learning]
                gradients += [trained.sum(0), weight_gradient(trained, x[:learning])]
            else:
                gradients += [None, None]
            if layer:
                grad = affine(grad, weights[layer].t())
                pass_back_(grad[:learning], x[:learning], ctx.slope)
                if rows is not None:
                    pass_back_(grad[learning:], x.index_select(0, rows), ctx.slope)
        if not steer:
            passed = None
        elif rows is None:
            passed = affine(grad, weights[0].t())
        else:
            passed = torch.zeros_like(inputs[0]).index_copy_(0, rows, affine(grad[learning:], weights[0].t()))
        return passed, None, None, *reversed(gradients)


def linear(layer: nn.Linear, x: Tensor) -> Tensor:
    """What a layer with a bias makes of ``[..., in]``, by the products that are fastest for many rows."""
    y = AffineChain.apply(x.flatten(0, -2), None, SLOPE, layer.weight, layer.bias)
    return y.view(*x.shape[:-1], layer.out_features)


def pass_back_(grad: Tensor, output: Tensor, slope: float) -> None:
    """Turn the gradient of a LeakyReLU's output into that of its input, in place."""
    torch.ops.aten.leaky_relu_backward.grad_input(grad, output, slope, True, grad_input=grad)


def weight_gradient(grad: Tensor, x: Tensor) -> Tensor:
    """Gradient ``[out, in]`` of a weight from those of the outputs ``[n, out]`` and the inputs ``[n, in]``."""
    return grad.t() @ x
