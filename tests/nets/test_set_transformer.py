"""The set transformer against attention written out, element by element."""

import math

import pytest
import torch

from lightning_skills.nets.set_transformer import Attention, SetTransformer

HEADS, INDUCING_POINTS = 4, 32  # SiMPL's code


def written_out(block, queries, keys):
    """MAB of one set, query by query and head by head."""
    q, k, v = block.query(queries), block.key(keys), block.value(keys)
    width = q.shape[-1]
    part = width // HEADS
    rows = []
    for row in q:
        attended = []
        for head in range(HEADS):
            own = slice(head * part, (head + 1) * part)
            scores = torch.stack([row[own] @ key[own] for key in k]) / math.sqrt(width)
            weights = scores.exp() / scores.exp().sum()
            attended.append(sum(weight * value[own] for weight, value in zip(weights, v, strict=True)))
        summed = row + torch.cat(attended)
        rows.append(summed + torch.relu(block.output(summed)))
    return torch.stack(rows)


@pytest.fixture
def sets():
    torch.manual_seed(0)
    return torch.randn(3, 9, 5, dtype=torch.float64)


def test_a_block_is_attention_as_written(sets):
    block = Attention(4, 5, 8).double()
    queries = torch.randn(3, 6, 4, dtype=torch.float64)
    expected = torch.stack([written_out(block, *pair) for pair in zip(queries, sets, strict=True)])
    torch.testing.assert_close(block(queries, sets), expected)


def test_pooling_is_the_same_block_for_shared_queries_with_the_same_gradients(sets):
    block = Attention(4, 5, 8).double()
    queries = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(3, 6, 8, dtype=torch.float64)
    leaves = [queries, *block.parameters()]
    outputs = block.pool(queries, sets), block(queries.expand(3, -1, -1), sets)
    torch.testing.assert_close(*outputs)
    torch.testing.assert_close(*(torch.autograd.grad((out * weights).sum(), leaves) for out in outputs))


def test_each_attention_goes_through_so_many_points():
    network = SetTransformer(5, 4, width=8)
    assert [tuple(block.points.shape) for block in (network.first, network.second)] == [(INDUCING_POINTS, 8)] * 2


def test_a_summary_does_not_depend_on_order_and_treats_sets_alone(sets):
    network = SetTransformer(5, 4, width=8).double()
    summary = network(sets)
    torch.testing.assert_close(network(sets[:, torch.randperm(9)]), summary)
    torch.testing.assert_close(network(sets[1:2]), summary[1:2])
    changed = sets.clone()
    changed[0, 4] += 1
    assert not torch.allclose(network(changed)[0], summary[0])


def test_one_element_is_summarised_by_itself(sets):
    """A softmax over one element is 1, so every pooling passes its value on."""
    network = SetTransformer(5, 4, width=8).double()

    def block(mab, query, value):
        summed = mab.query(query) + mab.value(value)
        return summed + torch.relu(mab.output(summed))

    def induced(isab, x):
        points = torch.stack([block(isab.gather, point, x) for point in isab.points])
        return written_out(isab.spread, x[None], points)[0]

    x = sets[0, 0]
    summary = network.head(block(network.pooling, network.seed[0], induced(network.second, induced(network.first, x))))
    torch.testing.assert_close(network(x[None, None])[0], summary)
