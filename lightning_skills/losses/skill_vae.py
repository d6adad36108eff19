"""The loss that learns skills and skill prior together (SPiRL, Pertsch et al. 2020, eq. 4 as the authors code it)."""

from torch import Tensor

from lightning_skills.nets.gaussian import HALF_LOG_2PI, Gaussian

Metrics = dict[str, Tensor]


def reconstruction_loss(prediction: Tensor, action: Tensor) -> Tensor:
    """Negative log-likelihood under a unit-variance Gaussian, mean over batch, time and action dimensions."""
    return 0.5 * (action - prediction).square().mean() + HALF_LOG_2PI


def prior_loss(prior: Gaussian, skill: Tensor) -> Tensor:
    """Negative log-likelihood of the posterior's sample, summed over its dimensions, mean over the batch.

    No gradient flows into the sample, so this trains the prior alone.
    """
    return -prior.log_prob(skill.detach()).sum(-1).mean()


def prior_kl(prior: Gaussian, posterior: Gaussian) -> Tensor:
    """KL(posterior || prior), mean over batch and dimensions: the authors' alternative to :func:`prior_loss`.

    No gradient flows into the posterior.
    """
    return posterior.detach().kl(prior).mean()


def beta_loss(log_beta: Tensor, kl: Tensor, target: float) -> tuple[Tensor, Metrics]:
    """The weight of the KL grows while the mean KL per dimension exceeds its target (the authors' ``target_kl``)."""
    beta = log_beta.exp()
    return beta * (target - kl.detach()), {"beta": beta.detach()}


def skill_vae_loss(
    prediction: Tensor,
    action: Tensor,
    posterior: Gaussian,
    skill: Tensor,
    prior: Gaussian,
    beta: float | Tensor,
    prior_estimator: str = "nll",
) -> tuple[Tensor, Metrics]:
    """Reconstruction + beta * KL to the unit Gaussian + prior likelihood.

    Reconstruction and KL are means over dimensions too, the prior's likelihood is a sum over them: in sums, the weight
    of the KL is ``beta * H * A / d``.

    Args:
        prediction: Decoded actions ``[B, H, A]``.
        action: Recorded actions ``[B, H, A]``.
        posterior: q(z | .), ``[B, d]``.
        skill: The sample of it that was decoded, ``[B, d]``.
        prior: p(z | s), ``[B, d]``.
        beta: Weight of the KL.
        prior_estimator: "nll" for :func:`prior_loss`, "kl" for :func:`prior_kl`.
    """
    reconstruction = reconstruction_loss(prediction, action)
    kl = posterior.kl_to_standard().mean()
    of_prior = prior_loss(prior, skill) if prior_estimator == "nll" else prior_kl(prior, posterior)
    loss = reconstruction + beta * kl + of_prior
    parts = {"loss": loss, "reconstruction": reconstruction, "kl": kl, f"prior_{prior_estimator}": of_prior}
    return loss, {name: value.detach() for name, value in parts.items()}
