import numpy as np
import pytest
import torch

from lightning_skills.losses.skill_vae import beta_loss, skill_vae_loss
from lightning_skills.nets.gaussian import Gaussian
from lightning_skills.nets.skill_model import SkillModel, SkillModelSettings

BETA = 0.05


def batch(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes = {"prediction": (2, 3, 4), "action": (2, 3, 4)}
    shapes |= dict.fromkeys(("mean", "log_std", "skill", "prior_mean", "prior_log_std"), (2, 5))
    return {name: rng.normal(size=shape) for name, shape in shapes.items()}


def loss_of(arrays: dict[str, np.ndarray]) -> tuple[torch.Tensor, dict, dict[str, torch.Tensor]]:
    t = {name: torch.from_numpy(value).requires_grad_() for name, value in arrays.items()}
    posterior, prior = Gaussian(t["mean"], t["log_std"]), Gaussian(t["prior_mean"], t["prior_log_std"])
    loss, metrics = skill_vae_loss(t["prediction"], t["action"], posterior, t["skill"], prior, BETA)
    return loss, metrics, t


def test_each_term_against_numpy_item_by_item():
    x = batch()
    reconstruction = np.mean(
        [
            0.5 * (x["action"][b, t, i] - x["prediction"][b, t, i]) ** 2 + 0.5 * np.log(2 * np.pi)
            for b in range(2)
            for t in range(3)
            for i in range(4)
        ]
    )
    var, prior_std = np.exp(x["log_std"]) ** 2, np.exp(x["prior_log_std"])
    kl = np.mean(0.5 * (var + x["mean"] ** 2 - 1 - np.log(var)))
    density = np.exp(-0.5 * ((x["skill"] - x["prior_mean"]) / prior_std) ** 2) / (prior_std * np.sqrt(2 * np.pi))
    nll = np.mean(-np.log(density.prod(axis=1)))
    loss, metrics, _ = loss_of(x)
    assert metrics["reconstruction"].item() == pytest.approx(reconstruction)
    assert metrics["kl"].item() == pytest.approx(kl)
    assert metrics["prior_nll"].item() == pytest.approx(nll)
    assert loss.item() == pytest.approx(reconstruction + BETA * kl + nll)


def test_a_perfect_reconstruction_costs_the_constant_alone():
    x = batch()
    x["prediction"] = x["action"]
    assert loss_of(x)[1]["reconstruction"].item() == pytest.approx(0.9189385)


def test_the_skill_gets_no_gradient_from_the_prior():
    loss, _, t = loss_of(batch())
    loss.backward()
    assert t["skill"].grad is None
    assert t["prior_mean"].grad.abs().min() > 0


def test_the_prior_term_trains_the_prior_alone_and_the_rest_everything_else():
    torch.manual_seed(0)
    model = SkillModel(SkillModelSettings(4, 2, 5, 3, 6, 8, 1, 1))
    states, actions = torch.randn(6, 5, 4), torch.randn(6, 5, 2)

    def gradients(scale: float) -> dict[str, torch.Tensor]:
        torch.manual_seed(1)
        out = model(states, actions)
        prior = Gaussian(out.prior.mean * scale, out.prior.log_std)
        loss, _ = skill_vae_loss(out.action, actions, out.posterior, out.skill, prior, BETA)
        names = [name for name, _ in model.named_parameters()]
        return dict(zip(names, torch.autograd.grad(loss, [*model.parameters()]), strict=True))

    one, other = gradients(1.0), gradients(3.0)
    for name in one:
        assert torch.equal(one[name], other[name]) == (not name.startswith("prior_net")), name


def test_the_other_estimator_is_the_mean_kl_and_trains_the_prior_alone():
    x = batch()
    t = {name: torch.from_numpy(value).requires_grad_() for name, value in x.items()}
    posterior, prior = Gaussian(t["mean"], t["log_std"]), Gaussian(t["prior_mean"], t["prior_log_std"])
    arguments = (t["prediction"], t["action"], posterior, t["skill"], prior, BETA)
    loss, metrics = skill_vae_loss(*arguments, prior_estimator="kl")
    std, prior_std = np.exp(x["log_std"]), np.exp(x["prior_log_std"])
    away = (x["mean"] - x["prior_mean"]) / prior_std
    kl = np.mean(np.log(prior_std / std) + 0.5 * ((std / prior_std) ** 2 + away**2 - 1))
    assert "prior_nll" not in metrics
    assert metrics["prior_kl"].item() == pytest.approx(kl)
    rest = metrics["reconstruction"] + BETA * metrics["kl"]
    assert loss.item() == pytest.approx(rest.item() + kl)
    names = ["mean", "log_std", "prior_mean", "prior_log_std"]
    found = dict(zip(names, torch.autograd.grad(loss, [t[name] for name in names]), strict=True))
    np.testing.assert_allclose(found["mean"], BETA * x["mean"] / 10)  # of the KL to N(0, 1)
    np.testing.assert_allclose(found["log_std"], BETA * (std**2 - 1) / 10)
    np.testing.assert_allclose(found["prior_mean"], -away / prior_std / 10)
    np.testing.assert_allclose(found["prior_log_std"], (1 - (std / prior_std) ** 2 - away**2) / 10)


@pytest.mark.parametrize(("kl", "grows"), [(0.5, True), (0.1, False)])
def test_beta_grows_while_the_kl_exceeds_its_target(kl, grows):
    log_beta, kl = torch.tensor(-1.0, requires_grad=True), torch.tensor(kl, requires_grad=True)
    loss, metrics = beta_loss(log_beta, kl, target=0.3)
    assert metrics["beta"].item() == pytest.approx(np.exp(-1))
    assert loss.item() == pytest.approx(np.exp(-1) * (0.3 - kl.item()))
    of_log_beta, of_kl = torch.autograd.grad(loss, [log_beta, kl], allow_unused=True)
    assert of_log_beta.item() == pytest.approx(loss.item())
    assert (of_log_beta.item() < 0) == grows
    assert of_kl is None
