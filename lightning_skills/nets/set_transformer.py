"""Set Transformer (Lee et al., ICML 2019): a summary of a set that costs as much as the set is long."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from lightning_skills.nets.mlp import linear

HEADS = 4
INDUCING_POINTS = 32


class Attention(nn.Module):
    """Multi-head attention block MAB(Q, K) = O + ReLU(Linear(O)), O = q + softmax(q k / sqrt(width)) v, per head.

    As in SiMPL's code: without LayerNorm, and scores are scaled by the full width, not that of a head.

    Args:
        queries: Features of a query.
        keys: Features of a key.
        width: Of q, k, v and the result.
    """

    def __init__(self, queries: int, keys: int, width: int) -> None:
        super().__init__()
        self.query, self.value = nn.Linear(queries, width), nn.Linear(keys, width)
        self.key = nn.Linear(keys, width, bias=False)  # a bias would add the same to all scores of a query
        self.output = nn.Linear(width, width)

    def forward(self, queries: Tensor, keys: Tensor) -> Tensor:
        """``[G, N, queries]`` and ``[G, M, keys]`` to ``[G, N, width]``: best where M is small."""
        q, k, v = linear(self.query, queries), self.key(keys), self.value(keys)
        scale = 1 / math.sqrt(q.shape[-1])
        attended = functional.scaled_dot_product_attention(_heads(q), _heads(k), _heads(v), scale=scale)
        return self._finish(q, attended.transpose(-2, -3).flatten(-2))

    def pool(self, queries: Tensor, keys: Tensor) -> Tensor:
        """The same for a few queries ``[N, queries]`` that all sets share, and many keys ``[G, M, keys]``.

        Keys and values are linear in the elements. So queries are taken through the map of the keys instead, and the
        map of the values is applied to what is pooled: no element is projected.
        """
        q = self.query(queries)
        heads, width = q.unflatten(-1, (HEADS, -1)), q.shape[-1]
        maps = self.key.weight.unflatten(0, (HEADS, -1))
        asked = torch.einsum("nhw,hwk->nhk", heads, maps).flatten(0, 1) / math.sqrt(width)
        pooled = (asked @ keys.transpose(-1, -2)).softmax(-1) @ keys
        pooled = pooled.unflatten(1, (-1, HEADS))
        values = torch.einsum("gnhk,hwk->gnhw", pooled, self.value.weight.unflatten(0, (HEADS, -1))).flatten(-2)
        return self._finish(q, values + self.value.bias)

    def _finish(self, q: Tensor, attended: Tensor) -> Tensor:
        attended = q + attended
        return attended + torch.relu(linear(self.output, attended))


def _heads(x: Tensor) -> Tensor:
    """``[G, N, width]`` to ``[G, heads, N, width / heads]``."""
    return x.unflatten(-1, (HEADS, -1)).transpose(-2, -3)


class InducedAttention(nn.Module):
    """ISAB(X) = MAB(X, MAB(I, X)): the elements attend to a few learned points that have attended to them.

    Args:
        inputs: Features of an element.
        width: Of the result.
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.points = nn.Parameter(nn.init.xavier_uniform_(torch.empty(INDUCING_POINTS, width)))
        self.gather, self.spread = Attention(width, inputs, width), Attention(inputs, width, width)

    def forward(self, x: Tensor) -> Tensor:
        """``[G, N, inputs]`` to ``[G, N, width]``."""
        return self.spread(x, self.gather.pool(self.points, x))


class SetTransformer(nn.Module):
    """Two induced attentions, pooling by one learned query, and a two-layer head.

    Args:
        inputs: Features of an element.
        outputs: Features of the summary.
        width: Of everything between.
    """

    def __init__(self, inputs: int, outputs: int, width: int) -> None:
        super().__init__()
        self.first, self.second = InducedAttention(inputs, width), InducedAttention(width, width)
        self.seed = nn.Parameter(nn.init.xavier_uniform_(torch.empty(1, width)))
        self.pooling = Attention(width, width, width)
        self.head = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, outputs))

    def forward(self, x: Tensor) -> Tensor:
        """``[G, N, inputs]`` to ``[G, outputs]``, whatever the order of the N elements."""
        return self.head(self.pooling.pool(self.seed, self.second(self.first(x))).squeeze(-2))
