"""The block stacking environment: motion, fingers, states, rewards, restored states, pictures, bad input."""

import subprocess
import sys
from dataclasses import replace

import matplotlib
import mujoco
import numpy as np
import pytest
from matplotlib.figure import Figure

from envs.blocks import ENV, geometry, mjcf, tasks
from envs.blocks.config import BlocksConfig, DemoConfig
from envs.blocks.env import make
from lightning_skills import limits
from lightning_skills.errors import InputError

matplotlib.use("Agg")

FIVE, ELEVEN = BlocksConfig(task="dense5"), BlocksConfig(task="sparse11")
GRASP = [[0, -1, 1]] * 5 + [[0, 0, 0]] * 3 + [[0, 1, 0]] * 9
"""From the start: down to the block in the middle, close, and up (five steps are 0.25 m)."""


def tower(env, *levels):
    """Places of all blocks, of which those of the rows ``levels`` stand upon the first."""
    blocks = np.array(env.blocks[0])
    for level, index in enumerate(levels):
        blocks[index] = (blocks[0, 0], geometry.RESTING + 0.08 * (level + 1))
    return blocks


def roll(env, actions, active=None):
    return [env.step(np.broadcast_to(action, (env.num_worlds, 3)), active) for action in actions]


def random_actions(steps, worlds, seed=0):
    """Downwards on average, so that blocks are hit."""
    rng = np.random.default_rng(seed)
    return rng.uniform([-1, -1, -1], [1, 0.7, 1], (steps // 5, worlds, 3)).repeat(5, axis=0)


@pytest.mark.parametrize(
    ("task", "width", "blocks", "edge"),
    [("dense5", 23, 5, 0.4), ("sparse5", 23, 5, 0.4), ("dense11", 41, 11, 1.0), ("sparse11", 41, 11, 1.0)],
)
def test_tasks_and_the_layout_of_their_states(task, width, blocks, edge):
    env = make(BlocksConfig(task=task), seeds=[1, 2])
    state = env.observe()["observation"]
    assert env.info.observation_shapes == {"observation": (width,)}
    assert env.info.action_dim == 3
    assert state.shape == (2, width)
    assert state.dtype == np.float32
    expected = [0, 0, 1.2, 0, 0, 0, 0, 0.06]
    for y in np.linspace(-edge, edge, blocks):
        expected += [0, y, 0.84]
    assert state[0] == pytest.approx(np.array(expected), abs=1e-6)


def test_states_show_positions_velocity_and_fingers_and_are_clipped():
    env = make(FIVE, seeds=[0])
    env.step(np.array([[0.5, -1.0, -1.0]]))
    gripper, fingers = env.batch.bind("qpos")[0, :2], env.batch.bind("qpos")[0, 2:4]
    state = env.observe()["observation"][0]
    assert gripper == pytest.approx([0.025, 1.15], abs=2e-3)
    assert state[1:3] == pytest.approx(gripper)
    assert state[4:6] == pytest.approx([0.25, -0.5], abs=1e-2)
    assert state[7] == pytest.approx(fingers.mean())
    assert 0 < state[7] < 0.06
    env.blocks[0, 3] = (5.0, -3.0)
    assert env.observe()["observation"][0, 17:20].tolist() == [0.0, 2.0, -2.0]


def test_the_model_has_the_sizes_of_the_authors_simulator():
    model = mujoco.MjModel.from_xml_string(mjcf.model_xml(11))
    assert model.body("block3").mass == pytest.approx(0.08**3 * 1000)
    assert model.actuator_gear[:2, 0].tolist() == [500, 500]
    assert model.dof_damping[:2].tolist() == [1000, 1000]
    assert model.nq == 4 + 3 * 11
    assert sorted(set(model.geom_friction[:, 0])) == [1.0, 30.0]
    assert {model.geom(i).bodyid[0] for i in range(model.ngeom) if model.geom_friction[i, 0] == 30.0} == {
        model.jnt_bodyid[joint] for joint in (2, 3)
    }
    assert model.jnt_range[2:4].tolist() == [[0, 0.08]] * 2


@pytest.mark.parametrize(("config", "reach"), [(FIVE, 0.54), (ELEVEN, 1.14)])
def test_the_gripper_stays_between_table_walls_and_ceiling(config, reach):
    """A box 0.1 wide and up to 0.2 above it, between walls and below a ceiling 0.01 nearer than these."""
    env = make(config, seeds=[0])
    for direction, expected in (((1, 1), (reach, 1.49)), ((-1, 0), (-reach, 1.49)), ((0, -1), (-reach, 0.95))):
        roll(env, [[*direction, 1]] * 50)
        assert env.observe()["observation"][0, 1:3] == pytest.approx(expected, abs=0.015)


@pytest.mark.parametrize(
    ("controls", "is_open"),
    [
        ([], True),
        ([0.0], False),
        ([0.29], False),
        ([0.31], True),
        ([-0.5], True),
        ([0.69], True),
        ([-1.0], False),
        ([-1.0, 0.5], False),
        ([-1.0, -0.5], False),
        ([-1.0, 0.69], False),
        ([-1.0, 0.71], True),
        ([-0.71], False),
        ([0.0, 1.0, 0.5], True),
    ],
)
def test_between_closing_and_opening_the_fingers_stay_as_they_are(controls, is_open):
    env = make(FIVE, seeds=[0])
    roll(env, [[0, 0, control] for control in controls])
    held = controls[-1] if controls and 0.3 < abs(controls[-1]) < 0.7 else -0.5
    roll(env, [[0, 0, held]] * 8)
    assert env.observe()["observation"][0, 7] == pytest.approx(0.06 if is_open else 0.0, abs=2e-3)


def test_worlds_have_fingers_of_their_own():
    env = make(FIVE, seeds=[0, 1])
    env.step(np.array([[0, 0, 1.0], [0, 0, -1.0]]))
    for _ in range(8):
        state = env.step(np.array([[0, 0, 0.5], [0, 0, 0.5]])).observation["observation"]
    assert state[:, 7] == pytest.approx([0.06, 0.0], abs=2e-3)


@pytest.mark.parametrize("levels", [(), (1,), (1, 2), (3, 1, 2)])
def test_sparse_reward_is_the_height_of_the_tower(levels):
    env = make(replace(FIVE, task="sparse5"), seeds=[0])
    env.arrange(np.array([0]), tower(env, *levels)[None])
    result = env.step(np.zeros((1, 3)))
    assert result.reward[0] == pytest.approx(0.08 * len(levels), abs=2e-3)
    assert env.episode_info() == {"final_height": pytest.approx([len(levels)], abs=0.02)}
    assert bool(result.success[0]) is (len(levels) == 3)
    assert not result.terminated[0]


@pytest.mark.parametrize(("tilt", "counts"), [(0.7, True), (0.9, False), (-0.9, False), (2 * np.pi + 0.1, True)])
def test_a_block_that_is_tilted_by_more_than_45_degrees_adds_nothing_to_a_sparse_reward(tilt, counts):
    env = make(replace(FIVE, task="sparse5"), seeds=[0])
    env.arrange(np.array([0]), tower(env, 1, 2)[None])
    env.batch.bind("qpos")[0, 4 + 3 * 2 + 2] = tilt
    reward, _ = env._reward(np.array([0]))
    assert reward[0] == pytest.approx(0.16 if counts else 0.08)


def test_dense_reward_needs_a_grasp():
    env = make(FIVE, seeds=[0])
    env.arrange(np.array([0]), tower(env, 1, 2)[None])
    result = env.step(np.zeros((1, 3)))
    assert result.reward[0] == 0.0
    assert env.episode_info()["final_height"] == [0.0]
    assert not result.success[0]


def test_dense_reward_of_a_block_that_is_grasped_lifted_and_put_on_another():
    env = make(FIVE, seeds=[0])
    rewards = [step.reward[0] for step in roll(env, GRASP)]
    state = env.observe()["observation"][0]
    assert state[16] > 1.1, "block 2 is held"
    assert state[7] == pytest.approx(0.04, abs=2e-3)
    assert env.episode_info()["blocks_set_down"] == [0.0]
    first = np.flatnonzero(rewards)[0]
    assert rewards[:first] == [0.0] * first
    assert first >= 8 + 4, "five steps in a row off the table"
    assert set(rewards[first:]) == {1.0}
    over = roll(env, [[1, 0, 0]] * 4)
    assert over[-1].reward[0] == 2.0, "above block 3"
    down = roll(env, [[0, -1, 0]] * 5 + [[0, 0, 1]] * 5)
    assert down[-1].reward[0] == pytest.approx(2.0 + 50 * 0.08, abs=0.1)
    info = env.episode_info()
    assert info.pop("final_height") == pytest.approx([1.0], abs=0.02)
    assert info == {"blocks_grasped": [1], "blocks_lifted": [1], "blocks_above": [1], "blocks_set_down": [1]}
    assert env.observe()["observation"][0, 16] == pytest.approx(0.92, abs=2e-3)
    env.reset()
    assert not any(values.any() for values in env.episode_info().values())


def test_only_the_time_limit_ends_an_episode():
    env = make(replace(FIVE, horizon=7), seeds=[0])
    assert [bool(step.truncated[0]) for step in roll(env, [[0, 0, 0]] * 7)] == [False] * 6 + [True]
    assert make(ELEVEN, seeds=[0]).info.horizon == 1000
    assert make(FIVE, seeds=[0]).info.horizon == 500


def same(left, right, worlds=slice(None)):
    return all(
        np.array_equal(a.observation["observation"][worlds], b.observation["observation"])
        and np.array_equal(a.reward[worlds], b.reward)
        for a, b in zip(left, right, strict=True)
    )


@pytest.mark.parametrize("config", [FIVE, ELEVEN])
def test_a_world_is_the_same_alone_and_in_a_batch(config):
    batch, alone = make(config, seeds=[3, 4, 5]), make(config, seeds=[4])
    actions = random_actions(60, 3)
    together, single = roll(batch, actions[:30]), roll(alone, actions[:30, 1:2])
    batch.reset(np.array([True, True, False]))
    alone.reset()
    together, single = together + roll(batch, actions[30:]), single + roll(alone, actions[30:, 1:2])
    assert same(together, single, slice(1, 2))
    moved = together[29].observation["observation"] - make(config, seeds=[0]).observe()["observation"]
    assert np.abs(moved[:, 8:]).max() > 0.02, "no block was touched"


def test_inactive_worlds_are_untouched():
    env = make(FIVE, seeds=range(4))
    roll(env, random_actions(20, 4))
    before = env.get_state()
    results = roll(env, random_actions(10, 4, seed=1), active=np.array([True, False, True, False]))
    after = env.get_state()
    for key, value in before.items():
        assert np.array_equal(value[1::2], after[key][1::2]), key
    assert not np.array_equal(before["simulator"][::2], after["simulator"][::2])
    assert not results[-1].reward[1::2].any()


def test_restored_state_has_the_same_future():
    config = replace(FIVE, images=True)
    env, other = make(config, seeds=[1, 2]), make(config, seeds=[8, 9])
    roll(env, GRASP[:11])  # in the middle of a grasp: streaks, the fingers' command and the frame before matter
    state = env.get_state()
    roll(other, random_actions(20, 2))
    other.set_state(state)
    for key, value in env.observe().items():
        assert np.array_equal(value, other.observe()[key]), key
    futures = [roll(world, [*([0, 0.5, 0.5],) * 6, *random_actions(20, 2)]) for world in (env, other)]
    assert same(*futures)
    assert max(step.reward.max() for step in futures[0]) > 0
    env.set_state(state)
    assert same(futures[0], roll(env, [*([0, 0.5, 0.5],) * 6, *random_actions(20, 2)])), "it shares memory with the env"


def test_observations_are_not_written_to_again():
    env = make(replace(FIVE, images=True), seeds=[0])
    first = env.step(np.ones((1, 3))).observation
    kept = {key: value.copy() for key, value in first.items()}
    roll(env, [[1, -1, 0]] * 3)
    assert all(np.array_equal(first[key], kept[key]) for key in kept)


def test_bad_input_is_named():
    with pytest.raises(InputError, match="did you mean dense5"):
        make(BlocksConfig(task="dense"), seeds=[0])
    for data in (DemoConfig(blocks=7), DemoConfig(stacks=5), DemoConfig(max_steps=0), DemoConfig(action_noise=-1.0)):
        with pytest.raises(InputError, match=r"blocks\.data\.\w+ is"):
            limits.check(BlocksConfig(data=data), "blocks")


def test_listing_loads_nothing_heavy():
    code = (
        "import sys, envs.blocks;print([m for m in ('torch', 'mujoco', 'gymnasium', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert set(ENV.tasks) == set(tasks.TASKS)


def test_film_shows_gripper_and_blocks_to_scale():
    env = make(FIVE, seeds=[0])
    path = np.stack([step.observation["observation"][0] for step in roll(env, GRASP)])
    frames = env.film(path)
    assert frames.shape == (17, 144, 216, 3)
    assert frames.dtype == np.uint8
    for index in (0, -1):
        dark = (frames[index] == [58, 66, 84]).all(axis=2)
        rows, columns = np.nonzero(dark)
        assert columns.mean() / 180 - 0.6 == pytest.approx(path[index, 1], abs=0.01)
        assert (143 - rows.min()) / 180 + 0.74 == pytest.approx(path[index, 2] - 0.01, abs=0.01), "top of the palm"
        leftmost = (frames[index] == [66, 122, 200]).all(axis=2)
        rows, columns = np.nonzero(leftmost)
        assert columns.mean() / 180 - 0.6 == pytest.approx(-0.4, abs=0.01)
        assert (143 - rows.mean()) / 180 + 0.74 == pytest.approx(0.84, abs=0.01)
        assert len(rows) == pytest.approx((0.08 * 180) ** 2, rel=0.2)
    assert len(env.film(path[:1])) == 1
    assert len(env.film(path.repeat(20, axis=0))) == 150
    assert make(ELEVEN, seeds=[0]).film(make(ELEVEN, seeds=[0]).observe()["observation"]).shape == (1, 144, 432, 3)


def test_drawing_has_paths_and_the_last_places_of_blocks():
    env = make(FIVE, seeds=[0, 1])
    axes = Figure().subplots()
    steps = [step.observation["observation"] for step in roll(env, GRASP)]
    assert env.draw(axes, list(np.stack(steps, axis=1)))
    assert len(axes.collections) == 2
    assert len(axes.patches) == 1 + 2 * 5
    middle = axes.patches[3]
    assert middle.get_y() + 0.04 == pytest.approx(steps[-1][0, 16])
    assert axes.get_xlim() == (-0.6, 0.6)
