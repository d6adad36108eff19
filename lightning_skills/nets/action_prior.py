"""A prior over single actions: behavioural cloning with a Gaussian, the baselines' counterpart of a skill prior."""

from collections.abc import Sequence
from dataclasses import dataclass

from lightning_skills.data.rendering import Renderer
from lightning_skills.nets.behaviour import Behaviour
from lightning_skills.nets.conv import perceptron


@dataclass(frozen=True)
class ActionPriorSettings:
    """Everything that rebuilds an :class:`ActionPrior`.

    Args:
        state_dim: Length of a state.
        action_dim: Length of an action.
        layers: Hidden layers between the first and the last.
        width: Features of each.
        image_shape: ``(C, H, W)`` of what it sees instead of states; None for states.
        features: Length of an image's features.
    """

    state_dim: int
    action_dim: int
    layers: int
    width: int
    image_shape: Sequence[int] | None
    features: int


class ActionPrior(Behaviour):
    """p(a | s), a Gaussian over one action (SPiRL, Pertsch et al. 2020, sec. 4.1: "flat prior" and BC).

    To an actor-critic it looks like a skill model whose skills are actions.

    Args:
        settings: Sizes.
    """

    kind = "action_prior"
    settings_type = ActionPriorSettings

    def __init__(self, settings: ActionPriorSettings) -> None:
        super().__init__(settings, settings.action_dim, 1, 1, low_level_sees=False, prior_layers=settings.layers)
        self.prior_net = perceptron(**self.prior_settings)

    def low_level(self, renderer: Renderer | None) -> None:
        """There is none: what the prior is over is executed as it is."""
