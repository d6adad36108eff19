import math

import numpy as np
import pytest
import torch

from lightning_skills.losses.skill_rl import (
    actor_loss,
    alpha_loss,
    analytic_kl,
    critic_loss,
    negative_entropy,
    sampled_kl,
    td_target,
)
from lightning_skills.nets.gaussian import Gaussian, squash


def gaussian(*shape: int, grad: bool = False) -> Gaussian:
    tensors = torch.randn(*shape, dtype=torch.float64), 0.5 * torch.randn(*shape, dtype=torch.float64)
    return Gaussian(*(tensor.requires_grad_(grad) for tensor in tensors))


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def test_the_kl_runs_from_policy_to_prior_and_sums_over_dimensions():
    policy, prior = gaussian(3, 4), gaussian(3, 4)
    m, s, pm, ps = (x.numpy() for x in (policy.mean, policy.log_std.exp(), prior.mean, prior.log_std.exp()))
    expected = (np.log(ps / s) + (s**2 + (m - pm) ** 2) / (2 * ps**2) - 0.5).sum(axis=1)
    np.testing.assert_allclose(analytic_kl(policy, prior).numpy(), expected)


def test_the_sampled_kl_converges_to_the_analytic_one():
    policy, prior = gaussian(3, 4), gaussian(3, 4)
    torch.testing.assert_close(
        sampled_kl(policy, prior, samples=200_000), analytic_kl(policy, prior), rtol=0.01, atol=0.01
    )


def test_the_gradients_of_both_kls_agree():
    policy, prior = gaussian(1, 2, grad=True), gaussian(1, 2)
    exact = torch.autograd.grad(analytic_kl(policy, prior).sum(), policy)
    estimated = torch.autograd.grad(sampled_kl(policy, prior, samples=400_000).sum(), policy)
    for one, other in zip(exact, estimated, strict=True):
        torch.testing.assert_close(one, other, rtol=0.02, atol=0.02)


def test_the_sampled_kl_is_clamped_after_averaging():
    far = Gaussian(torch.full((2, 4), 1000.0), torch.zeros(2, 4))
    assert sampled_kl(far, Gaussian(torch.zeros(2, 4), torch.zeros(2, 4))).tolist() == [100.0, 100.0]


def test_samples_far_off_on_either_side_cancel_before_the_clamp(monkeypatch):
    noise = torch.tensor([-300.0, 100.0, 100.0, 100.0])[:, None, None]
    monkeypatch.setattr(torch, "randn_like", lambda x: noise.expand_as(x))
    policy, prior = Gaussian(torch.zeros(1, 1), torch.zeros(1, 1)), Gaussian(torch.ones(1, 1), torch.zeros(1, 1))
    # Log ratio of each sample u: 1/2 - u, so 300.5 once and -99.5 three times.
    assert sampled_kl(policy, prior, samples=4, clamp=100.0).item() == pytest.approx(0.5)


@pytest.mark.parametrize("kl", [analytic_kl, sampled_kl])
def test_the_prior_is_detached(kl):
    policy, prior = gaussian(3, 4, grad=True), gaussian(3, 4, grad=True)
    kl(policy, prior).sum().backward()
    assert prior.mean.grad is None
    assert prior.log_std.grad is None
    assert policy.mean.grad is not None


@pytest.mark.parametrize("bound", [1.0, 2.0])
def test_the_density_of_a_squashed_action_integrates_to_one_and_matches_a_histogram(bound):
    policy = Gaussian(torch.tensor([0.3]), torch.tensor([-0.4]))
    actions = torch.linspace(-bound, bound, 20_001, dtype=torch.float64)[1:-1]
    u = torch.atanh(actions / bound)[:, None]
    density = negative_entropy(policy, u, bound).exp()
    assert torch.trapezoid(density, actions).item() == pytest.approx(1.0, abs=1e-3)
    samples = squash(Gaussian(policy.mean.expand(400_000), policy.log_std.expand(400_000)).rsample(), bound)
    frequency = ((samples > 0.2 * bound) & (samples < 0.3 * bound)).double().mean().item()
    inside = (actions > 0.2 * bound) & (actions < 0.3 * bound)
    assert torch.trapezoid(density[inside], actions[inside]).item() == pytest.approx(frequency, abs=3e-3)


def test_alpha_rises_with_too_much_divergence_and_does_not_train_the_policy():
    log_alpha = torch.tensor(math.log(0.5), requires_grad=True)
    divergence = torch.tensor([1.0, 4.0], requires_grad=True)
    loss, metrics = alpha_loss(log_alpha, divergence, target=2.0)
    loss.backward()
    assert loss.item() == pytest.approx(0.5 * (2.0 - 2.5))
    assert log_alpha.grad.item() == pytest.approx(0.5 * (2.0 - 2.5))
    assert divergence.grad is None
    assert metrics["alpha"].item() == pytest.approx(0.5)


@pytest.mark.parametrize("alpha", [0.5, [0.5, 0.25]])
def test_the_target_by_hand(alpha):
    """In double precision, so that nothing on the way may round to single."""
    given = ([1.0, 2.0], [10.0, 20.0], [3.0, 4.0])
    reward, value, divergence = (torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in given)
    weight = torch.tensor(alpha, dtype=torch.float64)
    going = td_target(reward, torch.tensor([False, False]), value, divergence, weight, discount=0.9)
    second = 2.0 + 0.9 * (20.0 - weight.expand(2)[1].item() * 4.0)
    assert going.tolist() == pytest.approx([1.0 + 0.9 * (10.0 - 0.5 * 3.0), second], rel=1e-14)
    ended = td_target(reward, torch.tensor([False, True]), value, divergence, weight, discount=0.9)
    assert ended.tolist() == [going[0].item(), 2.0]
    assert not going.requires_grad


def test_critic_losses_are_half_mean_squares():
    loss, metrics = critic_loss(torch.tensor([[1.0, 0.0], [3.0, 0.0]]), torch.tensor([0.0, 1.0]))
    assert loss.item() == pytest.approx(0.5 * (1 + 4) / 2 + 0.5 * (0 + 1) / 2)
    assert metrics["critic_loss"].item() == pytest.approx(loss.item() / 2)


def test_the_actor_climbs_the_smaller_critic_and_alpha_is_a_constant():
    first, second, divergence = (torch.tensor(x, requires_grad=True) for x in ([1.0, 5.0], [2.0, 4.0], [3.0, 6.0]))
    alpha = torch.tensor(0.5, requires_grad=True)
    loss, _ = actor_loss(torch.stack([first, second], dim=1), divergence, alpha)
    loss.backward()
    assert loss.item() == pytest.approx(((-1.0 + 1.5) + (-4.0 + 3.0)) / 2)
    assert first.grad.tolist() == [-0.5, 0.0]
    assert second.grad.tolist() == [0.0, -0.5]
    assert divergence.grad.tolist() == [0.25, 0.25]
    assert alpha.grad is None
