"""Scripted demonstrations: they reach their goals, keep to the recipe and can be replayed bit for bit."""

from collections import deque
from dataclasses import replace

import numpy as np
import pytest

from envs.maze import demos, layouts
from envs.maze.config import DemoConfig, MazeConfig
from envs.maze.physics import PointMass, free

TASK = MazeConfig(data=DemoConfig(trajectories=150))
RANDOM = MazeConfig(data=DemoConfig(trajectories=60, layouts="random"))


@pytest.fixture(scope="module")
def fixed():
    return list(demos.generate(TASK))


@pytest.fixture(scope="module")
def varied():
    return list(demos.generate(RANDOM))


def maze_of(trajectory):
    return trajectory.get("episode/layout", layouts.named("simpl20")).astype(bool)


def same(left, right):
    return len(left) == len(right) and all(
        a.keys() == b.keys() and all(np.array_equal(a[key], b[key]) for key in a)
        for a, b in zip(left, right, strict=True)
    )


def search(layout, start):
    """Moves to every reachable cell, one queue at a time."""
    moves, queue = {start: 0}, deque([start])
    while queue:
        i, j = queue.popleft()
        for cell in ((i + 1, j), (i - 1, j), (i, j + 1), (i, j - 1)):
            if not layout[cell] and cell not in moves:
                moves[cell] = moves[i, j] + 1
                queue.append(cell)
    return moves


def test_shapes_and_ranges(fixed, varied):
    assert len(fixed) == 150
    assert len(varied) == 60
    for trajectory in fixed + varied:
        rows = len(trajectory["observation"])
        assert 20 < rows <= 1601
        assert trajectory["observation"].shape == (rows, 4)
        assert trajectory["action"].shape == (rows, 2)
        assert {trajectory[key].dtype for key in ("observation", "action")} == {np.dtype(np.float32)}
        assert np.abs(trajectory["action"]).max() <= 1
    assert {trajectory["episode/layout"].shape for trajectory in varied} == {(22, 22)}
    assert "episode/layout" not in fixed[0]


def test_recorded_actions_replay_the_recorded_states(fixed, varied):
    for trajectory in fixed[:40] + varied[:40]:
        physics = PointMass(maze_of(trajectory)[None])
        state = trajectory["observation"][:1].astype(np.float64)
        for recorded, action in zip(trajectory["observation"], trajectory["action"], strict=True):
            assert np.array_equal(state[0].astype(np.float32), recorded)
            state = np.concatenate(physics.step(state[:, :2], state[:, 2:], action[None], np.arange(1)), axis=1)


def test_goals_are_reached_and_only_at_the_end(fixed, varied):
    reached = []
    for trajectory in fixed + varied:
        gap = np.linalg.norm(trajectory["observation"][:, :2] - trajectory["episode/goal"], axis=1)
        assert (gap[:-1] > 0.1 - 1e-5).all()
        reached.append(gap[-1] < 0.1 or len(gap) == 1601)
    assert np.mean(reached) == 1
    assert np.mean([len(trajectory["action"]) < 1601 for trajectory in fixed + varied]) > 0.97


def test_lengths_are_those_of_the_published_generator(fixed):
    lengths = np.array([len(trajectory["action"]) for trajectory in fixed])
    layout = layouts.named("simpl20")
    cells = [
        search(layout, tuple(t["episode/goal"].astype(int)))[tuple(np.rint(t["observation"][0, :2]).astype(int))]
        for t in fixed
    ]
    assert lengths.sum() / np.sum(cells) == pytest.approx(27, rel=0.1), "steps per cell"


def test_starts_and_goals_are_spread_and_noisy(fixed):
    first = np.array([trajectory["observation"][0] for trajectory in fixed])
    offset = first[:, :2] - np.rint(first[:, :2])
    assert np.abs(offset).max() <= 0.1 + 1e-5
    assert offset.std() == pytest.approx(0.1 / np.sqrt(3), rel=0.15)
    assert first[:, 2:].std() == pytest.approx(0.1, rel=0.15)
    goals = np.array([trajectory["episode/goal"] for trajectory in fixed])
    for places in (first[:, :2], goals):
        assert places.mean() == pytest.approx(10.5, abs=1.5)
        assert places.std() == pytest.approx(6, abs=1)
    assert np.array_equal(goals, np.rint(goals))


def test_balls_stay_out_of_walls(varied):
    for trajectory in varied:
        assert free(maze_of(trajectory), trajectory["observation"][:, :2]).all()


def test_every_trajectory_has_its_own_random_layout(varied):
    assert len({trajectory["episode/layout"].tobytes() for trajectory in varied}) == 60


def test_data_depend_on_the_seed_and_not_on_the_workers():
    config = MazeConfig(data=DemoConfig(trajectories=30, max_steps=100, layouts="random"))
    one = list(demos.generate(config))
    assert same(one, list(demos.generate(config)))
    assert same(one, list(demos.generate(replace(config, data=replace(config.data, workers=2)))))
    assert not same(one, list(demos.generate(replace(config, data=replace(config.data, seed=1)))))


def test_chunks_differ_and_are_cut_to_the_number_asked_for(monkeypatch):
    monkeypatch.setattr(demos, "CHUNK", 16)
    made = list(demos.generate(MazeConfig(data=DemoConfig(trajectories=40, max_steps=60))))
    assert len(made) == 40
    assert len({trajectory["observation"].tobytes() for trajectory in made}) == 40


def test_action_noise_is_recorded_and_still_reaches_the_goal():
    config = MazeConfig(data=DemoConfig(trajectories=40, action_noise=0.5))
    noisy, quiet = list(demos.generate(config)), list(demos.generate(TASK))[:40]
    jumps = [np.mean([np.abs(np.diff(t["action"], axis=0)).mean() for t in data]) for data in (noisy, quiet)]
    assert jumps[0] > 3 * jumps[1]
    assert np.mean([len(trajectory["action"]) < 1601 for trajectory in noisy]) > 0.9


def test_distances_are_those_of_a_plain_search():
    rng = np.random.default_rng(2)
    mazes = np.stack([layouts.random_layout(20, rng) for _ in range(5)])
    goal = np.array([np.argwhere(~maze)[rng.integers(100)] for maze in mazes])
    for maze, cell, found in zip(mazes, goal, demos.distances(mazes, goal), strict=True):
        expected = np.full(maze.shape, demos.MAX_CELLS + 1)
        for place, moves in search(maze, tuple(cell)).items():
            expected[place] = moves
        assert np.array_equal(found, expected)


def test_ways_are_shortest_and_straight_along_y_first():
    layout = layouts.named("simpl20")
    start, goal = np.array([[10, 10], [5, 12], [10, 10], [3, 1]]), np.array([[5, 12], [10, 10], [14, 4], [16, 16]])
    distance = demos.distances(layout[None], goal)
    for first, last, way in zip(start, goal, demos.shortest_ways(distance, start), strict=True):
        moves = search(layout, tuple(last))
        cell, expected = tuple(first), []
        while cell != tuple(last):  # as D4RL's planner: the first best of up, down, left, right, its y being our y
            beside = [(cell[0], cell[1] - 1), (cell[0], cell[1] + 1), (cell[0] - 1, cell[1]), (cell[0] + 1, cell[1])]
            cell = next(each for each in beside if moves.get(each) == moves[cell] - 1)
            expected.append(cell)
        assert way.tolist() == [list(each) for each in expected] + [last.tolist()] * (len(way) - len(expected))


def test_waypoints_are_shifted_and_goals_are_not():
    mazes = layouts.named("simpl20")[None]
    trips = demos._plan(mazes, 300, np.random.default_rng(0))
    goal = trips.waypoints[:, -1]
    assert np.array_equal(goal, np.rint(goal))
    assert not mazes[0][tuple(goal.astype(int).T)].any()
    on_the_way = trips.waypoints[(trips.waypoints != goal[:, None]).all(axis=2)]
    shift = np.ceil(on_the_way) - on_the_way
    assert shift.max() == pytest.approx(0.2, abs=1e-3)
    assert shift.min() == pytest.approx(0.0, abs=1e-3)
    assert shift.mean() == pytest.approx(0.1, rel=0.05)


def test_recipe_tells_data_sets_apart():
    base = demos.recipe(TASK)
    for option, value in (
        ("trajectories", 3),
        ("layouts", "random"),
        ("max_steps", 99),
        ("action_noise", 0.1),
        ("seed", 5),
    ):
        assert demos.recipe(replace(TASK, data=replace(TASK.data, **{option: value}))) != base
    assert demos.recipe(replace(TASK, task="spirl40")) != base
    assert demos.recipe(replace(TASK, data=replace(TASK.data, workers=7))) == base
    assert demos.recipe(replace(TASK, task="simpl20-12-7", radius=3.0)) == base, "same layout, same data"
