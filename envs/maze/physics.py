"""The point mass among walls, exactly as MuJoCo steps it, in vectorised numpy.

A sphere that two force motors push over a plane of unit boxes. MuJoCo's soft, frictionless contacts reduce here to a
two-dimensional problem that numpy solves for thousands of worlds at once, each with walls of its own if need be, which
one MuJoCo model could not give. :mod:`envs.maze.mjcf` holds the same world for MuJoCo itself, the reference that
the tests hold this against.

Coordinates: cell ``(i, j)`` of a layout has its centre at ``(i + CELL_CENTRE, j + CELL_CENTRE)``.

Sources: the point maze of the D4RL fork used by SPiRL, SkiMo and SiMPL; the chapter "Computation" of MuJoCo's
documentation for the contact model.
"""

import numpy as np

Array = np.ndarray

CELL_CENTRE = -0.2
"""Position of a cell's centre relative to its index: in D4RL's model walls stand at index + 1, the body at 1.2."""
RADIUS = 0.1
"""Of the sphere."""
DENSITY = 1000.0
MASS = DENSITY * 4.0 / 3.0 * np.pi * RADIUS**3
GEAR = 100.0
"""Force of a full action."""
DAMPING = 1.0
"""Of both slide joints."""
TIMESTEP = 0.01
"""One environment step is one simulator step of this length, in seconds."""
MAX_SPEED = 5.0
"""Each component of the velocity is clipped to this before a step."""
WALL_HALF_HEIGHT = 0.2
"""A ball deeper in a wall than this is nearest to the wall's top, whose contact does not push it sideways."""
MARGIN = 0.004
"""Distance at which a contact begins. Geoms have a margin of 0.002 each; MuJoCo adds both since version 3.4, and took
the larger of the two before."""

SOLREF = (0.02, 1.0)
"""MuJoCo's default time constant and damping ratio of a contact."""
SOLIMP = (0.9, 0.95, 0.001)
"""MuJoCo's default smallest and largest impedance, and the penetration over which it rises."""
STIFFNESS = 1.0 / (SOLIMP[1] * SOLREF[0] * SOLREF[1]) ** 2
CONTACT_DAMPING = 2.0 / (SOLIMP[1] * SOLREF[0])

OWN, SIDE_X, SIDE_Y, CORNER = 1, 2, 4, 8
"""Which of the cells around a point are wall: its own, the nearest along x, along y, and the one between these two."""
SIDES = slice(1, 3)
_BITS = np.array([[OWN], [SIDE_X], [SIDE_Y], [CORNER]], dtype=np.uint8)
_MAX_SOLVER_STEPS = 20


class PointMass:
    """Steps point masses through layouts.

    Args:
        layouts: ``[1, S, S]`` bool, one layout for all worlds, or ``[N, S, S]``, a layout per world.
    """

    def __init__(self, layouts: Array) -> None:
        self._width = 2 * layouts.shape[-1]
        self._walls = _walls_around(layouts).ravel()
        self._stride = self._width**2 if len(layouts) > 1 else 0

    def step(self, position: Array, velocity: Array, action: Array, worlds: Array) -> tuple[Array, Array]:
        """The state one time step later.

        Args:
            position: ``[n, 2]``.
            velocity: ``[n, 2]``.
            action: ``[n, 2]`` in [-1, 1], of any precision.
            worlds: ``[n]``, the worlds these states belong to, which picks their layouts.

        Returns:
            position and velocity, each ``[n, 2]`` float64.
        """
        velocity = np.minimum(np.maximum(velocity, -MAX_SPEED), MAX_SPEED)
        acceleration = (GEAR * action.astype(np.float64) - DAMPING * velocity) * (1.0 / MASS)
        corner = position + (0.5 - CELL_CENTRE)
        offset = corner - np.rint(corner)
        quarter = (2.0 * corner).astype(np.int64)
        around = self._walls[worlds * self._stride + quarter[:, 0] * self._width + quarter[:, 1]]
        near = np.abs(offset).min(axis=1) < RADIUS + MARGIN
        hit = np.flatnonzero((around != 0) & (near | (around & OWN != 0)))
        if hit.size:
            acceleration[hit] = _pushed(acceleration[hit], velocity[hit], offset[hit], around[hit])
        velocity = velocity + TIMESTEP * MASS / (MASS + TIMESTEP * DAMPING) * acceleration
        return position + TIMESTEP * velocity, velocity


def free(layout: Array, position: Array) -> Array:
    """Whether points ``[..., 2]`` lie in free cells of ``layout [S, S]``."""
    cell = np.floor(position + (0.5 - CELL_CENTRE)).astype(np.int64)
    return ~layout[cell[..., 0], cell[..., 1]]


def _walls_around(layouts: Array) -> Array:
    """Bits of the walls around a point in each quarter of each cell, ``[L, 2 S, 2 S]`` uint8."""
    quarters = np.pad(layouts, ((0, 0), (1, 1), (1, 1)), constant_values=True).repeat(2, axis=1).repeat(2, axis=2)
    width = 2 * layouts.shape[-1]
    inner = np.arange(2, width + 2)
    outward = inner + np.where(inner % 2, 1, -1)
    around = OWN * quarters[:, inner[:, None], inner] + SIDE_X * quarters[:, outward[:, None], inner]
    around += SIDE_Y * quarters[:, inner[:, None], outward] + CORNER * quarters[:, outward[:, None], outward]
    return around.astype(np.uint8)


def _pushed(acceleration: Array, velocity: Array, offset: Array, around: Array) -> Array:
    """Accelerations ``[n, 2]`` with the contact forces of the walls.

    Args:
        acceleration: ``[n, 2]`` without walls.
        velocity: ``[n, 2]``.
        offset: ``[n, 2]`` from the nearest corner of the grid to the ball's centre.
        around: ``[n]`` bits of the walls around.
    """
    vx, vy = velocity.T
    distance, normal = _contacts(offset.T, around)
    penetration = distance - MARGIN
    impedance = _impedance(penetration)
    contact = (around & _BITS != 0) & (penetration < 0.0)
    weight = contact * (impedance / (1.0 - impedance) * MASS)
    target = -CONTACT_DAMPING * (normal[:, 0] * vx + normal[:, 1] * vy) - STIFFNESS * impedance * penetration
    return _solve(acceleration.T, normal, target, weight, contact).T


def _contacts(offset: Array, around: Array) -> tuple[Array, Array]:
    """Distances ``[4, n]`` and normals ``[4, 2, n]`` (towards the ball) from the walls OWN, SIDE_X, SIDE_Y, CORNER."""
    gap = np.abs(offset)
    radial = np.hypot(gap[0], gap[1])
    distance, normal = np.ones((4, offset.shape[1])), np.zeros((4, *offset.shape))
    distance[SIDES], distance[3] = gap, radial
    normal[1, 0], normal[2, 1] = np.copysign(1.0, offset)
    normal[3] = offset / np.maximum(radial, 1e-12)
    inside = np.flatnonzero(around & OWN)
    if inside.size:
        distance[0, inside], normal[0][:, inside] = _way_out(offset[:, inside])
    return distance - RADIUS, normal


def _way_out(offset: Array) -> tuple[Array, Array]:
    """Distance ``[n]`` and normal ``[2, n]`` of the wall that a ball's centre is in: the nearest face, or the top.

    A contact with the top has no normal in the plane; it is reported as a wall out of reach.
    """
    depth = np.abs(offset)
    nearest = depth == depth.min(axis=0)
    nearest[1] &= ~nearest[0]
    distance = np.where(depth.min(axis=0) < WALL_HALF_HEIGHT, -depth.min(axis=0), 1.0)
    return distance, -np.copysign(1.0, offset) * nearest


def _impedance(penetration: Array) -> Array:
    """MuJoCo's impedance of a contact at a signed distance from its onset."""
    low, high, width = SOLIMP
    depth = np.minimum(np.abs(penetration) * (1.0 / width), 1.0)
    part = 2.0 * np.minimum(depth, 1.0 - depth) ** 2
    return low + (high - low) * np.where(depth < 0.5, part, 1.0 - part)


def _solve(free_motion: Array, normal: Array, target: Array, weight: Array, contact: Array) -> Array:
    """Accelerations that minimise Gauss's principle with soft one-sided constraints.

    The objective is ``MASS |a - free_motion|^2 + sum_k weight_k min(0, normal_k a - target_k)^2``: piecewise quadratic,
    so Newton's method is exact once it knows which constraints are active.

    Args:
        free_motion: ``[2, n]``.
        normal: ``[4, 2, n]``.
        target: ``[4, n]`` acceleration along the normal that a contact asks for.
        weight: ``[4, n]``.
        contact: ``[4, n]`` bool, the constraints there are.
    """
    x, y = normal[:, 0], normal[:, 1]
    terms = np.empty((5, *weight.shape))  # of the normal equations [[xx, xy], [xy, yy]] a = [bx, by]
    terms[0], terms[1], terms[2], terms[3], terms[4] = x * x, x * y, y * y, x * target, y * target
    terms *= weight
    rest = np.zeros((5, weight.shape[1]))
    rest[0], rest[2], rest[3:] = MASS, MASS, MASS * free_motion
    (ax, ay), before = free_motion, b""
    for _ in range(_MAX_SOLVER_STEPS):
        active = contact & (x * ax + y * ay < target)
        if active.tobytes() == before:
            break
        before = active.tobytes()
        xx, xy, yy, bx, by = np.add.reduce(terms * active, axis=1) + rest
        scale = 1.0 / (xx * yy - xy * xy)
        ax, ay = (yy * bx - xy * by) * scale, (xx * by - xy * bx) * scale
    return np.stack([ax, ay])
