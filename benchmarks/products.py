"""The matrix products of a computation alone: the least time that it can take without computing less."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

Step = Callable[[], object]
Layout = tuple[tuple[int, ...], tuple[int, ...]]
"""Shape and strides."""
FIRST_OPERAND = {"mm": 0, "bmm": 0, "addmm": 1, "addmm_": 1, "baddbmm": 1}
"""BLAS's operators that multiply matrices, and which argument is the left one; the right one follows it."""
ONEDNN = "_linear_pointwise"
"""The same of oneDNN, which takes the right one transposed."""
ATTENTION = "_scaled_dot_product_flash_attention_for_cpu"
"""torch's attention in one piece, and with "_backward" its gradient."""


@dataclass(frozen=True)
class Pair:
    """Two matrices, or batches of them, that are multiplied.

    Args:
        left: Layout of one.
        right: Layout of the other.
        onednn: Whether oneDNN multiplies them, and not BLAS.
    """

    left: Layout
    right: Layout
    onednn: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the product."""
        return (*self.left[0][:-1], self.right[0][-1])


class Products(TorchDispatchMode):
    """Takes down the layouts of all pairs of matrices, or batches of them, that are multiplied within.

    Also in the backward passes, and in the order of the products.
    """

    def __init__(self) -> None:
        super().__init__()
        self.pairs: list[Pair] = []

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """See torch."""
        name = func.overloadpacket.__name__
        if name == ONEDNN:
            self.pairs.append(Pair(_layout(args[0]), _layout(args[1].t()), onednn=True))
        elif name == ATTENTION:
            self.pairs += _attention(*args[:2])
        elif name == f"{ATTENTION}_backward":
            self.pairs += 2 * _attention(*args[1:3])  # a gradient for either side of both products
        elif name in FIRST_OPERAND:
            first = FIRST_OPERAND[name]
            self.pairs.append(Pair(_layout(args[first]), _layout(args[first + 1])))
        return func(*args, **(kwargs or {}))

    @property
    def multiply_adds(self) -> int:
        """Of all of them."""
        return sum(torch.Size(pair.left[0]).numel() * pair.right[0][-1] for pair in self.pairs)

    def alone(self) -> Step:
        """The same products of random numbers by the same libraries; equal layouts share their memory."""
        held = {layout: _filled(layout) for pair in self.pairs for layout in (pair.left, pair.right)}
        room = {pair.shape: torch.empty(pair.shape) for pair in self.pairs}
        calls = [(held[pair.left], held[pair.right], room[pair.shape], pair.onednn) for pair in self.pairs]

        def step() -> None:
            for left, right, out, onednn in calls:
                if onednn:
                    torch.ops.mkldnn._linear_pointwise(left, right.t(), None, "none", [], "")
                else:
                    torch.matmul(left, right, out=out)

        return step


def products_of(step: Step) -> Products:
    """Those of one call."""
    with Products() as products:
        step()
    return products


def _attention(queries: Tensor, keys: Tensor) -> list[Pair]:
    """Scores of ``[..., N, d]`` queries for ``[..., M, d]`` keys, and the values weighted by them."""
    sets, (items, width), others = queries.shape[:-2].numel(), queries.shape[-2:], keys.shape[-2]
    query, key, score = ((sets, *shape) for shape in ((items, width), (width, others), (items, others)))
    value = (sets, others, width)
    return [Pair(_contiguous(query), _contiguous(key)), Pair(_contiguous(score), _contiguous(value))]


def _contiguous(shape: tuple[int, int, int]) -> Layout:
    return shape, (shape[1] * shape[2], shape[2], 1)


def _layout(x: Tensor) -> Layout:
    return tuple(x.shape), tuple(x.stride())


def _filled(layout: Layout) -> Tensor:
    shape, strides = layout
    extent = 1 + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    return torch.randn(extent).as_strided(shape, strides)
