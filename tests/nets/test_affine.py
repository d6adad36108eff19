"""Either kernel against the formula, in double precision."""

import pytest
import torch

from lightning_skills.nets.affine import MANY_ROWS, affine


@pytest.mark.parametrize("rows", [1, MANY_ROWS - 1, MANY_ROWS, 3 * MANY_ROWS])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("biased", [False, True])
def test_an_affine_map_is_the_formula(rows, transposed, biased):
    torch.manual_seed(0)
    x, bias = torch.randn(rows, 31), torch.randn(12) if biased else None
    weight = torch.randn(31, 12).t() if transposed else torch.randn(12, 31)
    expected = x.double() @ weight.double().t() + (bias.double() if biased else 0)
    torch.testing.assert_close(affine(x, weight, bias).double(), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("rows", [2, MANY_ROWS])
def test_what_is_not_a_number_stays_so(rows):
    x, weight = torch.ones(rows, 3), torch.ones(2, 3)
    x[1], weight[0] = torch.nan, torch.nan
    expected = torch.zeros(rows, 2, dtype=torch.bool)
    expected[1], expected[:, 0] = True, True
    assert torch.equal(affine(x, weight).isnan(), expected)


def test_many_rows_are_the_same_every_time():
    torch.manual_seed(0)
    x, weight, bias = torch.randn(5000, 300), torch.randn(300, 300), torch.randn(300)
    assert torch.equal(affine(x, weight, bias), affine(x.clone(), weight.clone(), bias.clone()))
