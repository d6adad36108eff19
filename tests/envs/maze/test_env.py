"""The maze environment: tasks, resets, rewards, masks, states, pictures, bad input."""

import subprocess
import sys
from dataclasses import replace

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from envs.maze import ENV, layouts, tasks
from envs.maze.config import DemoConfig, MazeConfig
from envs.maze.env import MazeEnv, make
from envs.maze.physics import CELL_CENTRE, free
from lightning_skills import limits
from lightning_skills.errors import InputError

matplotlib.use("Agg")


def observed(env):
    return env.observe()["observation"]


def roll(env, steps, seed=0, active=None):
    rng = np.random.default_rng(seed)
    actions = rng.uniform(-1, 1, (steps // 10 + 1, env.num_worlds, 2)).repeat(10, axis=0)[:steps]
    return np.stack([env.step(action, active).observation["observation"] for action in actions])


@pytest.mark.parametrize("task", ["small20", "spirl40", "skimo40", "simpl20-20-16"])
@pytest.mark.parametrize("backend", ["twin", "mujoco"])
def test_steps_agree_with_the_interface(task, backend):
    env = make(MazeConfig(task=task, backend=backend), seeds=[1, 2, 3])
    result = env.step(np.full((3, 2), 7.0))
    assert env.info.state_dim == 4
    assert result.observation["observation"].shape == (3, 4)
    assert result.observation["observation"].dtype == np.float32
    assert result.reward.shape == (3,)
    assert not result.truncated.any()


def test_spirl_start_is_exact_and_its_time_limit_is_the_only_end():
    env = make(MazeConfig(task="spirl40"), seeds=[0])
    assert observed(env)[0] == pytest.approx([10, 24, 0, 0])
    ends = [env.step(np.zeros((1, 2))) for _ in range(2000)]
    assert [bool(end.truncated[0]) for end in ends] == [False] * 1999 + [True]


def test_reward_and_termination_within_the_radius():
    for name, reward, terminates, radius in (
        ("spirl40", 1.0, False, 2.0),
        ("skimo40", 100.0, True, 2.0),
        ("simpl20-12-7", 1.0, True, 1.0),
        ("small20", 1.0, False, 1.0),
    ):
        env = make(MazeConfig(task=name), seeds=[0, 1])
        env.position[:] = env.task.goal + np.array([[0.0, radius - 1e-6], [0.0, radius + 1e-3]])
        env.velocity[:] = 0.0
        result = env.step(np.zeros((2, 2)))
        assert result.success.tolist() == [True, False]
        assert result.reward.tolist() == [reward, 0.0]
        assert result.terminated.tolist() == [terminates, False]


@pytest.mark.parametrize("backend", ["twin", "mujoco"])
def test_what_counts_is_where_a_step_ends(backend):
    env = make(MazeConfig(task="spirl40", backend=backend), seeds=[0, 1])
    env.position[:] = env.task.goal + np.array([[0.0, env.task.radius + 0.02], [0.0, env.task.radius - 0.02]])
    env.velocity[:] = [[0.0, -5.0], [0.0, 5.0]]  # 0.05 a step: into the radius, and out of it
    result = env.step(np.zeros((2, 2)))
    distance = np.hypot(*(result.observation["observation"][:, :2] - env.task.goal).T)
    assert (distance < env.task.radius).tolist() == [True, False]
    assert result.success.tolist() == [True, False]
    assert result.reward.tolist() == [1.0, 0.0]


def test_options_override_radius_and_horizon():
    task = tasks.task(MazeConfig(task="spirl40", radius=1.0, horizon=7))
    assert (task.radius, task.horizon) == (1.0, 7)
    assert tasks.task(MazeConfig(task="spirl40")).radius == 2.0


def test_start_noise():
    simpl = observed(make(MazeConfig(task="simpl20-12-7"), seeds=range(2000)))
    offset, velocity = simpl[:, :2] - 10, simpl[:, 2:]
    assert np.abs(offset).max() <= 0.1 + 1e-6
    assert offset.std() == pytest.approx(0.1 / np.sqrt(3), rel=0.05)
    assert velocity.std() == pytest.approx(0.1, rel=0.05)


def test_skimo_starts_in_walls_unless_rejected():
    layout = layouts.named("spirl40")
    task = replace(tasks.SKIMO40, settling_steps=0)
    everywhere = MazeEnv([task], range(1000)).position
    assert np.abs(everywhere - task.start).max() == pytest.approx(2.0, abs=0.02)
    assert (~free(layout, everywhere)).mean() == pytest.approx(0.25, abs=0.05)
    rejected = MazeEnv([task], range(1000), reject_walls=True).position
    assert free(layout, rejected).all()


@pytest.mark.parametrize("backend", ["twin", "mujoco"])
def test_a_reset_of_skimo_ends_with_a_step_in_which_walls_push_the_ball(backend):
    env = make(MazeConfig(task="skimo40", backend=backend), seeds=range(200))
    drawn = MazeEnv([replace(env.task, settling_steps=0)], range(200)).position
    moved = np.abs(env.position - drawn).max(axis=1)
    from_grid = np.abs(drawn - CELL_CENTRE - np.floor(drawn - CELL_CENTRE) - 0.5)  # of the cells' borders
    inside = ~free(env.layout, drawn) & (from_grid.min(axis=1) < 0.15)
    outside = free(env.layout, drawn) & (from_grid.min(axis=1) > 0.15)
    assert inside.sum() > 10
    assert outside.sum() > 10
    assert (moved[inside] > 1e-3).all()
    assert not moved[outside].any()


def test_a_world_is_the_same_alone_and_in_a_batch():
    config = MazeConfig(task="simpl20-12-7")
    batch, alone = make(config, seeds=[3, 4, 5]), make(config, seeds=[4])
    actions = np.random.default_rng(0).uniform(-1, 1, (200, 3, 2))
    for step, action in enumerate(actions):
        if step == 100:
            batch.reset(np.array([True, True, False]))
            alone.reset()
        together, single = batch.step(action), alone.step(action[1:2])
        assert np.array_equal(together.observation["observation"][1], single.observation["observation"][0])


def test_seeds_decide_the_episodes():
    config = MazeConfig(task="simpl20-12-7")
    same = [observed(make(config, seeds=[9])) for _ in range(2)]
    assert np.array_equal(*same)
    assert not np.array_equal(same[0], observed(make(config, seeds=[10])))
    env = make(config, seeds=[9])
    second = env.reset()["observation"]
    assert not np.array_equal(same[0], second)


def test_inactive_worlds_are_untouched():
    env = make(MazeConfig(), seeds=range(4))
    roll(env, 50)
    before, elapsed = observed(env), env.elapsed.copy()
    roll(env, 20, active=np.array([True, False, True, False]))
    after = observed(env)
    assert np.array_equal(before[1::2], after[1::2])
    assert (np.abs(before[::2] - after[::2]).max(axis=1) > 0).all()
    assert (env.elapsed - elapsed).tolist() == [20, 0, 20, 0]


@pytest.mark.parametrize("backend", ["twin", "mujoco"])
def test_restored_state_has_the_same_future(backend):
    def future(env):
        first = roll(env, 100, seed=1)
        return first, env.reset()["observation"], roll(env, 50, seed=2), env.elapsed.copy()

    config = MazeConfig(task="simpl20-12-7", backend=backend)
    env = make(config, seeds=range(5))
    roll(env, 80)
    state = env.get_state()
    expected = future(env)
    other = make(config, seeds=range(50, 55))
    other.set_state(state)
    for ours, theirs in zip(expected, future(other), strict=True):
        assert np.array_equal(ours, theirs)


def test_observations_are_not_written_to_again():
    env = make(MazeConfig(), seeds=[0])
    first = env.step(np.ones((1, 2))).observation["observation"]
    kept = first.copy()
    env.step(np.ones((1, 2)))
    assert np.array_equal(first, kept)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"radius": 0.0}, "env.radius is 0.0; it must be positive"),
        ({"radius": float("nan")}, "env.radius is nan; it must be positive"),
        ({"horizon": -1}, "env.horizon is -1; it must be at least 1"),
        ({"backend": "numpy"}, "env.backend is 'numpy'; choose one of twin, mujoco"),
        ({"data": DemoConfig(layouts="fixed")}, "env.data.layouts is 'fixed'; choose one of task, random"),
        ({"data": DemoConfig(trajectories=0)}, "env.data.trajectories is 0; it must be at least 1"),
        ({"data": DemoConfig(max_steps=20)}, "env.data.max_steps is 20; it must be at least 50"),
        ({"data": DemoConfig(action_noise=-1)}, "env.data.action_noise is -1; it must be at least 0"),
    ],
)
def test_options_beyond_their_limits(options, message):
    with pytest.raises(InputError) as error:
        limits.check(MazeConfig(**options), "env")
    assert str(error.value) == message


def test_an_unknown_task_names_the_close_ones():
    with pytest.raises(InputError, match="did you mean spirl40"):
        make(MazeConfig(task="spirl4"), seeds=[0])


def test_goals_must_be_free_cells():
    for goal in ((0, 5), (7, 3), (22, 3), (-1, 3)):
        with pytest.raises(InputError, match=r"goal .* is not a free cell"):
            replace(tasks.SIMPL20, goal=goal)


def test_listing_loads_nothing_heavy():
    code = (
        "import sys, envs.maze, envs.maze.demos;"
        "print([m for m in ('torch', 'mujoco', 'gymnasium', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert set(ENV.tasks) == set(tasks.TASKS)


def test_film_shows_agent_trail_and_goal():
    env = make(MazeConfig(task="simpl20-12-7"), seeds=[0])
    path = roll(env, 400)[:, 0]
    frames = env.film(path)
    assert frames.shape == (150, 220, 220, 3)
    assert frames.dtype == np.uint8
    agent = np.array([226, 84, 58])
    for index, state in ((0, path[0]), (-1, path[-1])):
        rows, columns = np.nonzero((frames[index] == agent).all(axis=2))
        assert columns.mean() / 10 - 0.7 == pytest.approx(state[0], abs=0.1)
        assert (219 - rows.mean()) / 10 - 0.7 == pytest.approx(state[1], abs=0.1)
    corners = frames[0][::-1][1::10, 1::10].swapaxes(0, 1)
    far_from_goal = np.hypot(*(np.indices((22, 22)) - np.array([12, 7])[:, None, None])) > 2.5
    assert np.array_equal((corners == [58, 66, 84]).all(axis=2)[far_from_goal], env.layout[far_from_goal])
    assert (frames[0] != frames[-1]).any(axis=2).sum() > 300, "the trail is missing"
    assert len(env.film(path[:1])) == 1


def test_drawing_has_walls_goal_and_paths_to_scale():
    env = make(MazeConfig(task="simpl20-12-7"), seeds=[0, 1])
    axes = Figure().subplots()
    assert env.draw(axes, list(roll(env, 100).swapaxes(0, 1)))
    assert len(axes.collections) == 2
    assert tuple(axes.patches[0].get_center()) == (12, 7)
    assert axes.patches[0].get_radius() == 1.0
    assert axes.get_aspect() == 1
    assert axes.get_xlim() == (-0.7, 21.3)


def test_the_goals_drawn_are_those_of_all_tasks_or_of_one():
    env = make(MazeConfig(task="simpl20-train10"), seeds=[0])
    path = [np.zeros((3, 4))]
    every, one = Figure().subplots(1, 2)
    env.draw(every, path)
    env.draw(one, path, env.info.tasks.test_indices[0])
    centres = [[tuple(circle.get_center()) for circle in axes.patches] for axes in (every, one)]
    assert len(set(centres[0])) == len(env.info.tasks)
    assert centres[1] == [tuple(int(word) for word in env.info.tasks.test[0].split("-")[1:])]


def test_worlds_of_a_distribution_have_the_goals_of_their_tasks():
    env = make(MazeConfig(task="simpl20-train20"), seeds=range(3))
    names = env.info.tasks.train + env.info.tasks.test
    assert len(names) == 30
    pursued = [names.index(tasks.simpl_name(goal)) for goal in ((14, 12), (20, 16), (12, 7))]
    env.reset(tasks=np.array(pursued))
    env.position[:] = (14.0, 12.4)
    env.velocity[:] = 0
    first = env.step(np.zeros((3, 2)))
    assert (first.reward.tolist(), first.terminated.tolist()) == ([1, 0, 0], [True, False, False])
    env.position[:] = (12.0, 7.4)
    env.velocity[:] = 0
    assert env.step(np.zeros((3, 2)), np.array([False, False, True])).reward.tolist() == [0, 0, 1]


def test_images_of_a_distribution_are_refused():
    with pytest.raises(InputError, match="shows where the goal is"):
        make(MazeConfig(task="simpl20-train20", images=True), seeds=[0])
