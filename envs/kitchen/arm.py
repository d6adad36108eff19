"""The arm of demonstrations: from where the hand should be to actions, by inverse kinematics over all worlds."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from envs.kitchen.env import HIGHEST, LOWEST, MAX_VELOCITY, ROBOT, SUBSTEPS, KitchenEnv
from lightning_skills.data.batch_env import Array

JOINTS = 7
"""The arm's own, without the fingers."""
HAND = "end_effector"
"""The site between the fingers, 5 cm behind their tips."""
REST = np.array([-0.6, -1.3, 1.6, -2.2, 0.0, 1.6, 1.2])
"""A posture before the counter with the elbow away from its limits."""
SPEED, TURN = 0.75, 3.0
"""Of the hand, in m/s, unless a command says otherwise, and rad/s."""
TURN_WEIGHT = 0.15
"""Of a radian against a metre, where joints at their limits leave no way to get both right."""
DAMPING = 0.002
"""Added to ``J J^T``, so that no joint races near singular postures."""
POSTURE_GAIN = 0.12
"""Part of the way to the posture that is gone in a step, as far as the hand allows."""
MAX_DRIFT = 0.08
"""Length of a step towards the posture, in rad: more would leak into the hand's way."""
MARGIN = 0.02
"""Joints stay that far from their limits, in rad."""


@dataclass(frozen=True)
class Command:
    """Where the hand should get to; it moves there step by step.

    Args:
        position: ``[3]`` of the site between the fingers, in metres.
        rotation: ``[3, 3]`` of that site; its columns: across the palm, along which the fingers open, straight ahead.
        closed: Whether the fingers are to close.
        speed: In m/s.
        posture: ``[7]`` joints that are preferred among all that bring the hand there.
    """

    position: Array
    rotation: Array
    closed: bool
    speed: float
    posture: Array


class Arm:
    """Damped least squares over N worlds, towards commands.

    The joints are overdamped springs to where they are sent: in a step each goes the same part of its way, after it has
    sagged under the hand's weight. Both follow from the model and are made up for, so that a joint goes where it should
    unless something resists; then it pushes the harder the farther it lags behind.

    Args:
        env: The kitchens, refreshed whenever actions are asked for.
    """

    def __init__(self, env: KitchenEnv) -> None:
        self._env, model, batch = env, env.model, env.batch
        self._site = model.site(HAND).id
        self._body = int(model.site_bodyid[self._site])
        self._positions, self._rotations = batch.bind("site_xpos"), batch.bind("site_xmat")
        self._joints, self._weight = batch.bind("qpos"), batch.bind("qfrc_bias")
        self._stiffness = model.actuator_gainprm[:JOINTS, 0]
        self._step = SUBSTEPS * model.opt.timestep
        self._response = 1.0 - np.exp(-self._step * self._stiffness / model.dof_damping[:JOINTS])
        limits = model.jnt_range[:JOINTS]
        self._lowest = np.maximum(limits[:, 0], LOWEST[:JOINTS]) + MARGIN
        self._highest = np.minimum(limits[:, 1], HIGHEST[:JOINTS]) - MARGIN

    def actions(self, commands: Sequence[Command], worlds: Array) -> Array:
        """Actions ``[n, 9]`` in [-1, 1] that lead the worlds ``[n]`` towards their commands."""
        error, jacobian, joints = self._error(commands, worlds), self._jacobian(worlds), self._joints[worlds, :JOINTS]
        posture = np.stack([command.posture for command in commands])
        drift = _at_most(POSTURE_GAIN * (posture - joints), MAX_DRIFT)
        move = _least_squares(jacobian, error, drift)
        stuck = np.where(move < 0, joints + move < self._lowest, joints + move > self._highest)
        move = ~stuck * _least_squares(jacobian * ~stuck[:, None], error, drift * ~stuck)
        target = joints + self._weight[worlds, :JOINTS] / self._stiffness + move / self._response
        velocity = (target - self._env.observed[worlds, :JOINTS]) / (MAX_VELOCITY * self._step)
        fingers = np.array([[-1.0 if command.closed else 1.0] * (ROBOT - JOINTS) for command in commands])
        return np.clip(np.concatenate([velocity, fingers], axis=1), -1.0, 1.0)

    def _error(self, commands: Sequence[Command], worlds: Array) -> Array:
        """``[n, 6]``: how far and about what the hand should move in this step."""
        wanted = np.stack([command.rotation for command in commands])
        rotation = self._rotations[worlds, self._site].reshape(-1, 3, 3)
        shift = np.stack([command.position for command in commands]) - self._positions[worlds, self._site]
        turn = 0.5 * np.cross(rotation, wanted, axisa=1, axisb=1, axisc=1).sum(axis=2)
        speed = np.array([command.speed for command in commands])
        turn = TURN_WEIGHT * _at_most(turn, TURN * self._step)
        return np.concatenate([_at_most(shift, speed * self._step), turn], axis=1)

    def _jacobian(self, worlds: Array) -> Array:
        """``[n, 6, 7]``."""
        shift, turn = self._env.batch.jac(self._body, self._positions[worlds, self._site], worlds)
        return np.concatenate([shift, TURN_WEIGHT * turn], axis=1)[:, :, :JOINTS]


def _at_most(vectors: Array, length: Array | float) -> Array:
    """Vectors ``[n, K]``, those longer than this shortened to it."""
    norms = np.sqrt(np.square(vectors).sum(axis=1))
    return vectors * np.minimum(1.0, length / np.maximum(norms, 1e-9))[:, None]


def _least_squares(jacobian: Array, error: Array, drift: Array) -> Array:
    """Moves ``[n, 7]`` that undo errors ``[n, 6]``, and drift ``[n, 7]`` as far as that leaves them to."""
    transposed = jacobian.swapaxes(1, 2)
    rest = error[..., None] - jacobian @ drift[..., None]
    square = jacobian @ transposed + DAMPING * np.eye(error.shape[1])
    return drift + (transposed @ np.linalg.solve(square, rest))[..., 0]
