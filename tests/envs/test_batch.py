"""The MuJoCo and gymnasium backends, on a pendulum and on gymnasium's own environments."""

import gymnasium
import mujoco
import numpy as np
import pytest

from envs import batch as backends
from envs.batch import GymnasiumBatch, MuJoCoBatch
from lightning_skills.data.batch_env import EnvInfo
from lightning_skills.errors import InputError

PENDULUM = """
<mujoco>
  <worldbody><body><joint name="hinge" axis="0 1 0"/><geom type="capsule" fromto="0 0 0 0 0 -1" size="0.05"/>
    <site name="tip" pos="0 0 -1"/></body></worldbody>
  <actuator><motor joint="hinge" gear="3"/></actuator>
</mujoco>"""


class Pendulum(MuJoCoBatch):
    info = EnvInfo({"observation": (5,)}, action_dim=1, horizon=50)

    def __init__(self, seeds, threads=1):
        super().__init__(mujoco.MjModel.from_xml_string(PENDULUM), seeds, threads)
        self.reset()

    def _reset(self, worlds):
        self.batch.reset(worlds)
        for world in worlds:
            self.batch.bind("qpos")[world] = self.rngs[world].uniform(-1, 1)
        self.refresh(worlds)

    def _step(self, action, worlds):
        self.simulate(action, worlds, substeps=5)
        success = self.batch.bind("site_xpos")[worlds, 0, 2] > 0
        return success.astype(float), success, success

    def _observe(self):
        parts = [self.batch.bind(name).reshape(self.num_worlds, -1) for name in ("qpos", "qvel", "site_xpos")]
        return {"observation": np.concatenate(parts, axis=1, dtype=np.float32)}


def roll(env, steps, seed, active=None):
    actions = np.random.default_rng(seed).uniform(-1, 1, (steps, env.num_worlds, env.info.action_dim))
    results = [env.step(action, active) for action in actions]
    return [(r.observation["observation"], r.reward, r.terminated, r.truncated, r.success) for r in results]


def equal(left, right):
    return all(np.array_equal(a, b) for x, y in zip(left, right, strict=True) for a, b in zip(x, y, strict=True))


def make_hopper(seeds):
    return GymnasiumBatch("Hopper-v5", seeds, horizon=40)


@pytest.mark.parametrize("make", [Pendulum, make_hopper])
def test_restored_state_has_the_same_future(make):
    env, other = make([1, 2, 3]), make([7, 8, 9])
    roll(env, 10, seed=0)
    state, present = env.get_state(), env.observe()["observation"]
    expected = roll(env, 8, seed=1), env.reset(np.array([True, False, True])), roll(env, 8, seed=2)
    other.set_state(state)
    assert np.array_equal(other.observe()["observation"], present)
    found = roll(other, 8, seed=1), other.reset(np.array([True, False, True])), roll(other, 8, seed=2)
    assert equal(expected[0], found[0])
    assert np.array_equal(expected[1]["observation"], found[1]["observation"])
    assert equal(expected[2], found[2])


def test_restored_gymnasium_state_has_the_streams_of_the_environments():
    env, other = make_hopper([1, 2]), make_hopper([3, 4])
    other.set_state(env.get_state())
    for ours, theirs in zip(env.envs, other.envs, strict=True):
        assert ours.np_random.random() == theirs.np_random.random()


@pytest.mark.parametrize("make", [Pendulum, make_hopper])
def test_inactive_worlds_are_untouched(make):
    env = make([1, 2, 3])
    before = env.observe()["observation"]
    after = roll(env, 5, seed=0, active=np.array([True, False, True]))[-1][0]
    assert (before != after).any(axis=1).tolist() == [True, False, True]


def test_mujoco_batch_equals_a_loop_over_single_simulations():
    env = Pendulum([1, 2, 3], threads=2)
    data = [mujoco.MjData(env.batch.model) for _ in range(3)]
    for world, single in enumerate(data):
        single.qpos[:] = env.observe()["observation"][world, 0]
        env.batch.bind("qpos")[world] = single.qpos
    for action in np.random.default_rng(0).uniform(-1, 1, (20, 3, 1)):
        result = env.step(action)
        for single, row, seen in zip(data, action, result.observation["observation"], strict=True):
            single.ctrl[:] = row
            mujoco.mj_step(env.batch.model, single, 5)
            mujoco.mj_step1(env.batch.model, single)
            expected = np.concatenate([single.qpos, single.qvel, single.site("tip").xpos]).astype(np.float32)
            assert np.array_equal(seen, expected)


def test_gymnasium_batch_equals_the_environments_it_holds():
    batch = GymnasiumBatch("Pendulum-v1", [4, 5])
    assert batch.info.horizon == 200
    singles = [gymnasium.make("Pendulum-v1").unwrapped for _ in range(2)]
    first = [
        single.reset(seed=int(np.random.default_rng(seed).integers(2**31)))[0]
        for single, seed in zip(singles, (4, 5), strict=True)
    ]
    assert np.array_equal(batch.observe()["observation"], np.stack(first))
    for action in np.random.default_rng(0).uniform(-1, 1, (20, 2, 1)):
        result = batch.step(action)
        for single, row, seen, reward in zip(
            singles, action, result.observation["observation"], result.reward, strict=True
        ):
            expected = single.step((2 * row).astype(np.float32))
            assert seen == pytest.approx(expected[0])
            assert reward == pytest.approx(expected[1])


def test_success_comes_from_info():
    class Always(gymnasium.Env):
        observation_space = gymnasium.spaces.Box(-1, 1, (1,))
        action_space = gymnasium.spaces.Box(-1, 1, (1,))

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            return np.zeros(1, np.float32), {}

        def step(self, action):
            return np.zeros(1, np.float32), 0.0, False, False, {"is_success": action[0] > 0}

    gymnasium.register("test/Always-v0", Always, max_episode_steps=3)
    batch = GymnasiumBatch("test/Always-v0", [0, 1])
    results = [batch.step(np.array([[1.0], [-1.0]])) for _ in range(3)]
    assert results[0].success.tolist() == [True, False]
    assert [result.truncated.all() for result in results] == [False, False, True]


def test_what_cannot_be_batched_is_said():
    with pytest.raises(InputError, match="flat Box"):
        GymnasiumBatch("CartPole-v1", [0])
    with pytest.raises(InputError, match="state cannot be saved"):
        GymnasiumBatch("Pendulum-v1", [0]).get_state()
    with pytest.raises(InputError, match="unknown gymnasium id"):
        GymnasiumBatch("Hoper-v5", [0], horizon=5)


def test_what_mujoco_warns_of_is_said_once(capfd):
    backends._warn.cache_clear()
    for _ in range(2):
        GymnasiumBatch("HalfCheetah-v4", [0, 1, 2])
    assert capfd.readouterr().err.count("'settotalmass' is deprecated") == 1
