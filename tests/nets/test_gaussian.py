import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from lightning_skills.nets.gaussian import Gaussian, squash, squash_log_det, unsquash


@pytest.fixture
def pair() -> tuple[Gaussian, Gaussian]:
    torch.manual_seed(0)
    p, q = (Gaussian(torch.randn(3, 4, dtype=torch.float64), torch.randn(3, 4, dtype=torch.float64)) for _ in range(2))
    return p, q


def test_log_prob_and_kl_per_dimension(pair):
    p, q = pair
    reference_p, reference_q = (Normal(g.mean, g.log_std.exp()) for g in pair)
    x = torch.randn(3, 4, dtype=torch.float64)
    torch.testing.assert_close(p.log_prob(x), reference_p.log_prob(x))
    torch.testing.assert_close(p.kl(q), kl_divergence(reference_p, reference_q))
    torch.testing.assert_close(p.kl_to_standard(), p.kl(Gaussian(torch.zeros(3, 4), torch.zeros(3, 4))))


def test_the_direction_of_the_kl():
    narrow, wide = (Gaussian(torch.zeros(1), torch.full((1,), np.log(std))) for std in (1.0, 2.0))
    assert narrow.kl(wide).item() == pytest.approx(np.log(2) + 1 / 8 - 1 / 2, rel=1e-5)
    assert wide.kl(narrow).item() == pytest.approx(-np.log(2) + 2 - 1 / 2, rel=1e-5)


def test_log_std_is_clamped():
    gaussian = Gaussian.from_output(torch.tensor([[1.0, 2.0, -50.0, 50.0]]))
    assert gaussian.mean.tolist() == [[1.0, 2.0]]
    assert gaussian.log_std.tolist() == [[-10.0, 2.0]]


def test_samples_are_reparameterised():
    torch.manual_seed(0)
    gaussian = Gaussian(torch.full((100_000,), 3.0, requires_grad=True), torch.full((100_000,), -1.0))
    sample = gaussian.rsample()
    assert sample.mean().item() == pytest.approx(3.0, abs=0.01)
    assert sample.std().item() == pytest.approx(np.exp(-1.0), abs=0.01)
    (gradient,) = torch.autograd.grad(sample.sum(), gaussian.mean)
    assert gradient.eq(1).all()


SQUASHED = pytest.mark.parametrize(("bound", "slope"), [(None, None), (1.0, None), (2.0, None), (3.0, 1.0), (2.0, 0.5)])


@SQUASHED
def test_unsquash_inverts_squash_and_stays_finite_at_the_bound(bound, slope):
    u = torch.linspace(-3, 3, 7)
    torch.testing.assert_close(unsquash(squash(u, bound, slope), bound, slope), u, rtol=1e-3, atol=1e-4)
    limit = 1.0 if bound is None else bound
    assert unsquash(torch.tensor([-limit, limit]), bound, slope).isfinite().all()
    if slope is not None:
        assert squash(torch.tensor([-1e-3, 1e-3, 99.0]), bound, slope).tolist() == pytest.approx(
            [-1e-3 * slope, 1e-3 * slope, bound], rel=1e-4
        )


@SQUASHED
def test_log_det_is_the_log_of_the_derivative(bound, slope):
    u = torch.linspace(-8, 8, 9, dtype=torch.float64, requires_grad=True)
    (derivative,) = torch.autograd.grad(squash(u, bound, slope).sum(), u)
    torch.testing.assert_close(squash_log_det(u, bound, slope), derivative.log())
