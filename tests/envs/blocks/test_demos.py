"""Scripted demonstrations: they end with the tower they promise, keep to the recipe and can be replayed bit for bit."""

from dataclasses import replace

import numpy as np
import pytest

from envs.blocks import demos, geometry
from envs.blocks.config import BlocksConfig, DemoConfig
from envs.blocks.env import BlocksEnv
from envs.blocks.tasks import BlocksTask
from lightning_skills.data import attempts
from lightning_skills.errors import InputError

CONFIG = BlocksConfig(data=DemoConfig(trajectories=40))


@pytest.fixture(scope="module")
def made():
    return list(demos.generate(CONFIG))


def blocks(trajectory, row):
    return trajectory["observation"][row, 8:].reshape(-1, 3)[:, 1:]


def same(left, right):
    return len(left) == len(right) and all(
        a.keys() == b.keys() and all(np.array_equal(a[key], b[key]) for key in a)
        for a, b in zip(left, right, strict=True)
    )


def with_data(**options):
    return replace(CONFIG, data=replace(CONFIG.data, **options))


def test_shapes_and_ranges(made):
    assert len(made) == 40
    for trajectory in made:
        rows = len(trajectory["observation"])
        assert 60 < rows <= 251
        assert trajectory["observation"].shape == (rows, 23)
        assert trajectory["action"].shape == (rows, 3)
        assert {trajectory[key].dtype for key in ("observation", "action")} == {np.dtype(np.float32)}
        assert np.abs(trajectory["action"]).max() <= 1


def test_recorded_actions_replay_the_recorded_states(made):
    for trajectory in made[:6]:
        env = BlocksEnv(BlocksTask(5, dense=False), [0])
        env.arrange(np.array([0]), blocks(trajectory, 0).astype(np.float64)[None])
        for recorded, action in zip(trajectory["observation"], trajectory["action"], strict=True):
            assert np.array_equal(env.observe()["observation"][0], recorded)
            env.step(action[None])


def test_every_demonstration_ends_with_a_tower_that_the_gripper_has_left(made):
    for trajectory in made:
        before, after = trajectory["episode/stacks"]
        assert after == before + 2
        order, place = trajectory["episode/order"], blocks(trajectory, -1)
        height = np.rint((place[:, 1] - 0.84) / 0.08)
        assert height[order[: after + 1]].tolist() == list(range(after + 1))
        assert np.abs(np.diff(place[order[: after + 1], 0])).max() < 0.04
        assert np.abs(place[:, 1] - 0.84 - 0.08 * height).max() < 0.002, "something is not at rest"
        state = trajectory["observation"][-1]
        assert state[7] == pytest.approx(0.06, abs=2e-3)
        assert state[2] > place[order[after], 1] + 0.18


def test_first_places_have_the_stacks_that_stand_and_keep_their_distance(made):
    stands = [int(trajectory["episode/stacks"][0]) for trajectory in made]
    assert set(stands) == {0, 1, 2}
    for trajectory, built in zip(made, stands, strict=True):
        order, place = trajectory["episode/order"], blocks(trajectory, 0)
        assert sorted(order) == [0, 1, 2, 3, 4]
        level = (place[:, 1] - 0.84) / 0.08
        assert level[order[: built + 1]] == pytest.approx(np.arange(built + 1), abs=1e-4)
        assert level[order[built + 1 :]] == pytest.approx(0, abs=1e-4)
        on_table = np.sort(place[level < 0.5, 0])
        assert np.diff(on_table).min() >= 0.12 - 1e-6
        assert np.abs(on_table).max() <= 0.5
    first = np.concatenate([blocks(trajectory, 0)[:, 0] for trajectory in made])
    assert first.std() > 0.2
    assert len({tuple(trajectory["episode/order"]) for trajectory in made}) > 30


def test_most_attempts_succeed_and_those_that_do_not_are_counted(made):
    dropped = sum(int(trajectory["episode/dropped"]) for trajectory in made)
    assert len(made) / (len(made) + dropped) > 0.85


def test_failed_attempts_are_counted_before_the_next_that_is_kept(monkeypatch):
    whole = {"observation": np.zeros((3, 23)), "action": np.zeros((3, 3))}
    chunks = [[None, whole, None], [None, None, whole, whole]]
    monkeypatch.setattr(demos, "_chunk", lambda config, index: chunks[index])
    assert [int(kept["episode/dropped"]) for kept in demos.generate(with_data(trajectories=3))] == [1, 3, 0]


def test_detours_make_equal_tasks_different(made):
    swerves = []
    for trajectory in made:
        y, z = trajectory["observation"][:, 1], trajectory["observation"][:, 2]
        travelling = np.abs(np.diff(y)) > 0.02
        swerves.append(np.abs(z[1:][travelling] - 1.32).max())
    assert np.mean(np.array(swerves) > 0.02) > 0.7
    assert max(swerves) < 0.4


def grasps(trajectory):
    """Rows in which the fingers are first told to close."""
    return np.flatnonzero(np.diff(trajectory["action"][:, 2]) < 0) + 1


def test_fingers_are_open_or_closed_and_take_two_steps_to_change(made):
    for trajectory in made:
        assert set(trajectory["action"][:, 2].tolist()) == {0.0, 1.0}
        z = trajectory["observation"][:, 2]
        changes = np.flatnonzero(np.diff(trajectory["action"][:, 2])) + 1
        changes = changes[changes + 3 < len(z)]
        assert len(changes) >= 3
        assert np.abs(z[changes + 2] - z[changes]).max() < 0.012, "the rest of the way"
        assert (z[changes + 3] - z[changes]).min() > 0.03


def test_a_block_is_not_lifted_straight_up(made):
    swerves = []
    for trajectory in made:
        y, z = trajectory["observation"][:, 1], trajectory["observation"][:, 2]
        for row in grasps(trajectory):
            rising = slice(row, row + 1 + np.argmax(z[row:] > 1.25))
            swerves.append(np.abs(y[rising] - y[row]).max())
    assert np.mean(np.array(swerves) > 0.01) > 0.5


def test_data_depend_on_the_seed_and_not_on_the_workers(monkeypatch):
    config = with_data(trajectories=6, stacks=1)
    one = list(demos.generate(config))
    assert same(one, list(demos.generate(replace(config, data=replace(config.data, workers=2)))))
    assert not same(one, list(demos.generate(replace(config, data=replace(config.data, seed=1)))))


def test_chunks_differ_and_are_cut_to_the_number_asked_for(monkeypatch):
    monkeypatch.setattr(demos, "CHUNK", 4)
    few = list(demos.generate(with_data(trajectories=7, stacks=1)))
    assert len(few) == 7
    assert len({trajectory["observation"].tobytes() for trajectory in few}) == 7


def test_states_have_the_tasks_blocks_and_images_those_of_the_paper():
    for task, images, asked, expected in (
        ("dense5", False, None, 5),
        ("sparse11", False, None, 11),
        ("sparse11", True, None, 5),
        ("sparse11", True, 11, 11),
    ):
        config = replace(with_data(blocks=asked), task=task, images=images)
        assert demos.recipe(config)["blocks"] == expected
    wide = next(demos.generate(replace(with_data(trajectories=2, stacks=1), task="sparse11")))
    assert wide["observation"].shape[1] == geometry.state_dim(11) == 41
    assert np.abs(blocks(wide, 0)[:, 0]).max() > 0.5


def test_action_noise_is_recorded(made):
    noisy = list(demos.generate(with_data(trajectories=4, stacks=1, action_noise=0.05)))
    still = [np.abs(trajectory["action"][:, :2]).max(axis=1).min() for trajectory in made[:4]]
    shaken = [np.abs(trajectory["action"][:, :2]).max(axis=1).min() for trajectory in noisy]
    assert max(still) < 0.002 < min(shaken)
    assert {float(value) for trajectory in noisy for value in trajectory["action"][:, 2]} == {0.0, 1.0}


def test_demonstrations_that_cannot_succeed_are_an_error_and_no_endless_loop(monkeypatch):
    monkeypatch.setattr(attempts, "GIVE_UP", 6)
    with pytest.raises(InputError, match=r"6 demonstrations in a row failed; give more env\.data\.max_steps"):
        list(demos.generate(with_data(trajectories=4, max_steps=10)))


def test_recipe_tells_data_sets_apart():
    base = demos.recipe(CONFIG)
    for option, value in (
        ("trajectories", 3),
        ("blocks", 11),
        ("stacks", 1),
        ("max_steps", 99),
        ("action_noise", 0.1),
        ("seed", 5),
    ):
        assert demos.recipe(with_data(**{option: value})) != base
    assert demos.recipe(with_data(workers=7)) == base
    assert demos.recipe(replace(CONFIG, task="sparse5", horizon=3)) == base
