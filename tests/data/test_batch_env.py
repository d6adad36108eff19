import numpy as np
import pytest

from tests.data.test_skill_env import CountingEnv


class NoisyEnv(CountingEnv):
    def _reset(self, worlds):
        for world in worlds:
            self.count[world] = self.rngs[world].normal()


def test_world_i_of_a_batch_is_a_batch_of_one_with_its_seed():
    batch, single = NoisyEnv((100, 100, 100)), NoisyEnv((100,))
    batch.seed([5, 6, 7])
    single.seed([6])
    for _ in range(3):
        np.testing.assert_array_equal(batch.reset()["observation"][1], single.reset()["observation"][0])


def test_restoring_the_state_restores_the_random_streams():
    env = NoisyEnv()
    env.reset()
    state = env.get_state()
    expected = env.reset()["observation"]
    env.reset()
    env.set_state(state)
    np.testing.assert_array_equal(env.reset()["observation"], expected)


def test_the_time_limit_is_per_world():
    env = CountingEnv(horizon=2)
    env.reset()
    env.step(np.zeros((2, 2)), active=np.array([True, False]))
    assert env.step(np.zeros((2, 2))).truncated.tolist() == [True, False]


def test_inactive_worlds_stay_as_they_are():
    env = CountingEnv()
    env.reset()
    step = env.step(np.zeros((2, 2)), active=np.array([False, True]))
    assert step.observation["observation"].tolist() == [[0.0], [1.0]]
    assert step.reward.tolist() == [0.0, 1.0]


def test_actions_are_clipped():
    env = CountingEnv()
    env.reset()
    env.step(np.full((2, 2), 7.0))
    assert (env.actions[0] == 1.0).all()


def test_one_seed_per_world():
    with pytest.raises(ValueError, match="1 seeds for 2 worlds"):
        CountingEnv().seed([1])


def test_a_reset_gives_worlds_other_tasks_and_the_state_holds_them():
    env, other = CountingEnv((100, 100, 100)), CountingEnv((100, 100, 100))
    env.reset(tasks=np.array([4, 5, 6]))
    env.reset(np.array([True, False, True]), tasks=np.array([7, 8]))
    env.reset()
    assert env.task_index.tolist() == [7, 5, 8]
    other.set_state(env.get_state())
    assert other.task_index.tolist() == [7, 5, 8]
