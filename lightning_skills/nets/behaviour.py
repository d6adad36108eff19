"""What an actor-critic builds on: a Gaussian prior over what it chooses, and what executes the choice."""

from abc import ABC, abstractmethod
from dataclasses import asdict
from typing import Any, ClassVar

from torch import Tensor, nn

from lightning_skills.artefacts import Artefact
from lightning_skills.data.rendering import Renderer
from lightning_skills.data.skill_env import LowLevel
from lightning_skills.errors import InputError
from lightning_skills.files import advised, reading
from lightning_skills.nets.conv import ConvMLP
from lightning_skills.nets.gaussian import Gaussian
from lightning_skills.nets.mlp import MLP


class Behaviour(nn.Module, ABC):
    """Base of skill models and of priors over single actions, and how they are handed on.

    A subclass names the ``kind`` of its artefact and the dataclass of its settings, and makes ``prior_net`` of
    ``prior_settings`` (:func:`lightning_skills.nets.conv.perceptron`).

    Args:
        settings: Everything that rebuilds it; an instance of ``settings_type``.
        latent_dim: Length of what the prior is over.
        horizon: Primitive steps for which one choice is executed.
        chunk: Primitive actions that the low-level policy decides at once.
        low_level_sees: Whether the low-level policy looks at states or images.
        prior_layers: Hidden layers of the prior between the first and the last.
    """

    kind: ClassVar[str]
    settings_type: ClassVar[type]
    prior_net: MLP | ConvMLP

    def __init__(
        self, settings: Any, latent_dim: int, horizon: int, chunk: int, low_level_sees: bool, prior_layers: int
    ) -> None:
        super().__init__()
        self.settings = settings
        self.latent_dim, self.horizon, self.chunk = latent_dim, horizon, chunk
        self.low_level_sees = low_level_sees
        self.prior_settings = {
            "inputs": settings.state_dim if settings.image_shape is None else settings.image_shape,
            "outputs": 2 * latent_dim,
            "layers": prior_layers,
            "width": settings.width,
            "normalised": True,
            "features": settings.features,
        }

    def prior(self, seen: Tensor) -> Gaussian:
        """What is chosen, given states or images ``[B, ...]``."""
        return Gaussian.from_output(self.prior_net(seen))

    def require_lengths(self, state_dim: int, action_dim: int, named: str) -> None:
        """Check that it serves an environment of these lengths; of states only where it sees them.

        Args:
            state_dim: Of the environment.
            action_dim: Of the environment.
            named: What it is called in messages.

        Raises:
            InputError: if it was learned on others.
        """
        learned = self.settings
        lengths = [("actions", learned.action_dim, action_dim)]
        if learned.image_shape is None:
            lengths.append(("states", learned.state_dim, state_dim))
        for what, there, here in lengths:
            if there != here:
                raise InputError(f"{named} was learned on {what} of length {there}, this environment's have {here}")

    @abstractmethod
    def low_level(self, renderer: Renderer | None) -> LowLevel | None:
        """The low-level policy as it acts in an environment; None if a choice is itself the primitive action.

        Args:
            renderer: Draws the images of one that sees images.
        """

    def to_artefact(self) -> Artefact:
        """Settings and tensors."""
        return Artefact(self.kind, asdict(self.settings), self.state_dict())

    @classmethod
    def from_artefact(cls, artefact: Artefact) -> "Behaviour":
        """Inverse of :meth:`to_artefact`.

        Raises:
            InputError: if settings and tensors do not make such a model.
        """
        with advised("train anew, if another version wrote it"), reading(artefact.named):
            model = cls(cls.settings_type(**artefact.settings))  # type: ignore[call-arg]
            model.load_state_dict(artefact.tensors)
        return model
