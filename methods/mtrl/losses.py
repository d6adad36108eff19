"""The loss by which MTRL's experts are distilled."""

from torch import Tensor

from lightning_skills.nets.gaussian import Gaussian

Metrics = dict[str, Tensor]


def distillation_loss(experts: Gaussian, shared: Gaussian) -> tuple[Tensor, Metrics]:
    """Mean over states of all tasks of KL(expert || shared), both ``[..., z]``; experts get no gradient.

    Distral (Teh et al. 2017, sec. 2) in its distillation towards the shared policy.
    """
    loss = experts.detach().kl(shared).sum(-1).mean()
    return loss, {"distillation": loss.detach()}
