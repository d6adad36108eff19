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


def skill_vae_loss(
    prediction: Tensor, action: Tensor, posterior: Gaussian, skill: Tensor, prior: Gaussian, beta: float
) -> tuple[Tensor, Metrics]:
    """Reconstruction + beta * KL to the unit Gaussian + prior likelihood.

    Reconstruction and KL are means over dimensions too, the prior's likelihood is a sum over them: in sums, the weight
    of the KL is ``beta * H * A / d``.

    Args:
        prediction: Decoded actions ``[B, H, A]``.
        action: Recorded actions ``[B, H, A]``.
        posterior: q(z | s, a), ``[B, d]``.
        skill: The sample of it that was decoded, ``[B, d]``.
        prior: p(z | s_0), ``[B, d]``.
        beta: Weight of the KL.
    """
    reconstruction = reconstruction_loss(prediction, action)
    kl = posterior.kl_to_standard().mean()
    likelihood = prior_loss(prior, skill)
    loss = reconstruction + beta * kl + likelihood
    parts = {"loss": loss, "reconstruction": reconstruction, "kl": kl, "prior_nll": likelihood}
    return loss, {name: value.detach() for name, value in parts.items()}
