"""The losses of PEARL (Rakelly et al., ICML 2019, sec. 5), with the weights of the authors' code.

All arguments are over T tasks with B transitions each. Every loss returns ``(loss, metrics)``.
"""

from torch import Tensor

from lightning_skills.nets.gaussian import Gaussian

Metrics = dict[str, Tensor]


def critic_target(reward: Tensor, terminated: Tensor, next_value: Tensor, scale: float, discount: float) -> Tensor:
    """What critics are to predict ``[T, B]``; all arguments ``[T, B]``. It carries no gradient."""
    return (scale * reward + discount * (next_value * ~terminated)).detach()


def critic_loss(values: Tensor, target: Tensor) -> tuple[Tensor, Metrics]:
    """Mean squared error, summed over critics ``[T, B, critics]``."""
    loss = (values - target[..., None]).square().mean((0, 1)).sum()
    return loss, {"critic_loss": loss.detach(), "value": values[..., 0].detach().mean()}


def embedding_loss(posterior: Gaussian, weight: float, tasks: int) -> tuple[Tensor, Metrics]:
    """KL of the posteriors ``[T, d]`` to N(0, 1), summed over dimensions and over all tasks of a batch.

    Args:
        posterior: Of this rank's tasks.
        weight: Of the sum.
        tasks: How many there are on all ranks.
    """
    divergence = posterior.kl_to_standard().sum(-1)
    return weight * tasks * divergence.mean(), {"kl": divergence.detach().mean()}


def value_loss(value: Tensor, critics: Tensor, log_prob: Tensor, alpha: Tensor | float) -> tuple[Tensor, Metrics]:
    """Mean squared error ``[T, B]`` to the smallest critic at the policy's action, less alpha times its log density."""
    loss = (value - (critics - alpha * log_prob).detach()).square().mean()
    return loss, {"value_loss": loss.detach()}


def policy_loss(
    policy: Gaussian, critics: Tensor, log_prob: Tensor, alpha: Tensor | float, penalty: float
) -> tuple[Tensor, Metrics]:
    """The policy climbs the smallest critic ``[T, B]``, its entropy weighs alpha, and its outputs are kept small."""
    loss = (alpha * log_prob - critics).mean()
    regularised = loss + penalty * (policy.mean.square().mean() + policy.log_std.square().mean())
    return regularised, {"policy_loss": loss.detach(), "entropy": -log_prob.detach().mean()}
