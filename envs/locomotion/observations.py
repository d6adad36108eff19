"""What each robot observes and where it is, as functions of the fields of MjData, batched: ``[N, ...]`` each."""

from collections.abc import Callable

import numpy as np

from lightning_skills.data.batch_env import Array

Fields = Callable[[str], Array]
"""A field of MjData by its name, ``[N, ...]``, one row for each world."""

CHEETAH_HEIGHT = 0.7
"""Of the cheetah's torso where its joints are at zero."""
FASTEST = 10.0
"""Velocities of walker and hopper are observed up to this, in m/s and rad/s."""
HARDEST = 1.0
"""Contact forces of the ant are observed, and cost, up to this, in N and N m."""


def cheetah(field: Fields) -> Array:
    """``[N, 20]``: pose without x, velocities, the torso's place (x, y, z)."""
    qpos, qvel = field("qpos"), field("qvel")
    torso = np.stack([qpos[:, 0], np.zeros(len(qpos)), CHEETAH_HEIGHT + qpos[:, 1]], axis=1)
    return np.concatenate([qpos[:, 1:], qvel, torso], axis=1)


def ant(field: Fields) -> Array:
    """``[N, 27]``: pose without x and y, velocities."""
    return np.concatenate([field("qpos")[:, 2:], field("qvel")], axis=1)


def ant_with_contacts(field: Fields) -> Array:
    """``[N, 113]``: the whole pose, velocities, and clipped contact forces on bodies, the world's zeros included."""
    return np.concatenate([field("qpos"), field("qvel"), contacts(field).reshape(len(field("qpos")), -1)], axis=1)


def contacts(field: Fields) -> Array:
    """Contact torques and forces ``[N, bodies, 6]`` on an ant, clipped."""
    return field("cfrc_ext").clip(-HARDEST, HARDEST)


def humanoid(field: Fields) -> Array:
    """``[N, 376]``: pose without x and y, velocities, inertias and velocities of bodies, motors' and contact forces.

    Bodies include the world, whose rows are zeros.
    """
    names = ("qvel", "cinert", "cvel", "qfrc_actuator", "cfrc_ext")
    rows = len(field("qpos"))
    return np.concatenate([field("qpos")[:, 2:], *(field(name).reshape(rows, -1) for name in names)], axis=1)


def planar(field: Fields) -> Array:
    """``[N, 2 nq - 1]`` of walker (17) and hopper (11): pose without x, clipped velocities."""
    return np.concatenate([field("qpos")[:, 1:], field("qvel").clip(-FASTEST, FASTEST)], axis=1)


def torso(field: Fields) -> Array:
    """``[N, 2]``: the first two coordinates of the pose, of a free body x and y, of one in a plane x and z."""
    return field("qpos")[:, :2]


def centre_of_mass(field: Fields) -> Array:
    """``[N, 2]``: x and y of the centre of mass of the whole robot."""
    return field("subtree_com")[:, 0, :2]
