"""Batched environments as gymnasium environments: conformity, and vector against singles."""

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import envs.gymnasium_adapters as adapters
from lightning_skills.data.batch_env import EnvInfo
from lightning_skills.errors import InputError

ID = "lightning_skills/Maze-v1"


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("registered", [ID, "lightning_skills/Blocks-v1"])
def test_single_environment_passes_gymnasiums_check(registered):
    check_env(gymnasium.make(registered, render_mode="rgb_array").unwrapped)


def test_made_by_id_with_options():
    env = gymnasium.make(ID, task="spirl40", horizon=3)
    env.reset(seed=0)
    ends = [env.step(env.action_space.sample())[3] for _ in range(3)]
    assert ends == [False, False, True]
    assert env.unwrapped.env.task.layout == "spirl40"
    with pytest.raises(InputError, match="unknown maze task"):
        gymnasium.make(ID, task="nothing")


def test_render_is_an_image_only_when_asked_for():
    env = gymnasium.make(ID, render_mode="rgb_array")
    env.reset(seed=0)
    assert env.render().shape == (220, 220, 3)
    assert gymnasium.make(ID).unwrapped.render() is None


def make_near_goal(num_envs=None):
    """Episodes of both kinds of end: starts at the goal's edge terminate, the time limit truncates."""
    options = {"task": "simpl20-11-8", "horizon": 60, "radius": 2.2}
    return (
        adapters.make_single("maze", **options)
        if num_envs is None
        else adapters.make_vector("maze", num_envs, **options)
    )


def test_vector_equals_singles_step_by_step():
    singles = SyncVectorEnv([make_near_goal] * 6, autoreset_mode=AutoresetMode.NEXT_STEP)
    vector = make_near_goal(6)
    ends = np.zeros(2, dtype=int)
    for seed in (11, None, 5):
        (expected, expected_info), (found, found_info) = singles.reset(seed=seed), vector.reset(seed=seed)
        assert np.array_equal(expected, found)
        assert found_info.keys() == expected_info.keys() == {"success", "_success"}
        for key in found_info:
            assert np.array_equal(found_info[key], expected_info[key])
        actions = np.random.default_rng(seed).uniform(-1, 1, (20, 6, 2)).repeat(10, axis=0).astype(np.float32)
        for action in actions:
            expected, found = singles.step(action), vector.step(action)
            for ours, theirs in zip(found[:4], expected[:4], strict=True):
                assert np.array_equal(ours, theirs)
                assert ours.dtype == theirs.dtype
            assert found[4].keys() == expected[4].keys() == {"success", "_success"}
            for key in found[4]:
                assert np.array_equal(found[4][key], expected[4][key])
            ends += found[2].sum(), found[3].sum()
    assert ends.min() > 3, "the test should see episodes end in both ways"


def test_vector_is_made_by_id():
    vector = gymnasium.make_vec(ID, num_envs=4, task="small20")
    assert isinstance(vector, adapters.BatchVectorEnv)
    assert vector.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    first = vector.reset(seed=[1, 2, 3, 4])[0]
    assert first in vector.observation_space
    assert np.array_equal(first[1:3], gymnasium.make_vec(ID, num_envs=2, task="small20").reset(seed=2)[0])


def test_reset_mask_resets_those_worlds_alone():
    vector = adapters.make_vector("maze", 3, task="simpl20-12-7")
    vector.reset(seed=0)
    for _ in range(20):
        before = vector.step(np.ones((3, 2)))[0]
    after, _ = vector.reset(options={"reset_mask": np.array([False, True, False])})
    assert (before != after).any(axis=1).tolist() == [False, True, False]


def test_world_reset_by_mask_after_its_end_is_stepped_next():
    vector = adapters.make_vector("maze", 2, task="simpl20-12-7", horizon=3)
    vector.reset(seed=0)
    for _ in range(3):
        truncated = vector.step(np.ones((2, 2)))[3]
    assert truncated.all()
    vector.reset(options={"reset_mask": np.array([False, True])})
    vector.step(np.ones((2, 2)))
    assert vector.env.elapsed.tolist() == [0, 1]


def test_unseeded_environments_differ():
    starts = [adapters.make_single("maze", task="simpl20-12-7").reset()[0] for _ in range(2)]
    assert not np.array_equal(*starts)


def test_several_observations_become_a_dict():
    info = EnvInfo({"observation": (4,), "image": (3, 8, 8)}, action_dim=2, horizon=10)
    space = adapters.observation_space(info)
    assert space["image"].shape == (3, 8, 8)
    assert space["observation"].shape == (4,)


def test_options_beyond_their_limits_are_refused():
    with pytest.raises(InputError, match=r"maze\.radius is -1; it must be positive"):
        gymnasium.make("lightning_skills/Maze-v1", radius=-1)
