import torch

from benchmarks.products import Pair, products_of
from lightning_skills.nets.affine import MANY_ROWS, affine


def test_products_of_both_passes_are_found_and_counted():
    layer, x = torch.nn.Linear(5, 3), torch.randn(7, 5)
    both = torch.randn(2, 4, 6), torch.randn(2, 6, 3)

    def step() -> None:
        layer(x).square().sum().backward()
        both[0] @ both[1]

    products = products_of(step)
    shapes = [(pair.left[0], pair.right[0]) for pair in products.pairs]
    # The gradient of x is not asked for; that of the weight is a product with either side transposed.
    assert shapes[0] == ((7, 5), (5, 3))
    assert shapes[1] in [((3, 7), (7, 5)), ((5, 7), (7, 3))]
    assert shapes[2] == ((2, 4, 6), (2, 6, 3))
    assert products.multiply_adds == 2 * 7 * 5 * 3 + 2 * 4 * 6 * 3


def test_products_alone_are_those_of_the_step():
    held = torch.randn(4, 9)

    def step() -> None:
        held.t() @ held
        torch.addmm(torch.zeros(4), held, held.t())

    products = products_of(step)
    assert products_of(products.alone()).multiply_adds == products.multiply_adds == 9 * 4 * 9 + 4 * 9 * 4
    assert products.pairs[0] == Pair(((9, 4), (1, 9)), ((4, 9), (9, 1)))


def test_products_of_onednn_are_found_and_counted():
    x, weight = torch.randn(2 * MANY_ROWS, 4), torch.randn(3, 4)
    products = products_of(lambda: affine(x, weight))
    assert products.pairs == [Pair(((2 * MANY_ROWS, 4), (4, 1)), ((4, 3), (1, 4)), onednn=True)]
    assert products_of(products.alone()).multiply_adds == products.multiply_adds == 2 * MANY_ROWS * 4 * 3


def test_products_of_attention_are_counted_in_both_passes():
    query, key, value = (torch.randn(2, 4, items, 8, requires_grad=True) for items in (50, 6, 6))

    def step() -> None:
        torch.nn.functional.scaled_dot_product_attention(query, key, value).sum().backward()

    products = products_of(step)
    # Scores and what they weigh; and a gradient for either side of both.
    assert products.multiply_adds == (2 + 4) * 2 * 4 * 50 * 6 * 8
    assert products_of(products.alone()).multiply_adds == products.multiply_adds
