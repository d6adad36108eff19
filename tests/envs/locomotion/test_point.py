"""The point robots: steps, both rewards, starts and success, beside formulas of single numbers."""

import math

import numpy as np
import pytest

from envs.locomotion.tasks import DISTRIBUTIONS, TASKS


def goal(task):
    return TASKS[task].goal


def towards(env, target):
    """Actions that go straight to a place, ``[1, 2]``."""
    return 10.0 * (np.array([target]) - env.position)


def test_the_robot_moves_a_tenth_of_the_action(made):
    env = made("point-robot", seeds=[0, 1])
    before = env.observe()["observation"].astype(float)
    seen = env.step(np.array([[1.0, -0.5], [-3.0, 0.2]])).observation["observation"]
    assert seen - before == pytest.approx(np.array([[0.1, -0.05], [-0.1, 0.02]]), abs=1e-6)


@pytest.mark.parametrize(
    ("task", "dense"), [("point-robot", False), ("sparse-point-robot", False), ("sparse-point-robot", True)]
)
def test_rewards_are_the_authors(task, dense, made):
    env = made(task, seeds=range(100), horizon=100, dense=dense)
    env.reset(tasks=np.arange(100))
    rng = np.random.default_rng(0)
    names = DISTRIBUTIONS[task].train + DISTRIBUTIONS[task].test
    targets = np.array([goal(name) for name in names])
    seen_inside = 0
    for _ in range(30):
        pull = 4.0 * (targets - env.position) + rng.normal(0.0, 0.7, (100, 2))
        result = env.step(pull.astype(np.float32))
        for world, name in enumerate(names):
            x, y = env.position[world]
            distance = math.sqrt((x - goal(name)[0]) ** 2 + (y - goal(name)[1]) ** 2)
            inside = distance <= 0.2
            sparse = 1.0 - distance if inside else 0.0
            paid = sparse if task == "sparse-point-robot" and not dense else -distance
            assert result.reward[world] == pytest.approx(paid, abs=1e-6)
            assert env.dense_reward[world] == pytest.approx(-distance, abs=1e-12)
            assert result.success[world] == (inside and task == "sparse-point-robot")
            seen_inside += inside
        assert not result.terminated.any()
    assert 300 < seen_inside < 2900


@pytest.mark.parametrize(("options", "radius"), [({}, 0.2), ({"radius": 0.4}, 0.4)])
def test_the_goal_is_reached_at_its_radius(options, radius, made):
    env = made("sparse-point-robot-0", **options)
    env.position[0] = np.array(goal("sparse-point-robot-0")) - [0.0, radius + 0.001]
    assert env.step(np.zeros((1, 2))).reward[0] == 0
    result = env.step(np.array([[0.0, 0.02]]))
    assert result.reward[0] == pytest.approx(1.0 - (radius - 0.001))
    assert result.success[0]


def test_starts(made):
    dense, sparse = made("point-robot", seeds=range(500)), made("sparse-point-robot", seeds=range(5))
    assert not sparse.position.any()
    assert 0.97 < dense.position.max() <= 1.0
    assert -1.0 <= dense.position.min() < -0.97
    assert dense.position.std() == pytest.approx(1 / math.sqrt(3), rel=0.05)
    before = dense.position.copy()
    dense.reset(np.arange(500) < 100)
    assert (dense.position[:100] != before[:100]).all()
    assert np.array_equal(dense.position[100:], before[100:])


def test_an_episode_pays_about_as_much_as_the_geometry_allows(made):
    """A goal is 1 away, along an axis 10 steps; the best episodes then stay for the rest of the 20."""
    for name in DISTRIBUTIONS["sparse-point-robot"].train[:20]:
        env = made(name)
        result = [env.step(np.clip(towards(env, goal(name)), -1, 1)) for _ in range(20)]
        total = sum(float(each.reward[0]) for each in result)
        longest = max(abs(part) for part in goal(name))
        arrived = math.ceil(10 * longest - 1e-9)  # steps of 0.1 along the longer axis
        assert 20 - arrived <= total <= 20 - arrived + 4
        assert result[-1].truncated[0]


def test_the_dense_reward_starts_at_nothing_and_is_kept(made):
    env, other = (made("sparse-point-robot", seeds=[0, 1]) for _ in range(2))
    env.step(np.ones((2, 2)), np.array([True, False]))
    assert (env.dense_reward != 0).tolist() == [True, False]
    other.set_state(env.get_state())
    assert np.array_equal(other.dense_reward, env.dense_reward)
    env.reset(np.array([True, False]))
    assert not env.dense_reward.any()
