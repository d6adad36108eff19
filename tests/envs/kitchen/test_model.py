"""The lean model against the whole one: the same dynamics to the bit, and no contact that it could miss."""

import itertools

import mujoco
import numpy as np
import pytest

from envs.kitchen import model, tasks
from envs.kitchen.env import START, KitchenEnv

MIXED = tasks.TASKS["mkbl"]
SOFT = 0.1
"""Radians by which a joint may be pressed beyond its limits."""


def states(simulated, actions):
    """Positions, velocities and the solver's start ``[T, N, S]`` under actions ``[T, N, 9]``."""
    env = KitchenEnv([MIXED], range(actions.shape[1]), noise=0.0, simulated=simulated)
    found = []
    for action in actions:
        env.step(action)
        found.append(state(env))
    return np.stack(found)


def state(env):
    return np.concatenate([env.batch.bind(name) for name in ("qpos", "qvel", "qacc_warmstart")], axis=1)


def touching(data):
    return {tuple(sorted(pair)) for pair in data.contact.geom[:, :2].tolist()}


def pieces(whole):
    """The body of each geom of the whole model, by the names that the lean one has for it."""
    names = [whole.body(body).name for body in whole.geom_bodyid]
    counters = [geom for geom in range(whole.ngeom) if names[geom] == "counters" and whole.geom_conaffinity[geom]]
    parts = [name for name, count in model.COUNTERS.items() for _ in range(count)]
    for geom, part in zip(counters, parts, strict=True):
        names[geom] = part
    return names


def allowed(one, other):
    one, other = model.group(one), model.group(other)
    return other in model.CONTACTS.get(one, ()) or one in model.CONTACTS.get(other, ())


def test_demonstrations_go_the_same_way_to_the_bit(whole, demonstrations):
    length = min(map(len, demonstrations.values()))
    actions = np.stack([each[:length] for each in demonstrations.values()], axis=1)
    assert np.array_equal(states(whole, actions), states(model.lean(), actions))


def test_so_do_random_and_extreme_actions(whole):
    rng = np.random.default_rng(0)
    white = rng.uniform(-1, 1, (96, 2, 9))
    held = rng.normal(0.0, 1.0, (12, 3, 9)).clip(-1, 1).repeat(8, axis=0)
    pushed = np.sign(rng.normal(size=(4, 3, 9))).repeat(24, axis=0)
    actions = np.concatenate([white, held, pushed], axis=1)
    assert np.array_equal(states(whole, actions), states(model.lean(), actions))


def test_so_does_a_kettle_that_is_thrown_about(whole):
    found = []
    for simulated in (whole, model.lean()):
        env = KitchenEnv([MIXED], range(4), simulated=simulated)
        rng = np.random.default_rng(1)
        env.batch.bind("qpos")[:, 23:26] = [[0.3, -0.5, 1.0], [0.8, 0.9, 2.2], [-0.9, 0.3, 1.9], [-0.9, 1.0, 2.5]]
        env.batch.bind("qvel")[:, 23:29] = rng.normal(0.0, 2.0, (4, 6))
        for _ in range(15):
            env.step(np.zeros((4, 9)))
        found.append(state(env))
    assert np.array_equal(*found)


def test_no_pose_has_contacts_that_the_lean_model_leaves_out(whole):
    rng, data, names = np.random.default_rng(2), mujoco.MjData(whole), pieces(whole)
    low, high = whole.jnt_range[:23].T
    seen = set()
    for _ in range(1500):
        data.qpos[:23] = rng.uniform(low - SOFT, high + SOFT)
        data.qpos[23:26] = rng.uniform([-1.4, -0.5, 0.0], [1.2, 1.4, 2.8])
        data.qpos[26:] = rng.normal(size=4)
        mujoco.mj_kinematics(whole, data)
        mujoco.mj_comPos(whole, data)
        mujoco.mj_collision(whole, data)
        for one, other in touching(data):
            assert allowed(names[one], names[other]), f"{names[one]} touches {names[other]}"
            seen.add(frozenset((model.group(names[one]), model.group(names[other]))))
    assert len(seen) > 10, "the poses should be contact-rich"


def points(simulated, data, geom):
    """Corners of a geom's box, or a mesh's vertices, ``[P, 3]``."""
    corners = simulated.geom_aabb[geom, :3] + simulated.geom_aabb[geom, 3:] * np.array(
        list(itertools.product((-1, 1), repeat=3))
    )
    if simulated.geom_type[geom] == mujoco.mjtGeom.mjGEOM_MESH:
        mesh = simulated.mesh(simulated.geom_dataid[geom])
        corners = simulated.mesh_vert[mesh.vertadr[0] : mesh.vertadr[0] + mesh.vertnum[0]]
    return data.geom_xpos[geom] + corners @ data.geom_xmat[geom].reshape(3, 3).T


def farthest(simulated, data, name, centre):
    """Distance of the farthest point of a body from a centre."""
    body = simulated.body(name)
    geoms = range(body.geomadr[0], body.geomadr[0] + body.geomnum[0])
    return max(np.linalg.norm(points(simulated, data, geom) - centre, axis=1).max() for geom in geoms)


def nearest(simulated, data, name, centre):
    """Distance of a body's nearest box from a centre."""
    body, distances = simulated.body(name), []
    for geom in range(body.geomadr[0], body.geomadr[0] + body.geomnum[0]):
        offset = data.geom_xmat[geom].reshape(3, 3).T @ (centre - data.geom_xpos[geom]) - simulated.geom_aabb[geom, :3]
        distances.append(np.linalg.norm(np.maximum(np.abs(offset) - simulated.geom_aabb[geom, 3:], 0.0)))
    return min(distances)


def test_links_are_too_short_for_what_they_are_not_tested_against():
    simulated = model.lean()
    data, rng = mujoco.MjData(simulated), np.random.default_rng(3)
    low, high = simulated.jnt_range[:7].T
    lengths = []
    for _ in range(5):  # none of these lengths depends on the pose
        data.qpos[:] = START
        data.qpos[:7], data.qpos[7:9] = rng.uniform(low, high), 0.04
        mujoco.mj_kinematics(simulated, data)
        shoulder, elbow, wrist, flange = (data.body(f"panda0_link{link}").xpos.copy() for link in (1, 4, 5, 7))
        upper, lower, last = (np.linalg.norm(b - a) for a, b in ((shoulder, elbow), (elbow, wrist), (wrist, flange)))
        near_shoulder = [farthest(simulated, data, f"panda0_link{link}", shoulder) for link in (1, 2, 3)]
        elbows = max(*near_shoulder, upper + farthest(simulated, data, "panda0_link4", elbow))
        forearm = max(farthest(simulated, data, f"panda0_link{link}", wrist) for link in (5, 6))
        hand = last + max(farthest(simulated, data, name, flange) for name in model.GROUPS["hand"])
        lengths.append((elbows, upper + lower + max(forearm, hand)))
    assert np.ptp(lengths, axis=0).max() < 1e-9
    assert lengths[0][0] < 0.52
    assert lengths[0][1] < 1.08
    assert min(nearest(simulated, data, name, shoulder) for name in model.GROUPS["far"]) > 1.1
    for portion in np.linspace(-0.05, 1.05, 100):
        data.qpos[9:23] = simulated.jnt_range[9:23] @ [1 - portion, portion]
        mujoco.mj_kinematics(simulated, data)
        for body in range(simulated.body("desk").id, simulated.nbody):
            name = simulated.body(body).name
            if simulated.body_geomnum[body] and model.group(name) == model.NEAR:
                assert nearest(simulated, data, name, shoulder) > 0.525, name


BASE = ""
LINKS = [f"panda0_link{link}" for link in range(8)]


@pytest.mark.parametrize(
    ("one", "other", "joints", "degrees"),
    [
        (LINKS[0], LINKS[1], [1], 0.5),
        (BASE, LINKS[1], [1], 3),
        *((name, LINKS[2], [1, 2], 6) for name in (BASE, LINKS[0])),
        *((name, LINKS[3], [1, 2, 3], 12) for name in (BASE, LINKS[0])),
        (LINKS[1], LINKS[3], [2, 3], 6),
        (LINKS[1], LINKS[4], [2, 3, 4], 12),
        (LINKS[2], LINKS[4], [3, 4], 4),
        (LINKS[3], LINKS[5], [4, 5], 4),
        (LINKS[3], LINKS[6], [4, 5, 6], 12),
        (LINKS[4], LINKS[6], [5, 6], 6),
    ],
)
def test_no_angles_let_links_touch_that_are_not_tested(one, other, joints, degrees):
    simulated = model.lean()
    data = mujoco.MjData(simulated)
    assert not allowed(one, other)
    first, second = (simulated.body_geomadr[simulated.body(name).id if name else 1] for name in (one, other))
    reach = simulated.geom_rbound[first] + simulated.geom_rbound[second]
    grid = []
    for joint in joints:
        low, high = simulated.jnt_range[joint - 1] + [-SOFT, SOFT]
        grid.append(np.linspace(low, high, int(np.ceil(np.rad2deg(high - low) / degrees)) + 1))
    closest = 1.0
    for angles in itertools.product(*grid):
        data.qpos[np.array(joints) - 1] = angles
        mujoco.mj_kinematics(simulated, data)
        if np.linalg.norm(data.geom_xpos[first] - data.geom_xpos[second]) < reach + closest:
            closest = min(closest, mujoco.mj_geomDistance(simulated, data, first, second, closest, None))
    # between two points of the grid a link moves by less than half a step of its own joint and all before it
    assert closest > (0.0005 if joints == [1] and one == LINKS[0] else 0.025)
