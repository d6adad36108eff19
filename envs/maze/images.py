"""Images of the maze as SPiRL's prior and policy see it, computed from positions alone.

The picture is that of the D4RL fork behind SPiRL (Pertsch et al., 2020): a camera that looks straight down and follows
the agent, from a distance of 5 and with a field of view of 45 degrees, in 32x32 pixels. **x runs upwards and y to the
left**, as D4RL's camera is turned. It is drawn without perspective, light and shadow: the scale at the agent's height
holds for floor and walls too, and spheres are discs.

The camera lags behind, as MuJoCo's tracking camera did then (:func:`envs.maze.camera.follow`), so the agent leaves the
middle in the direction of its motion: what a policy that sees two frames knows best of its velocity.
"""

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from envs.maze import layouts, tasks
from envs.maze.camera import followed
from envs.maze.config import MazeConfig
from envs.maze.physics import CELL_CENTRE
from envs.maze.pictures import CORNER
from lightning_skills.data.rendering import Renderer
from lightning_skills.data.trajectories import Dataset
from lightning_skills.errors import InputError

PIXELS = 32
"""Height and width of a frame."""
WINDOW = 2 * 5.0 * math.tan(math.radians(45.0 / 2))
"""Height and width of what the camera sees, in cells."""
PIXEL = WINDOW / PIXELS
DISC = 0.2
"""Radius of agent and target: D4RL shows both by sites of this size; the agent's body, half as wide, is transparent."""
TARGET_OFFSET = CELL_CENTRE
"""Of the target's disc from the goal: D4RL draws it at the centre of the goal's cell."""
SQUARE, SQUARE_BORDER = 2.5, 2.0
"""Side of the floor's squares, and where one of them begins: in cells, from the corner of cell (0, 0)."""
DARK, LIGHT, WALL = (25, 51, 76), (51, 76, 102), (223, 162, 101)
AGENT, TARGET = (78, 156, 78), (155, 78, 78)
"""Colours, measured in MuJoCo's picture of D4RL's materials and light, as means over each shape."""

_STRIPES = math.ceil(WINDOW) + 2
"""Stripes of one colour, along one axis, that a window can touch: cells, one of which a square's border may halve."""
_DISC_PIXELS = 5
"""As many, along an axis, as a disc with its soft edge can touch."""


class MazeRenderer(Renderer):
    """Draws the agent's surroundings one step before and now.

    A scene is two frames and an index, ``[9]``: one step before and now, each ``(x, y, camera x, camera y)`` in
    simulator positions; the index picks layout and goal. Walls and floor are averaged exactly over every pixel, so that
    motion far below a pixel's width (0.13 cells; the agent moves by at most 0.05 a step) is visible; the edges of discs
    are a ramp of one pixel. What lies outside of a layout is wall.

    Args:
        layouts: ``[L, S, S]`` bool, or ``[1, S, S]``, one layout for all.
        goals: ``[L, 2]`` positions; no target is drawn for a goal at infinity.
    """

    image_shape = (6, PIXELS, PIXELS)
    walls: Tensor
    targets: Tensor
    edges: Tensor
    cells: Tensor
    squares: Tensor
    palette: Tensor
    agent_colour: Tensor
    target_colour: Tensor

    def __init__(self, layouts: np.ndarray, goals: np.ndarray) -> None:
        super().__init__()
        self._width = layouts.shape[-1] + 2
        self._stride = self._width**2 if len(layouts) > 1 else 0
        walls = functional.pad(torch.from_numpy(np.array(layouts, dtype=bool)), (1, 1, 1, 1), value=True)
        edges = _edges(layouts.shape[-1])
        inside = (edges[1:] + edges[:-1]) / 2
        constants = {
            "walls": walls.flatten(),
            "targets": torch.from_numpy(np.array(goals, dtype=np.float32)) + TARGET_OFFSET,
            "edges": edges,
            "cells": inside.floor().long().add(1).clamp(0, self._width - 1),
            "squares": (inside - SQUARE_BORDER).div(SQUARE).floor().long() % 2,
            "palette": _colours(DARK, LIGHT, WALL),
            "agent_colour": _colours(AGENT)[0, :, None],
            "target_colour": _colours(TARGET)[0, :, None],
        }
        for name, value in constants.items():
            self.register_buffer(name, value, persistent=False)

    @torch.no_grad()
    def forward(self, scene: Tensor) -> Tensor:
        """Images ``[..., 6, 32, 32]`` float32 in [-1, 1] of scenes ``[..., 9]``: RGB before, then RGB now."""
        position, camera = scene[..., :-1].reshape(-1, 2, 2).float().unbind(1)
        index = scene[..., -1].reshape(-1).long().repeat_interleave(2)
        with torch.autocast(scene.device.type, enabled=False):  # half precision would round away small motions
            image = self._surroundings(camera, index)
            self._draw_disc(image, self.targets[index] - camera, self.target_colour)
            self._draw_disc(image, position - camera, self.agent_colour)
        return image.view(*scene.shape[:-1], *self.image_shape)

    def _surroundings(self, camera: Tensor, index: Tensor) -> Tensor:
        """Walls and floor ``[F, 3 * 32, 32]`` around positions ``[F, 2]``.

        Each axis is cut into stripes of one colour, so the mean over a pixel is a sum over fields between two stripes,
        weighted by one overlap per axis: two matrix products.
        """
        low = camera - (CORNER + WINDOW / 2)
        first = (torch.searchsorted(self.edges, low, right=True) - 1).clamp_(0, len(self.cells) - _STRIPES)
        stripe = first[..., None] + torch.arange(_STRIPES, device=camera.device)
        overlap = _overlap(low, self.edges[stripe], self.edges[stripe + 1])
        rows, columns = overlap[:, 0].transpose(1, 2), overlap[:, 1]
        mixed = torch.bmm(rows, self._fields(stripe, index)).view(-1, PIXELS, 3, _STRIPES).transpose(1, 2)
        return torch.bmm(mixed.reshape(-1, 3 * PIXELS, _STRIPES), columns)

    def _fields(self, stripe: Tensor, index: Tensor) -> Tensor:
        """Colours ``[F, P, 3 * P]`` of the fields between the stripes along x and y, ``[F, 2, P]``."""
        cell, square = self.cells[stripe], self.squares[stripe]
        row = (index * self._stride)[:, None] + cell[:, 0] * self._width
        wall = self.walls[row[:, :, None] + cell[:, 1, None, :]]
        kind = (square[:, 0, :, None] ^ square[:, 1, None, :]).masked_fill_(wall, 2)
        return self.palette.T[:, kind].permute(1, 2, 0, 3).flatten(2)

    def _draw_disc(self, image: Tensor, away: Tensor, colour: Tensor) -> None:
        """Draw a disc into each of the frames ``[F, 3 * 32, 32]`` in place, ``away`` ``[F, 2]`` from their middle."""
        centre = PIXELS / 2 - away / PIXEL
        start = (centre.floor() - _DISC_PIXELS // 2).clamp_(0, PIXELS - _DISC_PIXELS)
        pixel = start[:, :, None] + torch.arange(_DISC_PIXELS, device=image.device)
        offset = pixel + 0.5 - centre[:, :, None]
        coverage = _coverage(offset[:, 0, :, None], offset[:, 1, None, :]).flatten(1)
        place = (PIXELS * pixel[:, 0, :, None] + pixel[:, 1, None, :]).long().flatten(1)
        place = place[:, None].expand(-1, 3, -1)
        flat = image.view(-1, 3, PIXELS * PIXELS)
        flat.scatter_(2, place, flat.gather(2, place).lerp_(colour, coverage[:, None]))


def _colours(*rgb: tuple[int, int, int]) -> Tensor:
    """``[n, 3]`` in [-1, 1]."""
    return torch.tensor(rgb, dtype=torch.float32) / 127.5 - 1.0


def _edges(size: int) -> Tensor:
    """Where a colour may change along an axis, in cells from the corner of cell 0, as far as a window can reach."""
    cells = np.arange(-math.ceil(WINDOW) - 2, size + math.ceil(WINDOW) + 3)
    squares = np.arange(SQUARE_BORDER - 8 * SQUARE, cells[-1], SQUARE)
    return torch.from_numpy(np.union1d(cells, squares[squares > cells[0]])).float()


def _overlap(low: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """Shares ``[F, 2, P, 32]`` of the pixels' length that lie in stripes.

    Args:
        low: ``[F, 2]``, lower edges of windows; pixels count from the upper edge.
        start: ``[F, 2, P]``, lower edges of stripes.
        end: ``[F, 2, P]``, upper edges.
    """
    edge = low[..., None] + PIXEL * torch.arange(PIXELS, -1, -1, device=low.device)
    within = edge[:, :, None].clamp(start[..., None], end[..., None])
    return (within[..., :-1] - within[..., 1:]).div_(PIXEL)


def _coverage(rows: Tensor, columns: Tensor) -> Tensor:
    """Coverage in [0, 1] of pixels by a disc; the arguments are offsets from its centre in pixels."""
    return (DISC / PIXEL + 0.5 - torch.hypot(rows, columns)).clamp_(0.0, 1.0)


def scenes(config: MazeConfig, dataset: Dataset) -> tuple[np.ndarray, MazeRenderer] | None:
    """What the env would have shown at the rows of a data set.

    Args:
        config: Its ``task`` gives the layout of data that bring none of their own (``episode/layout``).
        dataset: Its ``episode/goal`` is where the target is drawn; without it there is none.

    Returns:
        Scenes ``[N, 9]`` float32 of all rows and their renderer, with a layout and a goal per trajectory; None unless
        ``config.images``.

    Raises:
        InputError: if the data cannot be of mazes, or lie outside of them.
    """
    if not config.images:
        return None
    count, observation = len(dataset.lengths), dataset.steps["observation"]
    mazes = dataset.episodes.get("episode/layout", layouts.named(tasks.task(config).layout)[None])
    goals = dataset.episodes.get("episode/goal", np.full((count, 2), np.inf))
    _check(dataset, observation, mazes, goals)
    frames = np.empty((len(observation), 4), dtype=np.float32)
    frames[:, :2] = observation[:, :2]
    frames[:, 2:] = followed(frames[:, :2], dataset.starts, dataset.lengths)
    before = np.maximum(np.arange(len(frames)) - 1, np.repeat(dataset.starts, dataset.lengths))
    index = np.repeat(np.arange(count, dtype=np.float32), dataset.lengths)
    scene = np.concatenate([frames[before], frames, index[:, None]], axis=1)
    return scene, MazeRenderer(mazes, goals)


def _check(dataset: Dataset, observation: np.ndarray, mazes: np.ndarray, goals: np.ndarray) -> None:
    where = f"data set {dataset.path}: no images of the maze can be drawn"
    if observation.shape[1] != 4:
        raise InputError(f"{where}: observation has {observation.shape[1]} columns, not x, y and their velocities")
    if mazes.ndim != 3 or mazes.shape[1] != mazes.shape[2]:
        raise InputError(f"{where}: episode/layout must be [M, S, S], not {list(mazes.shape)}")
    if goals.ndim != 2 or goals.shape[1] != 2:
        raise InputError(f"{where}: episode/goal must be [M, 2], not {list(goals.shape)}")
    low, high = CORNER, CORNER + mazes.shape[1]
    if observation[:, :2].min() < low or observation[:, :2].max() > high:
        raise InputError(f"{where}: positions leave the maze, {low} to {high:.1f}; is env.task the one of the data?")
