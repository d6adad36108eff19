"""The losses of SiMPL (Nam et al., ICLR 2022, sec. 4.3), as in the authors' code.

G is the number of tasks in a batch, those with small contexts first, B that of transitions of each. Every loss returns
``(loss, metrics)``.
"""

from torch import Tensor

from lightning_skills.nets.gaussian import Gaussian

Metrics = dict[str, Tensor]


def target(reward: Tensor, terminated: Tensor, next_value: Tensor, penalty: Tensor, discount: float) -> Tensor:
    """What critics are to predict ``[G, B]``, without gradient.

    Args:
        reward: Undiscounted sum of the rewards of a skill ``[G, B]``.
        terminated: Whether nothing comes after it ``[G, B]``.
        next_value: The smaller of the target critics at the next state ``[G, B]``.
        penalty: The clipped divergence from the prior there, times alpha ``[G, B]``.
        discount: Per skill.
    """
    return (reward + discount * ((next_value - penalty) * ~terminated)).detach()


def critic_loss(values: Tensor, goal: Tensor) -> tuple[Tensor, Metrics]:
    """Half the mean squared error, summed over critics ``[G, B, critics]``."""
    loss = 0.5 * (values - goal[..., None]).square().mean((0, 1)).sum()
    return loss, {"critic_loss": loss.detach(), "value": values[..., 0].detach().mean()}


def embedding_loss(posterior: Gaussian, weight: Tensor) -> tuple[Tensor, Metrics]:
    """KL of the posteriors ``[G, d]`` to N(0, 1), weighted by lambda ``[G]``, mean over tasks."""
    divergence = posterior.kl_to_standard().sum(-1)
    return (weight.detach() * divergence).mean(), {"kl": divergence.detach().mean()}


def actor_loss(values: Tensor, divergence: Tensor, alpha: Tensor) -> tuple[Tensor, Metrics]:
    """The policy climbs the smallest critic ``[G, B, critics]`` and pays alpha ``[G]`` for its KL ``[G, B]``."""
    loss = (alpha.detach()[:, None] * divergence - values.amin(-1)).mean()
    return loss, {"actor_loss": loss.detach(), "divergence": divergence.detach().mean()}


def multiplier_loss(weight: Tensor, divergence: Tensor, wanted: float) -> Tensor:
    """A multiplier ``[n]`` grows while its divergence ``[n]`` exceeds what is wanted."""
    return (weight * (wanted - divergence.detach())).mean()
