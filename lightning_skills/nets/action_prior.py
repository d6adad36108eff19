"""A prior over single actions: behavioural cloning with a Gaussian, the baselines' counterpart of a skill prior."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor, nn

from lightning_skills.artefacts import Artefact
from lightning_skills.data.rendering import Renderer
from lightning_skills.nets.conv import perceptron
from lightning_skills.nets.gaussian import Gaussian

KIND = "action_prior"
"""Kind of the artefact that holds an :class:`ActionPrior`."""


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


class ActionPrior(nn.Module):
    """p(a | s), a Gaussian over one action (SPiRL, Pertsch et al. 2020, sec. 4.1: "flat prior" and BC).

    To an actor-critic it looks like a skill model whose skills are actions.

    Args:
        settings: Sizes.
    """

    def __init__(self, settings: ActionPriorSettings) -> None:
        super().__init__()
        self.settings = settings
        self.prior_net = perceptron(**self.prior_settings)

    @property
    def prior_settings(self) -> dict[str, Any]:
        """What :func:`lightning_skills.nets.conv.perceptron` makes the network of."""
        settings = self.settings
        return {
            "inputs": settings.state_dim if settings.image_shape is None else settings.image_shape,
            "outputs": 2 * settings.action_dim,
            "layers": settings.layers,
            "width": settings.width,
            "normalised": True,
            "features": settings.features,
        }

    @property
    def latent_dim(self) -> int:
        """Length of what the prior is over."""
        return self.settings.action_dim

    horizon, chunk, low_level_sees = 1, 1, False

    def prior(self, seen: Tensor) -> Gaussian:
        """p(a | s) for states or images ``[B, ...]``."""
        return Gaussian.from_output(self.prior_net(seen))

    def low_level(self, renderer: Renderer | None) -> None:
        """There is none: what the prior is over is executed as it is."""

    def to_artefact(self) -> Artefact:
        """Settings and tensors."""
        return Artefact(KIND, asdict(self.settings), self.state_dict())

    @classmethod
    def from_artefact(cls, artefact: Artefact) -> "ActionPrior":
        """Inverse of :meth:`to_artefact`."""
        model = cls(ActionPriorSettings(**artefact.settings))
        model.load_state_dict(artefact.tensors)
        return model
