"""Images that are drawn from a few numbers where they are looked at, and never stored.

An environment that offers images adds the observation key ``"scene"``, a short vector, and a :class:`Renderer` that
draws it. Buffers and data sets hold scenes; a phase draws the images of a batch on its own device.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

SCENE = "scene"
"""The observation key that a renderer draws."""


class Renderer(nn.Module, ABC):
    """Draws scenes. Whatever they have in common (layouts, goals) are its non-persistent buffers.

    A subclass sets ``image_shape``, ``(C, H, W)``; frames stacked over time lie along C, the newest last.
    """

    image_shape: tuple[int, int, int]

    @abstractmethod
    def forward(self, scene: Tensor) -> Tensor:
        """Images ``[..., C, H, W]`` in [-1, 1] of scenes ``[..., K]``."""


def look(observation: Mapping[str, Any], renderer: Renderer | None) -> Tensor:
    """What a network sees: states ``[..., S]`` or, given a renderer, images ``[..., C, H, W]``.

    Args:
        observation: Keys of an environment's observation, each ``[..., *shape]``.
        renderer: Draws the images of a network that sees images.
    """
    return observation["observation"] if renderer is None else renderer(observation[SCENE])
