"""Model parameters by task: the authors' draws, in every world its own, applied by a reset and by a state."""

import mujoco
import numpy as np
import pytest

from envs.locomotion import models
from envs.locomotion.parameters import multipliers

TASKS = ["walker-rand-params", "hopper-rand-params"]
FIELDS = ("body_mass", "body_inertia", "dof_damping", "geom_friction")


def coasting(env, steps=10):
    """Poses ``[N, nq]`` after the same pushes from the same start."""
    env.batch.bind("qpos")[:], env.batch.bind("qvel")[:] = env.model.qpos0, 0.0
    env.batch.bind("qacc_warmstart")[:] = 0.0
    for step in range(steps):
        env.step(np.full((env.num_worlds, env.info.action_dim), (-1.0) ** step))
    return env.batch.bind("qpos").copy()


def given(env, world):
    model = env.batch.get_model(world)
    return {name: getattr(model, name).copy() for name in FIELDS}


@pytest.mark.parametrize("robot", [models.WALKER, models.HOPPER])
def test_multipliers_are_the_authors_after_our_seed(robot, scales):
    model = models.load(robot)
    drawn = multipliers(model, 4)
    assert set(drawn) == set(FIELDS)
    for number in range(4):
        for name, expected in scales(model, number).items():
            assert np.array_equal(drawn[name][number], expected)


def test_multipliers_spread_as_published():
    drawn = multipliers(models.load(models.WALKER), 300)
    for name in FIELDS:
        powers = np.log(drawn[name]) / np.log(1.3 if name == "dof_damping" else 1.5)
        assert -3.0 <= powers.min() < -2.95 < 2.95 < powers.max() <= 3.0
        assert abs(powers.mean()) < 0.1


@pytest.mark.parametrize("task", TASKS)
def test_every_world_has_the_parameters_of_its_task(task, made, reference, scales):
    env = made(task, seeds=[0, 1, 2])
    env.reset(tasks=np.array([4, 0, 49]))
    for world, number in enumerate((4, 0, 49)):
        robot = reference(task, number)
        for name, values in given(env, world).items():
            assert np.array_equal(values, getattr(robot.model, name))
        derived = env.batch.get_model(world)
        assert np.array_equal(derived.dof_invweight0, robot.model.dof_invweight0)
        assert np.array_equal(derived.body_subtreemass, robot.model.body_subtreemass)


@pytest.mark.parametrize("task", TASKS)
def test_parameters_change_the_motion_and_follow_a_reset(task, made):
    env = made(task, seeds=[0, 0, 0])
    env.reset(tasks=np.array([4, 8, 4]))
    first = coasting(env)
    assert np.array_equal(first[0], first[2])
    assert np.abs(first[0] - first[1]).max() > 1e-3
    env.reset(np.array([False, True, True]), tasks=np.array([4, 8]))
    second = coasting(env)
    assert np.array_equal(second, first[[0, 0, 1]])
    env.reset()
    assert np.array_equal(coasting(env), second)


def test_one_task_has_its_parameters_from_the_start(made):
    one, several = made("hopper-rand-params-7"), made("hopper-rand-params")
    several.reset(tasks=np.array([7]))
    assert all(np.array_equal(values, given(several, 0)[name]) for name, values in given(one, 0).items())


def test_a_state_brings_its_parameters(made):
    env, other = made("walker-rand-params", seeds=[0, 1]), made("walker-rand-params", seeds=[5, 6])
    env.reset(tasks=np.array([3, 11]))
    other.reset(tasks=np.array([11, 2]))
    other.set_state(env.get_state())
    for world in (0, 1):
        theirs = given(other, world)
        assert all(np.array_equal(values, theirs[name]) for name, values in given(env, world).items())
    assert np.array_equal(env.batch.state, other.batch.state)
    assert np.array_equal(coasting(env), coasting(other))


def test_worlds_that_keep_their_task_are_left_alone(made, monkeypatch):
    env = made("hopper-rand-params", seeds=[0, 1, 2])
    env.reset(tasks=np.array([1, 2, 3]))
    told = []
    original = env.batch.set_const
    monkeypatch.setattr(type(env.batch), "set_const", lambda _, worlds: (told.append(list(worlds)), original(worlds)))
    env.reset(tasks=np.array([1, 5, 3]))
    env.reset()
    assert told == [[1]]


def test_the_shared_model_stays_as_it_is(made):
    env = made("walker-rand-params", seeds=[0])
    plain = models.load(models.WALKER)
    assert all(np.array_equal(getattr(env.model, name), getattr(plain, name)) for name in FIELDS)


def test_robots_are_gymnasiums_but_for_what_is_set_back(reference):
    """The cheetah's mass is set by other means than its file's deprecated attribute, to the same bits."""
    for family, robot in (
        ("cheetah-vel", models.CHEETAH),
        ("ant-goal", models.ANT),
        ("humanoid-dir", models.HUMANOID),
    ):
        ours, theirs = models.load(robot), reference(family).model
        for name in (*FIELDS, "dof_invweight0", "dof_M0", "geom_margin", "actuator_gear", "jnt_range"):
            assert np.array_equal(getattr(ours, name), getattr(theirs, name)), name
        assert ours.stat.meaninertia == theirs.stat.meaninertia
        assert ours.opt.timestep == theirs.opt.timestep
    assert models.load(models.CHEETAH).body_mass.sum() == pytest.approx(14.0)


def test_margins_of_two_touching_geoms_are_together_what_one_had():
    model = models.load(models.ANT)
    data = mujoco.MjData(model)
    data.qpos[2] = 0.255  # the torso is a ball of 0.25
    mujoco.mj_forward(model, data)
    assert data.ncon > 0
    assert set(data.contact.includemargin) == {0.01}


def test_loading_says_nothing(capfd, recwarn):
    for robot in (models.CHEETAH, models.ANT, models.HUMANOID, models.WALKER, models.HOPPER):
        models.load(robot)
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list
