"""The kitchen environment: FrankaKitchen bit for bit, noise, rewards, batches, states, threads, bad input."""

import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import gymnasium
import gymnasium_robotics
import mujoco
import numpy as np
import pytest
from gymnasium_robotics.utils import mujoco_utils

import envs.gymnasium_adapters  # noqa: F401 (registers the ids)
from benchmarks.kitchen import repaired
from envs.batch import usable_threads
from envs.kitchen import tasks
from envs.kitchen.config import KitchenConfig
from envs.kitchen.env import HIGHEST, LOWEST, START, KitchenEnv, make
from envs.kitchen.noise import AMPLITUDE
from lightning_skills import limits
from lightning_skills.errors import InputError

MICROWAVE = 22


def held_actions(steps, worlds, seed=0, hold=8):
    """Random actions, each held for a while, often at their limits, so that the arm gets somewhere."""
    drawn = np.random.default_rng(seed).normal(0.0, 1.0, (steps // hold + 1, worlds, 9)).clip(-1, 1)
    return drawn.repeat(hold, axis=0)[:steps].astype(np.float32)


def roll(env, actions, active=None):
    results = [env.step(action, active) for action in actions]
    steps = ((result.observation["observation"], result.reward, result.success) for result in results)
    return [np.stack(parts) for parts in zip(*steps, strict=True)]


def qpos(env):
    return env.batch.bind("qpos").copy()


def same(left, right):
    return all(np.array_equal(a, b) for a, b in zip(left, right, strict=True))


@pytest.fixture
def franka_kitchen(monkeypatch):
    """Makes gymnasium-robotics' environment, without noise."""
    monkeypatch.setattr(mujoco_utils, "mujoco", repaired())
    gymnasium.register_envs(gymnasium_robotics)

    def made(subtasks):
        options = {"robot_noise_ratio": 0.0, "object_noise_ratio": 0.0, "disable_env_checker": True}
        return gymnasium.make("FrankaKitchen-v1", tasks_to_complete=list(subtasks), **options).unwrapped

    return made


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_without_noise_it_is_frankakitchen_to_the_bit(franka_kitchen, demonstrations):
    theirs = franka_kitchen(tasks.TASKS["mkbl"].subtasks)
    ours = make(KitchenConfig(noise=0.0, ordered=False, horizon=1000), seeds=[0])
    for actions in (demonstrations["mkbl"], held_actions(60, 1)[:, 0]):
        theirs.reset(seed=0)
        ours.reset()
        total = 0.0
        for action in actions:
            seen, reward, terminated, _, _ = theirs.step(action)
            result = ours.step(action[None])
            assert np.array_equal(theirs.data.qpos, qpos(ours)[0])
            assert np.array_equal(theirs.data.qvel, ours.batch.bind("qvel")[0])
            state = np.r_[seen["observation"][:9], seen["observation"][18:39]]
            assert np.array_equal(result.observation["observation"][0, :30], state.astype(np.float32))
            assert (result.reward[0], result.terminated[0]) == (reward, terminated)
            total += reward
        assert total == 4 or actions is not demonstrations["mkbl"]


@pytest.mark.parametrize("task", ["mkbl", "mlsh", "kbts"])
def test_demonstrations_do_the_tasks_in_order(task, demonstrations):
    env = make(KitchenConfig(task=task, noise=0.0, horizon=1000), seeds=[0])
    _, reward, success = roll(env, demonstrations[task][:, None])
    assert reward.sum() == 4
    assert reward.max() == 1
    last = np.flatnonzero(reward)[-1]
    assert success[:, 0].tolist() == [False] * last + [True] * (len(success) - last)
    assert env.visited(np.zeros((1, 60))).tolist() == [False] * 7


def test_an_order_that_is_not_kept_pays_only_where_order_does_not_matter(demonstrations):
    backwards = tasks.KitchenTask(("light switch", "bottom burner", "kettle", "microwave"), ())
    actions = demonstrations["mkbl"][:, None]
    rewards = [roll(KitchenEnv([backwards], [0], ordered, noise=0.0), actions)[1][:, 0] for ordered in (True, False)]
    assert np.flatnonzero(rewards[0]).tolist() == np.flatnonzero(rewards[1]).tolist()[-1:]
    assert rewards[0].max() == 4  # all at once, when the first of the list is done at last
    assert rewards[1].tolist().count(1) == 4


def test_by_default_tasks_are_spirls_in_order_within_280_steps():
    env = make(KitchenConfig(), seeds=[0])
    assert (env.info.horizon, KitchenConfig().ordered, KitchenConfig().task) == (280, True, "mkbl")
    assert env.info.observation_shapes == {"observation": (60,)}


def test_episodes_end_with_the_last_subtask_or_the_horizon():
    env = make(KitchenConfig(horizon=3), seeds=[0])
    ends = [env.step(np.zeros((1, 9))) for _ in range(3)]
    assert [bool(end.truncated[0]) for end in ends] == [False, False, True]
    assert not any(end.terminated[0] for end in ends)
    env = KitchenEnv([tasks.KitchenTask(("microwave",), ())], [0])
    env.batch.bind("qpos")[0, MICROWAVE] = -0.75
    end = env.step(np.zeros((1, 9)))
    assert (end.reward[0], end.terminated[0], end.success[0]) == (1, True, True)


def test_the_observed_state_is_what_pays():
    worlds = 200
    env = KitchenEnv([tasks.KitchenTask(("microwave",), ())], range(worlds))
    env.batch.bind("qpos")[:, MICROWAVE] = -0.45  # on the threshold; the noise is 0.01
    result = env.step(np.zeros((worlds, 9)))
    true = np.abs(qpos(env)[:, MICROWAVE] + 0.75)
    seen = np.abs(env.observed[:, MICROWAVE] + 0.75)
    assert np.ptp(true) == 0
    assert np.array_equal(result.reward, seen < 0.3)
    assert 0.2 < result.reward.mean() < 0.8


def test_noise_has_the_published_amplitudes():
    package = Path(gymnasium_robotics.__file__).parent
    config = package / "envs/assets/kitchen_franka/franka_assets/franka_config.xml"
    rows = ElementTree.parse(config).getroot()
    assert [float(rows.find(f"qpos{joint}").get("pos_noise_amp")) for joint in range(30)] == AMPLITUDE.tolist()
    bounds = np.array([rows.find(f"qpos{joint}").get("pos_bound").split() for joint in range(9)], dtype=float).T
    assert np.array_equal(bounds, [LOWEST, HIGHEST])


def test_noise_is_uniform_and_independent():
    env = make(KitchenConfig(), seeds=range(2000))
    first = env.observed - START
    scaled = first / (0.1 * AMPLITUDE)
    assert np.abs(scaled).max() <= 1
    assert scaled.std(axis=0) == pytest.approx(1 / np.sqrt(3), rel=0.06)
    assert np.abs(scaled.mean(axis=0)).max() < 0.06
    env.reset()
    again = (env.observed - START) / (0.1 * AMPLITUDE)
    for left, right in ((scaled, again), (scaled[1:], scaled[:-1]), (scaled[:, 1:], scaled[:, :-1])):
        assert abs(np.corrcoef(left.ravel(), right.ravel())[0, 1]) < 0.02
    assert np.array_equal(make(KitchenConfig(noise=0.0), seeds=[0]).observed, START[None])


def test_the_controller_starts_from_what_is_observed():
    env = make(KitchenConfig(), seeds=[0, 1])
    action = held_actions(1, 2)[0]
    before = env.observed[:, :9].copy()
    env.step(action)
    target = before + 0.16 * action.astype(np.float64)
    assert env.batch.bind("ctrl") == pytest.approx(target.clip(LOWEST, HIGHEST), abs=1e-15)
    assert (target > HIGHEST).any(), "no limit was tested"


def test_observation_is_the_state_and_a_goal_that_stays():
    with_goal, without = make(KitchenConfig(task="simpl-mlsh"), [0]), make(KitchenConfig(goal=False), [0])
    assert (with_goal.info.state_dim, without.info.state_dim) == (60, 30)
    seen = roll(with_goal, held_actions(3, 1))[0][:, 0]
    assert (seen[:, 30:] == make(KitchenConfig(task="mkbl"), [0]).observe()["observation"][:, 30:]).all()
    assert seen[0, 30 + MICROWAVE] == pytest.approx(-0.75)
    assert without.observe()["observation"].shape == (1, 30)


def test_a_world_is_the_same_alone_and_in_a_batch():
    batch, alone = make(KitchenConfig(), seeds=[3, 4, 5]), make(KitchenConfig(), seeds=[4])
    for step, action in enumerate(held_actions(40, 3)):
        if step == 20:
            batch.reset(np.array([True, True, False]))
            alone.reset()
        together, single = batch.step(action), alone.step(action[1:2])
        assert np.array_equal(together.observation["observation"][1], single.observation["observation"][0])
    assert not np.array_equal(batch.observed[0], batch.observed[1])


def test_seeds_decide_the_noise():
    def seen(seed):
        return make(KitchenConfig(), seeds=[seed]).observe()["observation"]

    assert np.array_equal(seen(9), seen(9))
    assert not np.array_equal(seen(9), seen(10))
    env = make(KitchenConfig(), seeds=[1])
    roll(env, held_actions(3, 1))
    env.seed([9])
    assert np.array_equal(env.reset()["observation"], seen(9))


def test_inactive_worlds_are_untouched():
    env = make(KitchenConfig(), seeds=range(3))
    before, simulated = env.observe()["observation"], qpos(env)
    roll(env, held_actions(3, 3), active=np.array([True, False, True]))
    assert np.array_equal(env.observe()["observation"][1], before[1])
    assert np.array_equal(qpos(env)[1], simulated[1])
    assert (env.observe()["observation"][[0, 2], :30] != before[[0, 2], :30]).any(axis=1).all()


def test_restored_state_has_the_same_future(demonstrations):
    def future(env):
        first = roll(env, actions[45:80])
        env.reset(np.array([True, False]))
        return [*first, *roll(env, held_actions(5, 2, seed=1)), env.elapsed]

    actions = demonstrations["kbts"][:, None].repeat(2, axis=1)
    env = make(KitchenConfig(task="kbts", noise=0.01), seeds=[1, 2])
    assert roll(env, actions[:45])[1].sum() == 2, "the kettle should be in its place, and paid for"
    state = env.get_state()
    other = make(KitchenConfig(task="kbts", noise=0.01), seeds=[8, 9])
    other.set_state(state)
    assert np.array_equal(other.observe()["observation"], env.observe()["observation"])
    assert same(future(env), future(other))


def test_threads_change_nothing():
    actions = held_actions(15, 5)
    one, two = (make(KitchenConfig(threads=threads), seeds=range(5)) for threads in (1, 2))
    assert (one.batch.nthread, two.batch.nthread) == (1, 2)
    assert same(roll(one, actions), roll(two, actions))
    assert np.array_equal(one.batch.state, two.batch.state)


def test_threads_are_as_many_as_cores_and_worlds(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert [usable_threads(worlds) for worlds in (1, 4, 64)] == [1, 4, 8]
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    assert usable_threads(64) == 2
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "16")
    assert usable_threads(64) == 1


def test_poses_fit_the_state_after_a_refresh():
    env = make(KitchenConfig(noise=0.0), seeds=[0])
    sites = env.batch.bind("site_xpos")
    roll(env, held_actions(10, 1))
    env.refresh()
    data = mujoco.MjData(env.model)
    data.qpos[:] = qpos(env)[0]
    mujoco.mj_kinematics(env.model, data)
    assert np.array_equal(sites[0], data.site_xpos)
    hand = env.model.site("end_effector")
    jacobian, _ = env.batch.jac(hand.bodyid[0], data.site_xpos[hand.id])
    assert jacobian.shape == (1, 3, env.model.nv)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"noise": -0.1}, "env.noise is -0.1; it must be at least 0"),
        ({"horizon": 0}, "env.horizon is 0; it must be at least 1"),
        ({"threads": 0}, "env.threads is 0; it must be at least 1"),
    ],
)
def test_options_beyond_their_limits(options, message):
    with pytest.raises(InputError) as error:
        limits.check(KitchenConfig(**options), "env")
    assert str(error.value) == message


def test_listing_loads_nothing_heavy():
    code = (
        "import sys, envs.kitchen;"
        "print([m for m in ('torch', 'mujoco', 'gymnasium', 'gymnasium_robotics', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_it_is_a_gymnasium_environment():
    env = gymnasium.make("lightning_skills/Kitchen-v1", task="mlsh", horizon=2)
    first, _ = env.reset(seed=0)
    assert first.shape == (60,)
    assert [env.step(np.zeros(9, dtype=np.float32))[3] for _ in range(2)] == [False, True]


def test_worlds_of_a_distribution_are_paid_for_their_own_tasks(demonstrations):
    env = make(KitchenConfig(task="simpl", noise=0.0), seeds=range(3))
    names = env.info.tasks.train + env.info.tasks.test
    assert (len(env.info.tasks.train), len(env.info.tasks.test)) == (23, 10)
    env.reset(tasks=np.array([names.index(f"simpl-{letters}") for letters in ("mkbs", "kbls", "btsh")]))
    actions = np.repeat(demonstrations["mkbl"][:, None], 3, axis=1)
    _, reward, _ = roll(env, actions)
    assert reward.sum(axis=0).tolist() == [3, 3, 1]  # microwave, kettle, burner; kettle, burner, light; burner
