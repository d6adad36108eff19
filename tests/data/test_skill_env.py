import numpy as np
import pytest
import torch
from tensordict import TensorDict
from torchrl.envs.utils import check_env_specs

from lightning_skills.data.batch_env import BatchEnv, EnvInfo
from lightning_skills.data.skill_env import SkillEnv, SkillExecution


class CountingEnv(BatchEnv):
    """The state counts steps; the reward of the n-th step is n; world i terminates at step ``ends[i]``."""

    def __init__(self, ends=(100, 100), horizon=50):
        super().__init__(range(len(ends)))
        self.info = EnvInfo({"observation": (1,)}, action_dim=2, horizon=horizon)
        self.ends = np.array(ends)
        self.count = np.zeros(len(ends))
        self.actions = []

    def _reset(self, worlds):
        self.count[worlds] = 0

    def _step(self, action, worlds):
        self.actions.append(action.copy())
        self.count[worlds] += 1
        count = self.count[worlds]
        return count, count >= self.ends[worlds], count == 3

    def _observe(self):
        return {"observation": self.count[:, None].astype(np.float32)}

    def _get_state(self):
        return {"count": self.count.copy()}

    def _set_state(self, state):
        self.count = state["count"].copy()


def execution(low_level=None, horizon=4, bound=None, **options):
    return SkillExecution(low_level=low_level, horizon=horizon, action_dim=2, bound=bound, **options)


def act(env, step, *rows):
    step.set("action", torch.tensor(rows, dtype=torch.float32))
    return env.step(step)["next"]


def test_torchrl_accepts_its_specs():
    check_env_specs(SkillEnv(CountingEnv(), execution()))


def test_a_transition_sums_rewards_and_counts_frames():
    env = SkillEnv(CountingEnv(), execution(horizon=4))
    following = act(env, env.reset(), [0, 0], [0, 0])
    assert following["reward"].tolist() == [[10.0], [10.0]]
    assert following["frames"].tolist() == [[4], [4]]
    assert following["success"].tolist() == [[True], [True]]
    assert following["observation"].tolist() == [[4.0], [4.0]]


def test_a_skill_is_cut_short_where_its_episode_ends_and_only_there():
    worlds = CountingEnv(ends=(2, 100))
    env = SkillEnv(worlds, execution(horizon=4))
    following = act(env, env.reset(), [0, 0], [0, 0])
    assert following["frames"].tolist() == [[2], [4]]
    assert following["reward"].tolist() == [[3.0], [10.0]]
    assert following["terminated"].tolist() == [[True], [False]]
    assert following["observation"].tolist() == [[2.0], [4.0]]
    assert [len(action) for action in worlds.actions] == [2, 2, 1, 1]


@pytest.mark.parametrize("timeout_is_done", [False, True])
def test_whether_a_timeout_is_terminal_is_an_option(timeout_is_done):
    env = SkillEnv(CountingEnv(horizon=3), execution(horizon=4, timeout_is_done=timeout_is_done))
    following = act(env, env.reset(), [0, 0], [0, 0])
    assert following["truncated"].all()
    assert following["done"].all()
    assert following["terminated"].tolist() == [[timeout_is_done]] * 2


@pytest.mark.parametrize(("slope", "inner"), [(None, 1.0), (1.0, 2.0)])
def test_the_bound_squashes_the_action(slope, inner):
    worlds = CountingEnv()
    env = SkillEnv(worlds, execution(horizon=1, bound=0.5, slope=slope))
    act(env, env.reset(), [0.3, -9.0], [0, 0])
    np.testing.assert_allclose(worlds.actions[0][0], 0.5 * np.tanh([inner * 0.3, -9.0]), rtol=1e-6)


def test_without_a_bound_the_skill_reaches_the_low_level_policy_as_it_is():
    seen = []

    def low_level(observation, skills):
        seen.append((observation["observation"].copy(), skills.copy()))
        return np.full_like(skills, 0.7)[:, None]

    worlds = CountingEnv()
    env = SkillEnv(worlds, execution(low_level, horizon=3))
    act(env, env.reset(), [3.0, -3.0], [1.0, 1.0])
    assert [states[0, 0] for states, _ in seen] == [0.0, 1.0, 2.0]  # asked again at every primitive step
    assert all(skills[0].tolist() == [3.0, -3.0] for _, skills in seen)
    np.testing.assert_allclose(worlds.actions[0], 0.7, rtol=1e-6)


def test_decoded_actions_may_go_through_tanh():
    worlds = CountingEnv()
    env = SkillEnv(worlds, execution(lambda _, skills: np.full_like(skills, 0.7)[:, None], tanh_actions=True))
    act(env, env.reset(), [0, 0], [0, 0])
    np.testing.assert_allclose(worlds.actions[0], np.tanh(0.7), rtol=1e-6)


def test_in_open_loop_the_low_level_policy_decides_a_chunk_of_actions_at_once():
    asked = []

    def low_level(observation, skills):
        asked.append(observation["observation"][0, 0])
        return np.stack([skills + 0.1 * index for index in range(3)], axis=1)

    worlds = CountingEnv()
    env = SkillEnv(worlds, execution(low_level, horizon=6, chunk=3))
    act(env, env.reset(), [0.2, -0.2], [0.0, 0.0])
    assert asked == [0.0, 3.0]
    played = np.array([actions[0] for actions in worlds.actions])
    np.testing.assert_allclose(played[:3], [[0.2, -0.2], [0.3, -0.1], [0.4, 0.0]], atol=1e-6)
    np.testing.assert_allclose(played[3:], played[:3])


def test_one_torchrl_step_per_skill():
    class Counted(SkillEnv):
        steps = 0

        def _step(self, tensordict: TensorDict) -> TensorDict:
            self.steps += 1
            return super()._step(tensordict)

    worlds = CountingEnv()
    env = Counted(worlds, execution(horizon=10))
    act(env, env.reset(), [0, 0], [0, 0])
    assert env.steps == 1
    assert len(worlds.actions) == 10


def test_only_the_masked_worlds_are_reset():
    worlds = CountingEnv()
    env = SkillEnv(worlds, execution(horizon=2))
    current = act(env, env.reset(), [0, 0], [0, 0])
    observation = env.reset(current.set("_reset", torch.tensor([[True], [False]])))
    assert observation["observation"].tolist() == [[0.0], [2.0]]
    assert worlds.elapsed.tolist() == [0, 2]


def test_its_state_determines_its_future():
    env = SkillEnv(CountingEnv(), execution(horizon=3))
    step = env.reset()
    act(env, step, [0, 0], [0, 0])
    state = env.get_state()
    first = act(env, step, [0, 0], [0, 0])
    env.set_state(state)
    again = act(env, step, [0, 0], [0, 0])
    assert torch.equal(first["observation"], again["observation"])
    assert first["reward"].tolist() == again["reward"].tolist() == [[15.0], [15.0]]
