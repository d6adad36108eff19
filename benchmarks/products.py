"""The matrix products of a computation alone: the least time that it can take without computing less."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

Step = Callable[[], object]
Layout = tuple[tuple[int, ...], tuple[int, ...]]
"""Shape and strides."""
FIRST_OPERAND = {"mm": 0, "bmm": 0, "addmm": 1, "addmm_": 1, "baddbmm": 1}
"""Operators that multiply matrices, and which argument is the left one; the right one follows it."""


class Products(TorchDispatchMode):
    """Takes down the layouts of all pairs of matrices, or batches of them, that are multiplied within.

    Also in the backward passes, and in the order of the products.
    """

    def __init__(self) -> None:
        super().__init__()
        self.pairs: list[tuple[Layout, Layout]] = []

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """See torch."""
        first = FIRST_OPERAND.get(func.overloadpacket.__name__)
        if first is not None:
            self.pairs.append((_layout(args[first]), _layout(args[first + 1])))
        return func(*args, **(kwargs or {}))

    @property
    def multiply_adds(self) -> int:
        """Of all of them."""
        return sum(torch.Size(left).numel() * right[-1] for (left, _), (right, _) in self.pairs)

    def alone(self) -> Step:
        """The same products of random numbers, into memory at hand; equal layouts share it."""
        held = {layout: _filled(layout) for pair in self.pairs for layout in pair}
        outputs = {(*left[:-1], right[-1]) for (left, _), (right, _) in self.pairs}
        room = {shape: torch.empty(shape) for shape in outputs}
        calls = [(held[left], held[right], room[(*left[0][:-1], right[0][-1])]) for left, right in self.pairs]

        def step() -> None:
            for left, right, out in calls:
                torch.matmul(left, right, out=out)

        return step


def products_of(step: Step) -> Products:
    """Those of one call."""
    with Products() as products:
        step()
    return products


def _layout(x: Tensor) -> Layout:
    return tuple(x.shape), tuple(x.stride())


def _filled(layout: Layout) -> Tensor:
    shape, strides = layout
    extent = 1 + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    return torch.randn(extent).as_strided(shape, strides)
