"""What SiMPL (Nam et al., ICLR 2022, sec. 4.3) adds to the losses of skill-based RL, as in the authors' code.

G is the number of tasks in a batch, those with small contexts first.
"""

from torch import Tensor

from lightning_skills.nets.gaussian import Gaussian

Metrics = dict[str, Tensor]


def embedding_loss(posterior: Gaussian, weight: Tensor) -> tuple[Tensor, Metrics]:
    """KL of the posteriors ``[G, d]`` to N(0, 1), weighted by lambda ``[G]``, mean over tasks: ``(loss, metrics)``."""
    divergence = posterior.kl_to_standard().sum(-1)
    return (weight.detach() * divergence).mean(), {"kl": divergence.detach().mean()}
