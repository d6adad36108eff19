"""Images of block stacking as SPiRL's prior and policy see it, computed from positions alone.

The camera is that of the released code: it moves with the gripper, 0.6 in front of it and 0.1 below, and looks at the
point 0.2 below it, in 32x32 pixels. The field of view is taken to be MuJoCo's default of 45 degrees. Every box is drawn
as one rectangle: as high as the camera sees it, from its front's lower edge to its back's upper one, as wide as its
middle appears. So a table block is seen from as high as the authors' camera sees it, which decides from where a prior
can choose it. Without light and shadow, and with blocks upright, as the state vector knows no angles of theirs, a
picture is a sum of rectangles, drawn exactly and in no time.
"""

import math

import numpy as np
import torch
from torch import Tensor

from envs.blocks import geometry
from envs.blocks.config import BlocksConfig
from lightning_skills.data.rendering import Renderer
from lightning_skills.data.trajectories import Dataset
from lightning_skills.errors import InputError

PIXELS = 32
"""Height and width of a frame."""
AHEAD, BELOW, LOOKS_BELOW = 0.6, 0.1, 0.2
"""How far the camera is in front of the gripper and below it, and how far below is the middle of its picture."""
TILT = (LOOKS_BELOW - BELOW) / AHEAD
"""Tangent of the angle at which the camera looks down."""
VIEW = math.tan(math.radians(45.0 / 2))
"""Half of what the camera sees, along either axis of the image plane at distance 1."""
PIXEL = 2 * VIEW / PIXELS
TABLE_DEPTH = 0.6
"""How far the table reaches behind the plane of motion."""
BACKGROUND, WOOD, BLOCK, GRIPPER = (60, 80, 105), (165, 125, 85), (255, 255, 255), (0, 0, 0)
"""Colours; the authors' blocks are white, the others are ours. White and black stay so where rectangles overlap."""


class BlocksRenderer(Renderer):
    """Draws the gripper's surroundings one step before and now.

    A scene is two of :func:`envs.blocks.geometry.frame`, one step before and now. Each frame follows the gripper at its
    own time. Every rectangle is averaged exactly over every pixel, so that motion far below a pixel's width (16 mm at
    the gripper) is visible.

    Args:
        blocks: How many the scenes hold; they lie on that number's table.
    """

    image_shape = (6, PIXELS, PIXELS)
    place: Tensor
    side: Tensor
    eye: Tensor
    extent: Tensor
    tint: Tensor
    background: Tensor
    borders: Tensor

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self._frame_dim = geometry.frame_dim(blocks)
        self._half_width = geometry.TABLE_HALF_WIDTH[blocks]
        finger, palm, block = geometry.FINGER_HALF, geometry.PALM_HALF, (geometry.HALF,) * 3
        inside = [(side * finger[1], -geometry.FINGER_DROP) for side in (1, -1)]
        background = _colours(BACKGROUND)
        wood, things = _colours(WOOD) - background, _colours(*[GRIPPER] * 3, *[BLOCK] * blocks) - background
        constants = {
            "place": torch.tensor([(0.0, -geometry.PALM_DROP), *inside]),
            "side": torch.tensor([(0.0, 0.0), (1.0, 0.0), (-1.0, 0.0)]),
            "eye": torch.tensor((0.0, -BELOW)),
            "extent": torch.tensor([palm, finger, finger, *[block] * blocks]),
            "tint": torch.cat([wood, things, -wood.expand_as(things)]).T,
            "background": background[0, :, None, None],
            "borders": torch.linspace(-VIEW, VIEW, PIXELS + 1),
        }
        for name, value in constants.items():
            self.register_buffer(name, value, persistent=False)

    @torch.no_grad()
    def forward(self, scene: Tensor) -> Tensor:
        """Images ``[..., 6, 32, 32]`` float32 in [-1, 1] of scenes ``[..., 2 * K]``: RGB before, then RGB now."""
        frame = scene.reshape(-1, self._frame_dim).float()
        with torch.autocast(scene.device.type, enabled=False):  # half precision would round away small motions
            image = self._draw(*self._rectangles(frame))
        return image.view(*scene.shape[:-1], *self.image_shape)

    def _rectangles(self, frame: Tensor) -> tuple[Tensor, Tensor]:
        """Low and high corners ``[F, R, 2]`` as seen: the table, things, and what each hides of the table."""
        eye, opening, blocks = frame[:, None, :2] + self.eye, frame[:, None, 2:3], frame[:, 3:].unflatten(1, (-1, 2))
        gripper = (self.place + opening * self.side).expand(len(frame), 3, 2) - self.eye
        low, high = self._seen(torch.cat([gripper, blocks - eye], dim=1))
        y, table = eye[..., 0], geometry.TABLE - eye[..., 1]
        edge = _upwards(table / (AHEAD + TABLE_DEPTH))
        table_low = torch.stack([_across(-self._half_width - y, table), torch.full_like(edge, -VIEW)], dim=2)
        table_high = torch.stack([_across(self._half_width - y, table), edge], dim=2)
        hides = torch.maximum(low, table_low)
        return torch.cat([table_low, low, hides], 1), torch.cat([table_high, high, high.clamp(hides, table_high)], 1)

    def _seen(self, centre: Tensor) -> tuple[Tensor, Tensor]:
        """Low and high corners ``[F, T, 2]`` in the image plane of boxes in the plane of motion, at ``[F, T, 2]``."""
        (y, z), (depth, width, height) = centre.unbind(2), self.extent.unbind(1)
        bottom, top, near, far = z - height, z + height, AHEAD - depth, AHEAD + depth
        low, high = torch.minimum(bottom / near, bottom / far), torch.maximum(top / near, top / far)
        return (
            torch.stack([_across(y - width, z), _upwards(low)], dim=2),
            torch.stack([_across(y + width, z), _upwards(high)], dim=2),
        )

    def _draw(self, low: Tensor, high: Tensor) -> Tensor:
        """Frames ``[F, 3, 32, 32]`` of rectangles whose colours add up."""
        across, upwards = self._shares(low[..., 0], high[..., 0]), self._shares(low[..., 1], high[..., 1])
        rows = self.tint[:, None] * upwards.flip(2).transpose(1, 2)[:, None]
        image = torch.bmm(rows.flatten(1, 2), across).view(-1, 3, PIXELS, PIXELS)
        return image.add_(self.background).clamp_(-1.0, 1.0)

    def _shares(self, low: Tensor, high: Tensor) -> Tensor:
        """Shares ``[F, R, 32]`` of the pixels' length that lie in intervals ``[F, R]``, from an axis's low end on."""
        within = self.borders.clamp(low[..., None], high[..., None])
        return (within[..., 1:] - within[..., :-1]).div_(PIXEL)


def _upwards(slope: Tensor) -> Tensor:
    """Where in the image plane one sees what lies at this slope, height over distance along the table."""
    return (slope + TILT) / (1.0 - TILT * slope)


def _across(y: Tensor, z: Tensor) -> Tensor:
    """Where in the image plane one sees y, in the plane of motion at a height z."""
    return y * math.hypot(1.0, TILT) / (AHEAD - TILT * z)


def _colours(*rgb: tuple[int, int, int]) -> Tensor:
    """``[n, 3]`` in [-1, 1]."""
    return torch.tensor(rgb) / 127.5 - 1.0


def scenes(config: BlocksConfig, dataset: Dataset) -> tuple[np.ndarray, BlocksRenderer] | None:
    """What the env would have shown at the rows of a data set, whose number of blocks need not be the task's.

    Args:
        config: Tells whether there are images.
        dataset: Its states.

    Returns:
        Scenes ``[N, 2 * K]`` float32 of all rows and their renderer; None unless ``config`` asks for images.

    Raises:
        InputError: if its states are not those of 5 or 11 blocks.
    """
    if not config.images:
        return None
    state = np.asarray(dataset.steps["observation"], dtype=np.float32)
    known = {geometry.state_dim(blocks): blocks for blocks in geometry.TABLE_HALF_WIDTH}
    if state.shape[1] not in known:
        raise InputError(
            f"data set {dataset.path}: no images of blocks can be drawn: observation has {state.shape[1]} columns, "
            f"not {' or '.join(f'{width} ({blocks} blocks)' for width, blocks in known.items())}"
        )
    now = geometry.frame(state)
    before = np.concatenate([now[:1], now[:-1]])
    before[dataset.starts] = now[dataset.starts]
    return np.concatenate([before, now], axis=1), BlocksRenderer(known[state.shape[1]])
