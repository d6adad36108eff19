"""The product of Gaussians against its definition."""

import numpy as np
import torch

from lightning_skills.nets.task_encoder import GaussianProductEncoder, product_of_gaussians


def test_the_product_is_the_normalised_product_of_densities():
    rng = np.random.default_rng(0)
    mean, variance = rng.normal(size=(6, 1)), rng.uniform(0.2, 3.0, size=(6, 1))
    grid = np.linspace(-12, 12, 200_001)
    density = np.exp(-0.5 * (grid - mean) ** 2 / variance).prod(axis=0)
    density /= density.sum()
    expected = (grid * density).sum()
    spread = ((grid - expected) ** 2 * density).sum() ** 0.5
    found = product_of_gaussians(torch.from_numpy(mean), torch.from_numpy(variance))
    np.testing.assert_allclose(found.mean.item(), expected, atol=1e-6)
    np.testing.assert_allclose(found.log_std.exp().item(), spread, rtol=1e-5)


def test_a_factor_without_variance_is_not_infinitely_sure():
    found = product_of_gaussians(torch.tensor([[3.0], [0.0]]), torch.tensor([[0.0], [1.0]]))
    np.testing.assert_allclose(found.log_std.exp().item(), 1e-7**0.5, rtol=1e-5)


def test_the_posterior_of_one_transition_is_its_factor_and_order_does_not_matter():
    torch.manual_seed(0)
    encoder = GaussianProductEncoder(4, 3, layers=3, width=8).double()
    context = torch.randn(2, 7, 4, dtype=torch.float64)
    one = encoder(context[:, :1])
    mean, spread = encoder.factors(context[:, 0]).chunk(2, dim=-1)
    torch.testing.assert_close(one.mean, mean)
    torch.testing.assert_close((2 * one.log_std).exp(), torch.nn.functional.softplus(spread))
    whole, shuffled = encoder(context), encoder(context[:, torch.randperm(7)])
    torch.testing.assert_close(whole.mean, shuffled.mean)
    torch.testing.assert_close(whole.log_std, shuffled.log_std)
    assert (whole.log_std < one.log_std).all()
