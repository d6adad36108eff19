import torch

from benchmarks.products import products_of


def test_products_of_both_passes_are_found_and_counted():
    layer, x = torch.nn.Linear(5, 3), torch.randn(7, 5)
    both = torch.randn(2, 4, 6), torch.randn(2, 6, 3)

    def step() -> None:
        layer(x).square().sum().backward()
        both[0] @ both[1]

    products = products_of(step)
    shapes = [(left[0], right[0]) for left, right in products.pairs]
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
    assert products.pairs[0] == (((9, 4), (1, 9)), ((4, 9), (9, 1)))
