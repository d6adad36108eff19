"""Regularised soft actor-critic: towards a skill prior (SPiRL, Pertsch et al. 2020, Alg. 1) or high entropy (SAC).

Both are the same algorithm with another divergence D(s) of the policy: the KL to the prior, in the space before the
tanh, or the negative entropy. A multiplier alpha holds its mean at a target delta; SAC's target entropy of -dim(A) is
delta = dim(A). Every loss returns ``(loss, metrics)``, every other function one value per item.
"""

from torch import Tensor

from lightning_skills.nets.gaussian import Gaussian, squash_log_det

Metrics = dict[str, Tensor]
SAMPLES = 10
CLAMP = 100.0


def analytic_kl(policy: Gaussian, prior: Gaussian) -> Tensor:
    """KL(policy || prior) in closed form, ``[B]``; no gradient flows into the prior."""
    return policy.kl(prior.detach()).sum(-1)


def sampled_kl(policy: Gaussian, prior: Gaussian, samples: int = SAMPLES, clamp: float = CLAMP) -> Tensor:
    """The authors' estimate of :func:`analytic_kl`: the mean over reparameterised samples, clamped to +-``clamp``."""
    shape = (samples, *policy.mean.shape)
    many = Gaussian(policy.mean.expand(shape), policy.log_std.expand(shape))
    u = many.rsample()
    difference = many.log_prob(u) - prior.detach().log_prob(u)
    return difference.sum(-1).mean(0).clamp(-clamp, clamp)


def negative_entropy(policy: Gaussian, u: Tensor, bound: float | None, slope: float | None = None) -> Tensor:
    """The log density of squash(u), ``[B]``, that is with the correction for the tanh."""
    return (policy.log_prob(u) - squash_log_det(u, bound, slope)).sum(-1)


def alpha_loss(log_alpha: Tensor, divergence: Tensor, target: float) -> tuple[Tensor, Metrics]:
    """The multiplier grows while the mean divergence ``[B]`` exceeds its target (Alg. 1, line 12)."""
    alpha = log_alpha.exp()
    loss = alpha * (target - divergence.detach().mean())
    return loss, {"alpha": alpha.detach(), "alpha_loss": loss.detach()}


def multiplier_loss(weight: Tensor, divergence: Tensor, wanted: float) -> Tensor:
    """Each of n multipliers grows while its own divergence exceeds what is wanted; both ``[n]``."""
    return (weight * (wanted - divergence.detach())).mean()


def td_target(
    reward: Tensor, terminated: Tensor, next_value: Tensor, next_divergence: Tensor, alpha: Tensor, discount: float
) -> Tensor:
    """The critics' target ``[B, ...]``; all arguments ``[B, ...]`` but the discount. It carries no gradient.

    Args:
        reward: Undiscounted sum of the rewards of a skill.
        terminated: Whether nothing comes after it.
        next_value: The smaller of the target critics at the next state.
        next_divergence: D at the next state.
        alpha: Weight of D; may be a scalar.
        discount: Per high-level step, however long a skill is.
    """
    future = next_value - alpha * next_divergence
    return (reward + discount * (future * ~terminated)).detach()


def critic_loss(values: Tensor, target: Tensor) -> tuple[Tensor, Metrics]:
    """Half the mean squared error of the critics ``[B, ..., critics]``, summed over them: they share no parameter."""
    loss = 0.5 * (values - target[..., None]).square().sum(-1).mean()
    return loss, {"critic_loss": loss.detach() / values.shape[-1], "value": values[..., 0].detach().mean()}


def actor_loss(values: Tensor, divergence: Tensor, alpha: Tensor) -> tuple[Tensor, Metrics]:
    """The policy climbs the smallest critic ``[B, ..., critics]`` and pays for its divergence ``[B, ...]``.

    Its weight alpha, which is broadcast, is a constant here.
    """
    loss = (alpha.detach() * divergence - values.amin(-1)).mean()
    return loss, {"actor_loss": loss.detach(), "divergence": divergence.detach().mean()}
