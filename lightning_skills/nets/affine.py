"""Affine maps of many rows, on a CPU by oneDNN."""

import torch
from torch import Tensor

MANY_ROWS = 1024
"""From which on oneDNN is faster than BLAS, 1.2 to 1.8 times for widths of 76 to 300; with fewer it is slower."""

ONEDNN = torch.backends.mkldnn.is_available()


def affine(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``x weight^T + bias``, ``[n, in]`` to ``[n, out]``; on a CPU autograd does not see through it.

    The kernels differ by rounding, so that the result for one row may depend on how many rows there are.

    Args:
        x: Rows ``[n, in]``.
        weight: ``[out, in]``.
        bias: ``[out]``.
    """
    if ONEDNN and len(x) >= MANY_ROWS and x.device.type == "cpu" and x.dtype == torch.float32:
        # Without its fused ReLU, which would turn a NaN into 0.
        result: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
        return result
    return x @ weight.t() if bias is None else torch.addmm(bias, x, weight.t())
