"""The gymnasium adapter in the hands of another library: Stable-Baselines3 checks it, trains on it and acts in it."""

import gymnasium
import numpy as np
import pytest
import torch
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.env_checker import check_env
from stable_baselines3.common.vec_env import DummyVecEnv

ID = "envs.gymnasium_adapters:lightning_skills/Maze-v1"
HORIZON = 50


@pytest.fixture(autouse=True)
def one_thread():
    """For networks this small more threads only wait for each other, for minutes if the machine is busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def make():
    return gymnasium.make(ID, task="small20", horizon=HORIZON)


@pytest.mark.filterwarnings("error")
def test_environment_passes_their_check():
    check_env(make().unwrapped)


@pytest.mark.parametrize(
    ("algorithm", "options"),
    [
        (SAC, {"learning_starts": 100, "batch_size": 32, "train_freq": 4, "buffer_size": 1000}),
        (PPO, {"n_steps": 64, "batch_size": 32, "n_epochs": 2}),
    ],
)
def test_their_algorithms_train_and_act(algorithm, options):
    worlds = DummyVecEnv([make] * 2)
    model = algorithm("MlpPolicy", worlds, seed=0, device="cpu", policy_kwargs={"net_arch": [16]}, **options)
    before = [value.detach().clone() for value in model.policy.parameters()]
    model.learn(400)
    assert model.num_timesteps >= 400
    assert all(value.isfinite().all() for value in model.policy.parameters())
    assert any((now != old).any() for now, old in zip(model.policy.parameters(), before, strict=True))

    def act(policy):
        """One episode of both worlds from the same starts; all states."""
        worlds.seed(7)
        states = [worlds.reset()]
        for step in range(HORIZON):
            action = policy(states[-1])
            assert action.shape == (2, 2)
            assert np.abs(action).max() <= 1
            state, _, done, infos = worlds.step(action)
            assert state.dtype == np.float32
            assert done.tolist() == [step == HORIZON - 1] * 2
            states.append(state if step < HORIZON - 1 else np.stack([info["terminal_observation"] for info in infos]))
        assert [info["TimeLimit.truncated"] for info in infos] == [True, True]
        return np.stack(states)

    learned, idle = act(lambda state: model.predict(state)[0]), act(lambda _: np.zeros((2, 2), np.float32))
    assert np.array_equal(learned[0], idle[0])
    assert (np.abs(learned[-1] - idle[-1]).max(axis=1) > 0.1).all()
