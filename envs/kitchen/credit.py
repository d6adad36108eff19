"""Which subtasks are done, and which of them are paid for."""

import functools
from collections.abc import Sequence

import numpy as np

from envs.kitchen.tasks import SUBTASKS, THRESHOLD
from lightning_skills.data.batch_env import Array

STATE_DIM = 30
"""Joints of robot and objects."""


def goal(names: Sequence[str]) -> Array:
    """``[30]`` goals of the joints of these subtasks, 0 for all others."""
    values = np.zeros(STATE_DIM)
    for name in names:
        values[list(SUBTASKS[name].joints)] = SUBTASKS[name].goal
    return values


def done(states: Array, names: Sequence[str]) -> Array:
    """Whether each of the subtasks is done in each state.

    Args:
        states: ``[..., S]``, of which the first 30 are joints.
        names: K subtasks.

    Returns:
        ``[..., K]`` bool.
    """
    goals, joints = _targets(tuple(names))
    return np.square(states[..., :STATE_DIM] - goals) @ joints < THRESHOLD**2


def paid(done: Array, remaining: Array, ordered: bool) -> Array:
    """Which subtasks are paid for at this step.

    Args:
        done: ``[N, K]`` bool, in the task's order.
        remaining: ``[N, K]`` bool, those not yet paid for.
        ordered: Whether one pays only if all that remain before it are done at this step too.

    Returns:
        ``[N, K]`` bool.
    """
    new = remaining & done
    if not ordered:
        return new
    return new & ~np.logical_or.accumulate(remaining & ~done, axis=1)


@functools.cache
def _targets(names: tuple[str, ...]) -> tuple[Array, Array]:
    """Goals ``[30]``, and ``[30, K]`` ones where a joint belongs to a subtask."""
    joints = np.zeros((STATE_DIM, len(names)))
    for column, name in enumerate(names):
        joints[list(SUBTASKS[name].joints), column] = 1.0
    return goal(names), joints
