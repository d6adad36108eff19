import numpy as np
import pytest
import torch
from tensordict import TensorDict

from lightning_skills.data.batch_env import EnvInfo
from lightning_skills.data.skill_env import SkillExecution
from lightning_skills.evaluation.rollouts import rollout
from lightning_skills.phases.base import PhaseContext, PhaseModule
from tests.data.test_skill_env import CountingEnv


class Still(PhaseModule):
    """Does nothing, by chance: the action is noise that the env ignores. Counts its steps in its acting state."""

    def __init__(self):
        super().__init__(PhaseContext(None, EnvInfo({"observation": (1,)}, 2, 10)))
        self.seen, self.actions, self.modes = [], [], []

    plan = build_optimizers = update = artefact = progress = None

    def skill_execution(self):
        return SkillExecution(low_level=None, horizon=4, action_dim=2, bound=None)

    def initial_state(self, worlds):
        return TensorDict({"steps": torch.zeros(worlds)}, batch_size=[worlds])

    def act(self, observation, state, explore):
        self.seen.append((state["steps"].tolist(), explore))
        self.modes.append(self.training)
        state = TensorDict({"steps": state["steps"] + 1}, batch_size=state.batch_size)
        self.actions.append(torch.randn(len(observation), 2))
        return self.actions[-1], state, TensorDict({}, batch_size=observation.batch_size)


def make(seeds):
    return CountingEnv(ends=[2, 6, 100][: len(seeds)], horizon=9)


def test_each_episode_counts_once_from_start_to_end():
    result = rollout(Still(), make, 3, seed=0, explore=True)
    assert result.frames.tolist() == [2, 6, 9]
    assert result.returns.tolist() == [3.0, 21.0, 45.0]
    assert result.success.tolist() == [False, True, True]
    for length, trajectory in zip((2, 6, 9), result.trajectories, strict=True):
        np.testing.assert_array_equal(trajectory[:, 0], np.arange(length + 1))
    assert result.metrics()["eval/return"] == 23.0


class Reporting(CountingEnv):
    def episode_info(self):
        return {"steps": self.count.copy()}


def test_what_the_env_reports_is_that_of_the_episodes_ends():
    result = rollout(Still(), lambda seeds: Reporting(ends=[2, 6, 100], horizon=9), 3, seed=0, explore=True)
    assert result.info["steps"].tolist() == [2.0, 6.0, 9.0]
    assert result.metrics()["eval/steps"] == pytest.approx(17 / 3)
    assert result.details()["steps"] == [2.0, 6.0, 9.0]
    assert rollout(Still(), make, 3, seed=0, explore=True).info == {}


def test_training_streams_and_mode_are_left_as_they_were():
    module = Still()
    module.train()
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    rollout(module, make, 2, seed=0, explore=True)
    assert torch.equal(torch.rand(3), expected)
    assert module.training
    assert not any(module.modes)


def test_training_streams_and_mode_outlive_an_evaluation_that_fails():
    module = Still()
    torch.manual_seed(1)
    stream = torch.get_rng_state()
    with pytest.raises(AttributeError):
        rollout(module, make, 2, seed=0, explore=True, policy="none")
    assert torch.equal(torch.get_rng_state(), stream)
    assert module.training


def test_the_acting_state_starts_afresh_with_each_episode():
    module = Still()
    rollout(module, make, 3, seed=0, explore=False)
    assert [steps for steps, _ in module.seen] == [[0.0] * 3, [1.0] * 3, [2.0] * 3]
    assert not any(explore for _, explore in module.seen)


def test_the_seed_decides_what_a_stochastic_policy_samples():
    def actions(seed):
        torch.rand(7)  # wherever training's own stream stands
        module = Still()
        rollout(module, make, 3, seed=seed, explore=True)
        return torch.stack(module.actions)

    assert torch.equal(actions(0), actions(0))
    assert not torch.equal(actions(0), actions(1))


def test_the_seed_decides_the_worlds_and_each_has_its_own():
    def seeds_of_worlds(seed):
        given = []
        rollout(Still(), lambda seeds: given.extend(seeds) or make(seeds), 3, seed=seed, explore=False)
        return given

    assert seeds_of_worlds(0) == seeds_of_worlds(0)
    assert len({*seeds_of_worlds(0), *seeds_of_worlds(1)}) == 6
