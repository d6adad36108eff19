"""SiMPL's last phase: a meta-trained policy learns one target task."""

from lightning_skills.optim import GrowingAdam
from lightning_skills.phases.base import PhaseContext
from lightning_skills.phases.target_task import SkillTargetTaskModule, sizes_of, take_over
from methods.simpl.config import SimplAdaptOptions, SimplSizes
from methods.simpl.networks import TaskEncoder


class SimplAdaptModule(SkillTargetTaskModule):
    """Target task learning (SiMPL, Nam et al., ICLR 2022, sec. 4.4), as in the authors' code.

    The task's embedding is the mean of the posterior. Policy, critics and alpha go on from meta-training, with an empty
    buffer and fresh optimizers. Alpha only grows.

    Differs from the authors' code in what :class:`methods.simpl.module.SimplModule` does. With several worlds, each
    round has an episode in each of them, on every rank.

    Args:
        context: Its ``options`` are :class:`SimplAdaptOptions`, its artefact "skills" those that "meta" was trained on.

    Raises:
        InputError: if "meta" is of other states or skills, or was written by another version.
    """

    sizes_type = SimplSizes
    options: SimplAdaptOptions

    def __init__(self, context: PhaseContext) -> None:
        meta = context.artefacts["meta"]
        own: SimplSizes = sizes_of(meta, self.sizes_type)
        super().__init__(context, 1.0, own.layers, own.width, own.embedding_dim)
        self.sizes, size = own, (own.embedding_dim, own.encoder_width)
        self.encoder = TaskEncoder(context.env.state_dim, self.skill_dim, *size)
        take_over(self.encoder, meta, "encoder")
        take_over(self.policy, meta, "policy")
        take_over(self.critics, meta, "critics")
        take_over(self.target_critics, meta, "critics")
        take_over(self.alpha, meta, "large_alpha")
        self.keep_frozen(self.encoder)

    def optimizer_of_alpha(self) -> GrowingAdam:
        """It only grows."""
        return GrowingAdam(self.alpha.parameters(), lr=self.options.lr)
