"""Plots: ways, speeds and goals where the observations have them."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from envs.locomotion import pictures
from envs.locomotion.tasks import DISTRIBUTIONS, TASKS


def travelled(env, held, steps=8):
    first = env.observe()["observation"]
    return np.stack([first, *(env.step(action).observation["observation"] for action in held(env, steps))])


@pytest.mark.parametrize("family", list(DISTRIBUTIONS))
def test_every_family_is_drawn(family, made, held):
    env = made(family, seeds=[0, 1])
    states = travelled(env, held)
    axes = Figure().add_subplot()
    assert env.draw(axes, [states[:, 0], states[:5, 1]])
    drawn = [line for line in axes.lines if len(line.get_xdata()) in (9, 5)]
    assert len(drawn) == 2
    assert env.visited(states[:, 0]) is None


def test_columns_of_speed_and_drift_are_the_simulators_velocities(made, held):
    for family, columns, velocities in (
        ("cheetah-vel", pictures.SPEEDS["cheetah-vel"], 0),
        ("cheetah-dir", pictures.SPEEDS["cheetah-dir"], 0),
        ("walker-rand-params", pictures.SPEEDS["walker-rand-params"], 0),
        ("hopper-rand-params", pictures.SPEEDS["hopper-rand-params"], 0),
        ("ant-dir", pictures.DRIFTS["ant-dir"], slice(0, 2)),
        ("humanoid-dir", pictures.DRIFTS["humanoid-dir"], slice(0, 2)),
    ):
        env = made(family)
        seen = travelled(env, held)[-1, 0]
        assert np.array_equal(seen[columns], env.batch.bind("qvel")[0, velocities].astype(np.float32))


def test_ways_that_are_not_seen_are_summed_up_from_velocities():
    states = np.zeros((4, 27))
    states[:, 13], states[:, 14] = [1.0, 2.0, 0.0, 5.0], -1.0
    way = pictures.way("ant-dir", states, seconds=0.5)
    assert way == pytest.approx(np.array([[0, 0], [0.5, -0.5], [1.5, -1.0], [1.5, -1.5]]))


def test_places_are_drawn_where_they_are(made, held):
    env = made("ant-goal-3")
    states = travelled(env, held)[:, 0]
    axes = Figure().add_subplot()
    env.draw(axes, [states])
    lines = [np.column_stack(line.get_data()) for line in axes.lines]
    assert any(np.array_equal(line, states[:, :2]) for line in lines)
    assert any(np.allclose(line, [TASKS["ant-goal-3"].goal]) for line in lines)


def test_one_sparse_goal_has_a_circle_of_its_radius(made, held):
    def circles(env, task=None):
        axes = Figure().add_subplot()
        env.draw(axes, [travelled(env, held)[:, 0]], task)
        return axes.patches

    goal = TASKS["sparse-point-robot-3"].goal
    (of_task,) = circles(made("sparse-point-robot", radius=0.3), 3)
    (of_single,) = circles(made("sparse-point-robot-3"))
    assert (*of_task.center, of_task.radius) == pytest.approx((*goal, 0.3))
    assert (*of_single.center, of_single.radius) == pytest.approx((*goal, 0.2))
    assert not [*circles(made("sparse-point-robot")), *circles(made("point-robot-3"))]


@pytest.mark.parametrize("family", ["sparse-point-robot", "ant-goal"])
def test_the_goals_drawn_are_those_of_all_tasks_or_of_one(family, made, held):
    env = made(family)
    states = travelled(env, held)[:, 0]
    every, one = Figure().subplots(1, 2)
    env.draw(every, [states])
    env.draw(one, [states], 2)
    assert len(every.lines[-1].get_xdata()) == len(env.info.tasks)
    assert np.column_stack(one.lines[-1].get_data()).tolist() == [pytest.approx(TASKS[f"{family}-2"].goal)]


def test_speeds_to_reach_are_lines(made, held):
    env = made("cheetah-vel-3")
    axes = Figure().add_subplot()
    env.draw(axes, [travelled(env, held)[:, 0]])
    heights = [line.get_ydata() for line in axes.lines if len(line.get_ydata()) == 2]
    assert [list(height) for height in heights] == [[*TASKS["cheetah-vel-3"].goal] * 2]
    assert axes.lines[0].get_xdata()[1] == pytest.approx(0.05)
