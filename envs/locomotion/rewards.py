"""Rewards and terminations of the families, as functions of a batch of steps. Source: oyster, PEARL's code."""

from dataclasses import dataclass

import numpy as np

from envs.locomotion.models import HUMANOID
from envs.locomotion.observations import Fields, contacts
from lightning_skills.data.batch_env import Array


@dataclass(frozen=True)
class Step:
    """What n worlds did in one step.

    Args:
        field: Fields of MjData after the step, ``[n, ...]``.
        velocity: ``[n, 2]`` of the robot over the step in m/s, along x and y.
        control: ``[n, nu]``, what the motors were told.
        goal: ``[n, K]``, see :class:`envs.locomotion.tasks.LocomotionTask`.
    """

    field: Fields
    velocity: Array
    control: Array
    goal: Array


def speed(step: Step) -> Array:
    """``[n]``: closeness of the speed along x to the task's."""
    return -np.abs(step.velocity[:, 0] - step.goal[:, 0]) - 0.05 * _effort(step)


def forward_or_backward(step: Step) -> Array:
    """``[n]``: speed along x, in the task's direction."""
    return step.goal[:, 0] * step.velocity[:, 0] - 0.05 * _effort(step)


def ant_direction(step: Step) -> Array:
    """``[n]``: speed in the task's direction, and 1 for each step."""
    return _along(step) - 0.5 * _effort(step) - _contact_cost(step) + 1.0


def ant_goal(step: Step) -> Array:
    """``[n]``: closeness to the task's place, in the 1-norm."""
    distance = np.abs(step.field("qpos")[:, :2] - step.goal).sum(axis=1)
    return -distance - 0.1 * _effort(step) - _contact_cost(step)


def humanoid_direction(step: Step) -> Array:
    """``[n]``: speed of the centre of mass in the task's direction, and 5 for each step, so most of it is for standing.

    The authors' factor is 0.25, but they divide the way of a whole step by the time of one substep.
    """
    impact = 0.5e-6 * np.square(step.field("cfrc_ext")).sum(axis=(1, 2))
    return 0.25 * HUMANOID.substeps * _along(step) - 0.1 * _effort(step) - np.minimum(impact, 10.0) + 5.0


def run(step: Step) -> Array:
    """``[n]``: speed along x, and 1 for each step."""
    return step.velocity[:, 0] - 1e-3 * _effort(step) + 1.0


def never(step: Step) -> Array:
    """``[n]`` bool: no."""
    return np.zeros(len(step.velocity), dtype=bool)


def ant_ends(step: Step) -> Array:
    """``[n]`` bool: whether the torso is too low, too high, or not a number."""
    height = step.field("qpos")[:, 2]
    return ~((height >= 0.2) & (height <= 1.0))


def humanoid_ends(step: Step) -> Array:
    """``[n]`` bool: whether the torso is too low or too high."""
    height = step.field("qpos")[:, 2]
    return (height < 1.0) | (height > 2.0)


def walker_ends(step: Step) -> Array:
    """``[n]`` bool: whether the torso is too low, too high or too far from upright."""
    height, angle = step.field("qpos")[:, 1:3].T
    return ~((height > 0.8) & (height < 2.0) & (np.abs(angle) < 1.0))


def hopper_ends(step: Step) -> Array:
    """``[n]`` bool: whether the torso is too low or too far from upright, or angles or velocities are out of bounds."""
    qpos, qvel = step.field("qpos"), step.field("qvel")
    bounded = (np.abs(np.concatenate([qpos[:, 2:], qvel], axis=1)) < 100.0).all(axis=1)
    return ~(bounded & (qpos[:, 1] > 0.7) & (np.abs(qpos[:, 2]) < 0.2))


def _effort(step: Step) -> Array:
    return np.square(step.control).sum(axis=1)


def _along(step: Step) -> Array:
    angle = step.goal[:, 0]
    return step.velocity[:, 0] * np.cos(angle) + step.velocity[:, 1] * np.sin(angle)


def _contact_cost(step: Step) -> Array:
    return 0.5e-3 * np.square(contacts(step.field)).sum(axis=(1, 2))
