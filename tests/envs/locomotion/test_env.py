"""The locomotion environments: gymnasium's dynamics, batches, states, contacts, clocks, bad input."""

import gymnasium
import mujoco
import numpy as np
import pytest

from envs.locomotion.tasks import DISTRIBUTIONS
from lightning_skills import limits
from lightning_skills.errors import InputError

ROBOTS = ["cheetah-vel", "ant-goal", "humanoid-dir", "walker-rand-params", "hopper-rand-params"]
EVERYTHING = [*ROBOTS, "point-robot", "sparse-point-robot"]


def roll(env, actions, active=None):
    results = [env.step(action, active) for action in actions]
    steps = ((each.observation["observation"], each.reward, each.terminated, each.success) for each in results)
    return [np.stack(parts) for parts in zip(*steps, strict=True)]


def same(left, right):
    return all(np.array_equal(a, b) for a, b in zip(left, right, strict=True))


def gymnasiums(name, world_model, **options):
    """Gymnasium's environment with the masses, margins and so on of one of our worlds."""
    env = gymnasium.make(name, disable_env_checker=True, **options).unwrapped
    for field in ("body_mass", "body_inertia", "dof_damping", "geom_friction", "geom_margin"):
        getattr(env.model, field)[:] = getattr(world_model, field)
    env.model.opt.timestep = world_model.opt.timestep
    mujoco.mj_setConst(env.model, mujoco.MjData(env.model))
    env.reset(seed=0)
    return env


@pytest.mark.parametrize(
    ("task", "name", "options", "terms"),
    [
        ("cheetah-dir-forward", "HalfCheetah-v5", {"ctrl_cost_weight": 0.05}, ("reward_forward", "reward_ctrl")),
        ("ant-dir-forward", "Ant-v5", {}, None),
        ("walker-rand-params-3", "Walker2d-v5", {"xml_file": "walker2d.xml"}, ()),
        ("hopper-rand-params-3", "Hopper-v5", {}, ()),
        ("humanoid-dir-0", "Humanoid-v5", {}, None),
    ],
)
def test_dynamics_and_shared_terms_are_gymnasiums(task, name, options, terms, made, held):
    env = made(task, horizon=1000)
    theirs = gymnasiums(name, env.batch.get_model(0), **options)
    theirs.set_state(env.batch.bind("qpos")[0].copy(), env.batch.bind("qvel")[0].copy())
    healthy = 0
    for action in held(env, 50)[:, 0].clip(-1, 1):
        control = theirs.model.actuator_ctrlrange[:, 1] * action
        _, reward, terminated, _, info = theirs.step(control)
        result = env.step(action[None])
        assert np.array_equal(env.batch.bind("qpos")[0], theirs.data.qpos)
        assert np.array_equal(env.batch.bind("qvel")[0], theirs.data.qvel)
        if name == "Ant-v5":
            assert result.terminated[0] == terminated
        if terms is None or (terminated and "rand-params" in task):
            continue
        healthy += 1
        expected = sum(info[term] for term in terms) if terms else reward
        assert result.reward[0] == pytest.approx(expected, abs=1e-5)
        assert result.terminated[0] == terminated
    assert terms is None or healthy > 3


@pytest.mark.parametrize("task", EVERYTHING)
def test_a_world_is_the_same_alone_and_in_a_batch(task, made, held):
    batch, alone = made(task, seeds=[3, 4, 5]), made(task, seeds=[4])
    batch.reset(tasks=np.array([2, 7, 9]))
    alone.reset(tasks=np.array([7]))
    batch.seed([3, 4, 5])
    alone.seed([4])
    for step, action in enumerate(held(batch, 24)):
        if step == 12:
            batch.reset(np.array([True, True, False]), tasks=np.array([1, 8]))
            alone.reset(tasks=np.array([8]))
        together, single = batch.step(action), alone.step(action[1:2])
        assert np.array_equal(together.observation["observation"][1], single.observation["observation"][0])
        assert together.reward[1] == single.reward[0]
        assert together.terminated[1] == single.terminated[0]


@pytest.mark.parametrize("task", EVERYTHING)
def test_restored_state_has_the_same_future(task, made, held):
    def future(env):
        first = roll(env, actions[15:30])
        env.reset(np.array([True, False]))
        env.reset(np.array([False, True]), tasks=np.array([3]))
        return [*first, *roll(env, actions[:8]), env.elapsed, env.task_index]

    env = made(task, seeds=[1, 2])
    env.reset(tasks=np.array([5, 6]))
    actions = held(env, 30)
    roll(env, actions[:15])
    state = env.get_state()
    seen = env.observe()["observation"]
    other = made(task, seeds=[8, 9])
    roll(other, actions[:3])
    other.set_state(state)
    assert np.array_equal(other.observe()["observation"], seen)
    assert same(future(env), future(other))
    back = made(task, seeds=[1, 2])
    back.set_state(state)
    assert all(np.array_equal(state[key], value) for key, value in back.get_state().items())


@pytest.mark.parametrize("task", EVERYTHING)
def test_inactive_worlds_are_untouched(task, made, held):
    env = made(task, seeds=range(3))
    before = env.observe()["observation"]
    seen, reward, *_ = roll(env, held(env, 6), active=np.array([True, False, True]))
    assert np.array_equal(seen[-1][1], before[1])
    assert not reward[:, 1].any()
    assert (seen[-1][[0, 2]] != before[[0, 2]]).any(axis=1).all()
    env.reset(np.array([False, False, False]))
    assert np.array_equal(env.observe()["observation"], seen[-1])


@pytest.mark.parametrize("task", EVERYTHING)
def test_observations_are_not_written_to_again(task, made, held):
    env = made(task, seeds=range(2))
    first = env.observe()["observation"]
    kept = first.copy()
    roll(env, held(env, 3))
    assert np.array_equal(first, kept)


@pytest.mark.parametrize("task", ["ant-goal", "walker-rand-params"])
def test_threads_change_nothing(task, made, held):
    one, two = (made(task, seeds=range(5), threads=threads) for threads in (1, 2))
    assert (one.batch.nthread, two.batch.nthread) == (1, 2)
    for env in (one, two):
        env.reset(tasks=np.arange(5))
    assert same(roll(one, held(one, 15)), roll(two, held(two, 15)))
    assert np.array_equal(one.batch.state, two.batch.state)


@pytest.mark.parametrize("task", EVERYTHING)
def test_actions_are_clipped(task, made):
    far, full = made(task), made(task)
    signs = np.resize([1.0, -1.0], far.info.action_dim)
    assert same(roll(far, 7.0 * signs[None, None].repeat(3, 0)), roll(full, signs[None, None].repeat(3, 0)))


def test_a_full_action_is_all_that_the_motor_may_do(made):
    for task in ROBOTS:
        env = made(task)
        env.step(np.full((1, env.info.action_dim), -1.0))
        low, high = env.model.actuator_ctrlrange.T
        assert np.array_equal(low, -high)
        assert np.array_equal(env.batch.bind("ctrl")[0], low)


@pytest.mark.parametrize(("task", "steps"), [("cheetah-vel", 200), ("point-robot", 20), ("sparse-point-robot", 20)])
def test_episodes_end_with_their_horizon(task, steps, made):
    env = made(task)
    assert made(task, horizon=3).info.horizon == 3
    action = np.zeros((1, env.info.action_dim))
    truncated = [bool(env.step(action).truncated[0]) for _ in range(steps)]
    assert truncated == [False] * (steps - 1) + [True]
    assert {made(robot).info.horizon for robot in ROBOTS} == {200}


@pytest.mark.parametrize("task", ["ant-goal-0", "humanoid-dir-0"])
def test_contact_forces_carry_the_weight(task, made):
    env = made(task, horizon=1000)
    for _ in range(250):
        seen = env.step(np.zeros((1, env.info.action_dim))).observation["observation"][0]
    forces = env.batch.bind("cfrc_ext")[0]
    weight = 9.81 * env.model.body_mass.sum()
    assert forces[:, 5].sum() == pytest.approx(weight, rel=0.02)
    assert np.count_nonzero(seen[-84:]) > 3
    assert np.abs(seen[-84:]).max() == (1.0 if task == "ant-goal-0" else np.abs(forces).max().astype(np.float32))


def test_starts_have_the_published_noise(made):
    def starts(task):
        env = made(task, seeds=range(400))
        return env.batch.bind("qpos") - env.model.qpos0, env.batch.bind("qvel")

    for task, noise, normal in (
        ("cheetah-vel", 0.1, True),
        ("ant-dir", 0.1, True),
        ("humanoid-dir", 0.01, False),
        ("walker-rand-params", 0.005, False),
        ("hopper-rand-params", 0.005, False),
    ):
        pose, velocity = starts(task)
        assert 0.98 * noise < np.abs(pose).max() <= noise
        assert pose.std() == pytest.approx(noise / np.sqrt(3), rel=0.05)
        assert velocity.std() == pytest.approx(noise if normal else noise / np.sqrt(3), rel=0.05)
        assert (np.abs(velocity).max() > 2 * noise) == normal
        assert abs(np.corrcoef(pose[1:].ravel(), pose[:-1].ravel())[0, 1]) < 0.05


def test_seeds_decide_the_start(made):
    for task in ("cheetah-vel", "point-robot"):
        first = made(task, seeds=[9]).observe()["observation"]
        env = made(task, seeds=[1])
        assert not np.array_equal(env.observe()["observation"], first)
        env.seed([9])
        assert np.array_equal(env.reset()["observation"], first)


def test_hundreds_of_tasks_step_in_one_batch(made):
    count = sum(map(len, (DISTRIBUTIONS["ant-goal"].train, DISTRIBUTIONS["ant-goal"].test)))
    env = made("ant-goal", seeds=[0] * count)
    env.reset(tasks=np.arange(count))
    result = env.step(np.zeros((count, 8)))
    spread = env.batch.bind("qpos")[:, :2] - env._goals
    paid = -np.abs(spread).sum(axis=1)
    assert len(set(paid.tolist())) == count
    assert result.reward == pytest.approx(paid, abs=1e-5)  # in the air: no contacts


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"horizon": 0}, "env.horizon is 0; it must be at least 1"),
        ({"threads": 0}, "env.threads is 0; it must be at least 1"),
    ],
)
def test_options_beyond_their_limits(options, message):
    from envs.locomotion.config import LocomotionConfig

    with pytest.raises(InputError) as error:
        limits.check(LocomotionConfig(**options), "env")
    assert str(error.value) == message


@pytest.mark.parametrize("task", ["cheetah-vel", "point-robot-3"])
def test_a_dense_reward_beside_the_only_one_is_refused(task, made):
    with pytest.raises(InputError, match=f"env.dense=true: '{task}' has one reward; only sparse-point-robot has two"):
        made(task, dense=True)


@pytest.mark.parametrize("task", ["cheetah-vel", "point-robot-3"])
def test_a_radius_of_other_tasks_is_refused(task, made):
    with pytest.raises(InputError, match=f"env.radius=0.4: '{task}' has no radius; only sparse-point-robot has one"):
        made(task, radius=0.4)


def test_it_is_a_gymnasium_environment():
    import envs.gymnasium_adapters  # noqa: F401 (registers the ids)

    env = gymnasium.make("lightning_skills/Locomotion-v1", task="hopper-rand-params-4", horizon=2)
    first, _ = env.reset(seed=0)
    assert first.shape == (11,)
    assert [env.step(np.zeros(3, dtype=np.float32))[3] for _ in range(2)] == [False, True]
