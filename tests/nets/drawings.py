"""A renderer that is small and knows nothing of an environment."""

import torch
from torch import Tensor

from lightning_skills.data.rendering import Renderer


class Drawings(Renderer):
    """Two frames of 16x16 pixels, one step before and now; a scene is what each of them shows, two numbers each."""

    image_shape = (6, 16, 16)
    patterns: Tensor

    def __init__(self) -> None:
        super().__init__()
        patterns = torch.randn(2, 3 * 16 * 16, generator=torch.Generator().manual_seed(0))
        self.register_buffer("patterns", patterns, persistent=False)

    def forward(self, scene: Tensor) -> Tensor:
        """Images ``[..., 6, 16, 16]`` of scenes ``[..., 4]``."""
        return torch.cat([self.frame(scene[..., :2]), self.frame(scene[..., 2:])], dim=-3)

    def frame(self, shown: Tensor) -> Tensor:
        """``[..., 3, 16, 16]`` of ``[..., 2]``."""
        return torch.tanh(shown @ self.patterns).unflatten(-1, (3, 16, 16))


def scenes(frames: Tensor) -> Tensor:
    """Scenes ``[..., T, 4]`` of what the frames ``[..., T, 2]`` of a trajectory show; the first has none before it."""
    before = torch.cat([frames[..., :1, :], frames[..., :-1, :]], dim=-2)
    return torch.cat([before, frames], dim=-1)
