"""The numpy twin against MuJoCo itself, and positions that are known beforehand."""

import mujoco
import numpy as np
import pytest

from envs.maze import physics
from envs.maze.layouts import parse, random_layout
from envs.maze.mjcf import MuJoCoPointMass, model_xml
from envs.maze.physics import PointMass

CELL = parse("### #.# ###".replace(" ", "\n"))
"""One free cell, (1, 1), with walls all around."""
REST = 1.2 - 0.004 + 6.279e-4
"""Where a full force presses the ball against the wall at larger x, whose face it would touch at 1.2. By hand: it lies
p = 6.279e-4 beyond the onset of contact, where the impedance is d = 0.9362 and
d^2 / (1 - d) * mass / (0.95 * 0.02)^2 * p = 100, the force."""


def random_starts(layout, count, rng, spread=0.45):
    cells = np.argwhere(~layout)
    position = cells[rng.integers(len(cells), size=count)] + physics.CELL_CENTRE
    return position + rng.uniform(-spread, spread, (count, 2)), rng.normal(0.0, 1.0, (count, 2))


def pressed(model, action, steps=400):
    position, velocity = np.full((1, 2), 0.8), np.zeros((1, 2))
    for _ in range(steps):
        position, velocity = model.step(position, velocity, np.array([action]), np.arange(1))
    return position[0]


def both(layout, count):
    return PointMass(layout[None]), MuJoCoPointMass(layout, count)


def one_step_errors(layout, position, velocity, actions):
    """Differences ``[T, n]`` after one step from the states of a MuJoCo rollout."""
    worlds = np.arange(len(position))
    twin, reference = both(layout, len(position))
    errors = []
    for action in actions:
        predicted = twin.step(position, velocity, action, worlds)
        position, velocity = reference.step(position, velocity, action, worlds)
        errors.append(np.abs(np.concatenate(predicted, 1) - np.concatenate([position, velocity], 1)).max(axis=1))
    return np.array(errors)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_one_step_matches_mujoco(seed):
    rng = np.random.default_rng(seed)
    layout = random_layout(20, rng)
    actions = np.clip(rng.normal(0.0, 1.5, (8, 128, 2)), -1, 1).repeat(40, axis=0)
    errors = one_step_errors(layout, *random_starts(layout, 128, rng), actions)
    assert np.quantile(errors, 0.99) < 1e-10
    assert errors.max() < 5e-5, "beyond the tolerance of MuJoCo's solver"


def test_one_step_matches_mujoco_inside_walls():
    rng = np.random.default_rng(7)
    layout = random_layout(20, rng)
    inner = np.pad(layout[2:-2, 2:-2], 2)
    position, velocity = random_starts(~inner, 256, rng)
    actions = np.concatenate([np.zeros((30, 256, 2)), rng.uniform(-1, 1, (1, 256, 2)).repeat(60, axis=0)])
    errors = one_step_errors(layout, position, velocity, actions)
    assert np.quantile(errors, 0.99) < 1e-8
    assert errors.max() < 5e-4


def test_rollout_matches_mujoco():
    rng = np.random.default_rng(11)
    layout = random_layout(20, rng)
    actions = rng.uniform(-1, 1, (10, 64, 2)).repeat(30, axis=0).astype(np.float32)
    start, paths = random_starts(layout, 64, rng, spread=0.3), []
    for model in both(layout, 64):
        position, velocity = start
        path = []
        for action in actions:
            position, velocity = model.step(position, velocity, action, np.arange(64))
            path.append(position)
        paths.append(np.array(path))
    assert np.linalg.norm(paths[0] - paths[0][0], axis=2).max() > 5, "the balls should get somewhere"
    assert np.abs(paths[0] - paths[1]).max() < 2e-4


def test_free_cell_centre_is_index_minus_a_fifth():
    model = mujoco.MjModel.from_xml_string(model_xml(CELL))
    data = mujoco.MjData(model)
    data.qpos[:] = 1 + physics.CELL_CENTRE
    mujoco.mj_forward(model, data)
    ball = model.geom("ball").id
    gaps = [mujoco.mj_geomDistance(model, data, ball, wall, 2.0, None) for wall in range(model.ngeom) if wall != ball]
    assert sorted(gaps)[:4] == pytest.approx([0.4] * 4)


@pytest.mark.parametrize("backend", [0, 1])
def test_pressed_ball_rests_symmetrically_at_the_walls(backend):
    model = both(CELL, 1)[backend]
    for axis in (0, 1):
        push = np.eye(2)[axis]
        upper, lower = pressed(model, push), pressed(model, -push)
        assert upper[axis] == pytest.approx(REST, abs=1e-6)
        assert upper[axis] + lower[axis] == pytest.approx(2 * 0.8)
        assert upper[1 - axis] == pytest.approx(0.8)


def test_ball_pressed_into_a_corner_rests_where_mujoco_says():
    twin, reference = both(CELL, 1)
    corner = pressed(twin, [1.0, -0.7])
    assert corner == pytest.approx(pressed(reference, [1.0, -0.7]), abs=1e-7)
    assert corner[0] > 1.19
    assert corner[1] < 0.41


def test_margin_is_the_sum_of_both_geoms():
    model = mujoco.MjModel.from_xml_string(model_xml(CELL))
    data = mujoco.MjData(model)
    for gap, contacts in ((0.004 - 1e-6, 1), (0.004 + 1e-6, 0)):
        data.qpos[:] = 1.2 - gap, 0.8
        mujoco.mj_forward(model, data)
        assert data.ncon == contacts


def test_free_motion_by_hand():
    position, velocity = PointMass(CELL[None]).step(
        np.array([[0.8, 0.8]]), np.array([[0.0, 9.0]]), np.array([[1.0, 0.0]]), np.arange(1)
    )
    mass = 1000 * 4 / 3 * np.pi * 0.1**3
    implicit = 0.01 / (mass + 0.01)
    assert velocity[0] == pytest.approx([100 * implicit, 5 - 5 * implicit])
    assert position[0] == pytest.approx([0.8 + 0.01 * velocity[0, 0], 0.8 + 0.01 * velocity[0, 1]])


def test_single_precision_actions_count_as_mujoco_counts_them():
    twin, reference = both(CELL, 1)
    action = np.array([[0.1, 0.3]], dtype=np.float32)
    state = np.full((1, 2), 0.8), np.zeros((1, 2))
    for ours, theirs in zip(*(model.step(*state, action, np.arange(1)) for model in (twin, reference)), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-14)


def test_layout_per_world_equals_one_layout_each():
    rng = np.random.default_rng(5)
    mazes = np.stack([random_layout(20, rng) for _ in range(6)])
    together = PointMass(mazes)
    starts = [random_starts(maze, 1, rng) for maze in mazes]
    position, velocity = (np.concatenate(parts) for parts in zip(*starts, strict=True))
    alone = list(zip(position.copy(), velocity.copy(), strict=True))
    actions = rng.uniform(-1, 1, (5, 6, 2)).repeat(40, axis=0)
    order = np.array([4, 0, 5])
    for action in actions:
        position[order], velocity[order] = together.step(position[order], velocity[order], action[order], order)
    for world in order:
        model, (p, v) = PointMass(mazes[world][None]), alone[world]
        for action in actions:
            p, v = (row[0] for row in model.step(p[None], v[None], action[world][None], np.arange(1)))
        assert np.array_equal(p, position[world])
        assert np.array_equal(v, velocity[world])
