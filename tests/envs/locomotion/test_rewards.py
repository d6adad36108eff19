"""Rewards, observations and ends, number by number, beside one plain simulation and formulas of single numbers."""

import math

import numpy as np
import pytest

from envs.locomotion import rewards
from envs.locomotion.rewards import Step
from envs.locomotion.tasks import DISTRIBUTIONS, TASKS

FAMILIES = (
    "cheetah-vel",
    "cheetah-dir",
    "ant-goal",
    "ant-dir",
    "humanoid-dir",
    "walker-rand-params",
    "hopper-rand-params",
)


def squares(numbers):
    return sum(float(number) ** 2 for number in np.ravel(numbers))


def clipped(numbers, limit):
    return [min(max(float(number), -limit), limit) for number in np.ravel(numbers)]


def contact_cost(data):
    return 0.0005 * squares(clipped(data.cfrc_ext, 1.0))


def expected_reward(family, x, y, robot, action, goal):
    """The authors' formula; x and y are speeds, the action is within [-1, 1]."""
    data = robot.data
    match family:
        case "cheetah-vel":
            return -abs(x - goal[0]) - 0.05 * squares(action)
        case "cheetah-dir":
            return goal[0] * x - 0.05 * squares(action)
        case "ant-dir":
            forward = x * math.cos(goal[0]) + y * math.sin(goal[0])
            return forward - 0.5 * squares(action) - contact_cost(data) + 1.0
        case "ant-goal":
            away = abs(data.qpos[0] - goal[0]) + abs(data.qpos[1] - goal[1])
            return -away - 0.1 * squares(action) - contact_cost(data)
        case "humanoid-dir":
            way = robot.dt * (x * math.cos(goal[0]) + y * math.sin(goal[0]))
            impact = min(0.5e-6 * squares(data.cfrc_ext), 10.0)
            return 0.25 * way / 0.003 - 0.1 * squares(0.4 * np.asarray(action)) - impact + 5.0
        case _:
            return x + 1.0 - 0.001 * squares(action)


def expected_observation(family, robot):
    data = robot.data
    match family:
        case "cheetah-vel" | "cheetah-dir":
            return [*data.qpos[1:], *data.qvel, *data.body("torso").xpos]
        case "ant-dir":
            return [*data.qpos[2:], *data.qvel]
        case "ant-goal":
            return [*data.qpos, *data.qvel, *clipped(data.cfrc_ext, 1.0)]
        case "humanoid-dir":
            bodies = [np.ravel(each) for each in (data.cinert, data.cvel, data.qfrc_actuator, data.cfrc_ext)]
            return [*data.qpos[2:], *data.qvel, *np.concatenate(bodies)]
        case _:
            return [*data.qpos[1:], *clipped(data.qvel, 10.0)]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_step_is_that_of_a_single_robot(family, made, held, reference):
    env = made(family, seeds=range(3), horizon=1000)
    names = DISTRIBUTIONS[family].train + DISTRIBUTIONS[family].test
    chosen = np.array([1, 0, len(names) - 1])
    seen = env.reset(tasks=chosen)["observation"]
    robots = [reference(family, number) for number in chosen]
    for world, robot in enumerate(robots):
        robot.start(env.batch.bind("qpos")[world], env.batch.bind("qvel")[world])
        assert seen[world] == pytest.approx(np.float32(expected_observation(family, robot)), abs=1e-6)
    touched = 0
    for action in held(env, 60):
        before = [robot.mass_centre() if family == "humanoid-dir" else robot.data.qpos[:2].copy() for robot in robots]
        result = env.step(action)
        for world, robot in enumerate(robots):
            allowed = clipped(action[world], 1.0)
            robot.step(allowed)
            after = robot.mass_centre() if family == "humanoid-dir" else robot.data.qpos[:2]
            x, y = (float(after[axis] - before[world][axis]) / robot.dt for axis in (0, 1))
            goal = TASKS[names[chosen[world]]].goal
            reward = expected_reward(family, x, y, robot, allowed, goal)
            assert result.reward[world] == pytest.approx(reward, rel=1e-6, abs=1e-5)
            assert np.array_equal(env.batch.bind("qpos")[world], robot.data.qpos)
            expected = np.float32(expected_observation(family, robot))
            assert result.observation["observation"][world] == pytest.approx(expected, rel=1e-6, abs=1e-6)
            touched += robot.data.ncon
    assert touched > 20, "the robots should have touched the ground"
    assert not result.success.any()


@pytest.mark.parametrize("family", ["ant-dir", "ant-goal", "humanoid-dir"])
def test_the_first_step_of_an_env_knows_its_contacts(family, made, reference):
    env, robot = made(family, seeds=[0]), reference(family)
    pose, still = env.model.qpos0.copy(), np.zeros(env.model.nv)
    pose[2] = 0.3 if family.startswith("ant") else 1.2
    env.batch.bind("qpos")[0], env.batch.bind("qvel")[0] = pose, still
    env.refresh()
    robot.start(pose, still)
    before = robot.mass_centre() if family == "humanoid-dir" else pose[:2].copy()
    result, action = env.step(np.zeros((1, env.info.action_dim))), np.zeros(env.info.action_dim)
    robot.step(action)
    after = robot.mass_centre() if family == "humanoid-dir" else robot.data.qpos[:2]
    x, y = ((after[axis] - before[axis]) / robot.dt for axis in (0, 1))
    goal = TASKS[DISTRIBUTIONS[family].train[0]].goal
    assert squares(robot.data.cfrc_ext) > 100
    assert result.reward[0] == pytest.approx(expected_reward(family, x, y, robot, action, goal), abs=1e-5)


def test_sizes_of_observations_and_actions(made):
    sizes = {family: (made(family).info.state_dim, made(family).info.action_dim) for family in FAMILIES}
    assert sizes == {
        "cheetah-vel": (20, 6),
        "cheetah-dir": (20, 6),
        "ant-goal": (113, 8),
        "ant-dir": (27, 8),
        "humanoid-dir": (376, 17),
        "walker-rand-params": (17, 6),
        "hopper-rand-params": (11, 3),
    }


def stretched(**fields):
    """A step after which these fields of MjData hold, one row for each world."""
    rows = {name: np.array(values, dtype=float) for name, values in fields.items()}
    count = len(next(iter(rows.values())))
    return Step(rows.__getitem__, np.zeros((count, 2)), np.zeros((count, 1)), np.zeros((count, 1)))


def test_an_ant_ends_outside_of_its_heights():
    heights = [0.19, 0.2, 0.6, 1.0, 1.01, math.nan]
    ends = rewards.ant_ends(stretched(qpos=[[0, 0, height, 1] for height in heights]))
    assert ends.tolist() == [True, False, False, False, True, True]


def test_a_humanoid_ends_outside_of_its_heights():
    ends = rewards.humanoid_ends(stretched(qpos=[[0, 0, height] for height in (0.99, 1.0, 1.5, 2.0, 2.01)]))
    assert ends.tolist() == [True, False, False, False, True]


def test_a_walker_ends_when_low_high_or_leaning():
    poses = [(0.8, 0), (0.81, 0), (1.99, 0), (2.0, 0), (1.25, 0.99), (1.25, 1.0), (1.25, -1.0), (math.nan, 0)]
    ends = rewards.walker_ends(stretched(qpos=[[5, height, angle, 3] for height, angle in poses]))
    assert ends.tolist() == [True, False, False, True, False, True, True, True]


def test_a_hopper_ends_when_low_leaning_or_out_of_bounds():
    poses = [(0.7, 0, 0), (0.71, 0, 0), (9.0, 0, 0), (1.2, 0.19, 0), (1.2, -0.2, 0), (1.2, 0, 99), (1.2, 0, -100)]
    qpos = [[500, height, angle] for height, angle, _ in poses]
    ends = rewards.hopper_ends(stretched(qpos=qpos, qvel=[[0, speed] for *_, speed in poses]))
    assert ends.tolist() == [True, False, False, False, True, False, True]
    assert rewards.hopper_ends(stretched(qpos=[[0, 1.2, math.nan]], qvel=[[0, 0]])).tolist() == [True]


@pytest.mark.parametrize(
    ("task", "ends"),
    [
        ("cheetah-vel-0", False),
        ("cheetah-dir-forward", False),
        ("ant-goal-0", False),
        ("ant-dir-forward", True),
        ("humanoid-dir-0", True),
        ("walker-rand-params-0", True),
        ("hopper-rand-params-0", True),
    ],
)
def test_only_some_episodes_end_when_the_robot_is_far_up(task, ends, made):
    env = made(task, seeds=[0, 1])
    height = 1 if env.model.jnt_type[0] == 2 else 2  # of a slide joint, of a free one
    env.batch.bind("qpos")[1, height] += 3.0
    if task.startswith("hopper"):
        env.batch.bind("qpos")[1, 2] = 0.5
    result = env.step(np.zeros((2, env.info.action_dim)))
    assert result.terminated.tolist() == [False, ends]


def test_what_an_impact_costs_a_humanoid_has_a_limit():
    force = np.zeros((3, 14, 6))
    force[:, 2, 5] = [1e3, math.sqrt(2e7), 1e5]
    still = np.zeros((3, 2))
    step = Step({"cfrc_ext": force}.__getitem__, still, np.zeros((3, 17)), np.zeros((3, 1)))
    assert rewards.humanoid_direction(step) == pytest.approx([5.0 - 0.5, 5.0 - 10.0, 5.0 - 10.0])
