"""Convolutional features of small square images, alone and under an MLP."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lightning_skills.errors import InputError
from lightning_skills.nets.mlp import MLP, SLOPE

FIRST_CHANNELS = 8


class ConvEncoder(nn.Module):
    """Images to feature vectors (SPiRL's code; its paper has kernels of three and flattens instead).

    Convolutions of kernel 4, stride 2 and padding 1 halve the image until 4x4 pixels are left, doubling the channels
    from 8, with LeakyReLU(0.2) after each and BatchNorm in place of a bias after all but the first; then one of kernel
    4 without padding. At 32 pixels these are 8, 16 and 32 channels.

    Args:
        image_shape: ``(C, H, W)``; height and width are the same power of two, at least 8.
        features: Length of the result, F.

    Raises:
        InputError: if the image is not of such a size.
    """

    def __init__(self, image_shape: Sequence[int], features: int) -> None:
        super().__init__()
        channels, height, width = image_shape
        halvings = int(math.log2(height)) - 2
        if height != width or 4 * 2**halvings != height or halvings < 1:
            raise InputError(f"images of {height}x{width} pixels: height and width must be the same power of two >= 8")
        layers: list[nn.Module] = []
        for index in range(halvings):
            wider = FIRST_CHANNELS * 2**index
            layers.append(nn.Conv2d(channels, wider, kernel_size=4, stride=2, padding=1, bias=not index))
            layers += [nn.BatchNorm2d(wider)] if index else []
            layers.append(nn.LeakyReLU(SLOPE, inplace=True))
            channels = wider
        self.layers = nn.Sequential(*layers, nn.Conv2d(channels, features, kernel_size=4))

    def forward(self, images: Tensor) -> Tensor:
        """``[..., C, H, W]`` to ``[..., F]``."""
        return self.layers(images.flatten(0, -4)).flatten(1).unflatten(0, images.shape[:-3])


class ConvMLP(nn.Module):
    """An MLP on the features of an image.

    Args:
        image_shape: ``(C, H, W)``.
        outputs: Output features.
        layers: As of :class:`MLP`.
        width: As of :class:`MLP`.
        normalised: As of :class:`MLP`.
        features: Length of the feature vector.
    """

    def __init__(
        self, image_shape: Sequence[int], outputs: int, layers: int, width: int, normalised: bool, features: int
    ) -> None:
        super().__init__()
        self.conv = ConvEncoder(image_shape, features)
        self.mlp = MLP(features, outputs, layers, width, normalised)

    def forward(self, images: Tensor, learning: int | None = None) -> Tensor:
        """``[..., C, H, W]`` to ``[..., outputs]``.

        Args:
            images: Input.
            learning: Only the first so many rows ``[n, C, H, W]`` give gradients.
        """
        if learning is None or learning == len(images):
            return self.mlp(self.conv(images))
        with torch.no_grad():
            rest = self.mlp(self.conv(images[learning:]))
        return torch.cat([self.mlp(self.conv(images[:learning])), rest])


def perceptron(
    inputs: int | Sequence[int], outputs: int, layers: int, width: int, normalised: bool, features: int = 32
) -> MLP | ConvMLP:
    """An MLP on vectors of length ``inputs``, or on the features of images of shape ``inputs``."""
    if isinstance(inputs, int):
        return MLP(inputs, outputs, layers, width, normalised)
    return ConvMLP(inputs, outputs, layers, width, normalised, features)
