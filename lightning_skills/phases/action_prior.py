"""Learning a prior over single actions from recorded trajectories."""

from tensordict import TensorDict

from lightning_skills.artefacts import Artefact
from lightning_skills.losses.skill_vae import prior_loss
from lightning_skills.nets.action_prior import ActionPrior, ActionPriorSettings
from lightning_skills.phases.base import Metrics, PhaseContext
from lightning_skills.phases.options import ActionPriorOptions
from lightning_skills.phases.pretrain import PretrainModule


class ActionPriorModule(PretrainModule):
    """Trains an action prior by maximum likelihood (behavioural cloning; SPiRL's code, ``BCMdl``).

    The likelihood is summed over action dimensions, as the skill prior's is over the skill's.

    Args:
        context: Its ``options`` are :class:`ActionPriorOptions`.
    """

    model: ActionPrior

    def __init__(self, context: PhaseContext) -> None:
        super().__init__(context)
        self.options: ActionPriorOptions = context.options
        self.model = ActionPrior(
            ActionPriorSettings(
                state_dim=context.env.state_dim,
                action_dim=context.env.action_dim,
                layers=self.options.layers,
                width=self.options.width,
                image_shape=self.image_shape,
                features=self.options.features,
            )
        )
        self.window = 2

    def update(self, batch: TensorDict) -> Metrics:
        """One step on windows ``[B, 2]`` of "observation" (or "scene") and "action", of which the first row is used."""
        prior = self.model.prior(self.look(batch, slice(0, 1)).squeeze(1))
        loss = prior_loss(prior, batch["action"][:, 0])
        self.descend(loss)
        return {"loss": loss.detach()}

    def artefact(self) -> Artefact:
        """The action prior."""
        return self.model.to_artefact()
