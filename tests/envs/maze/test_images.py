"""Images of the maze against brute force; scenes of the env and of data sets."""

import itertools
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from envs.maze import ENV, demos, layouts, tasks
from envs.maze.config import DemoConfig, MazeConfig
from envs.maze.env import MazeEnv, make
from envs.maze.images import MazeRenderer, scenes
from lightning_skills.data import trajectories
from lightning_skills.errors import InputError
from lightning_skills.plugins import resolve

NOWHERE = np.full((1, 2), np.inf)
IMAGES = MazeConfig(task="simpl20-12-7", images=True)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def brute_force(layout, goal, position, samples, camera=None):
    """A frame ``[3, 32, 32]``: colours at many points of each pixel, in the coordinates of D4RL's model."""
    camera = np.asarray(position if camera is None else camera, dtype=np.float64)
    window = 10 * np.tan(np.pi / 8)
    away = window * (0.5 - (np.arange(32 * samples) + 0.5) / (32 * samples))  # upwards x, to the left y
    x, y = camera[0] + 1.2 + away[:, None], camera[1] + 1.2 + away
    box = [np.rint(along - 1.0).astype(int) for along in (x, y)]  # walls stand at index + 1
    inside = np.logical_and(*((index >= 0) & (index < len(layout)) for index in box))
    wall = ~inside | layout[tuple(index.clip(0, len(layout) - 1) for index in box)]
    even = (np.floor(x / 2.5) + np.floor(y / 2.5)) % 2 == 0
    target = np.hypot(x - (goal[0] + 1.0), y - (goal[1] + 1.0)) < 0.2
    agent = np.hypot(x - (position[0] + 1.2), y - (position[1] + 1.2)) < 0.2
    shown = np.select([agent, target, wall, even], [0, 1, 2, 3], 4)
    colours = np.array([[78, 156, 78], [155, 78, 78], [223, 162, 101], [25, 51, 76], [51, 76, 102]]) / 127.5 - 1.0
    pixels = shown.reshape(32, samples, 32, samples)
    shares = np.stack([(pixels == kind).mean(axis=(1, 3)) for kind in range(5)], axis=-1)
    return (shares @ colours).transpose(2, 0, 1)


def now(renderer, *positions, index=0.0):
    """The newest frames ``[n, 3, 32, 32]`` at positions, the camera above the agent."""
    scene = torch.tensor([[0.0] * 4 + [*position, *position, index] for position in positions], dtype=torch.float32)
    return renderer(scene)[:, 3:]


def mazes(count, seed):
    rng = np.random.default_rng(seed)
    return np.stack([layouts.random_layout(20, rng) for _ in range(count)])


def roll(env, steps, seed=0, active=None):
    rng = np.random.default_rng(seed)
    actions = rng.uniform(-1, 1, (steps, env.num_worlds, 2))
    return [env.step(action, active).observation for action in actions]


def test_walls_and_floor_are_averaged_exactly_over_every_pixel():
    drawn = mazes(6, seed=0)
    drawn[1] = False  # without a border
    renderer = MazeRenderer(drawn, NOWHERE.repeat(6, axis=0))
    inside = np.random.default_rng(1).uniform(-0.7, 21.3, (6, 2))
    inside[:3] = [[-0.65, -0.7], [21.25, 3.8], [8.3, 21.3]]  # at the border
    blank = np.ones((32, 32), dtype=bool)
    blank[14:18, 14:18] = False  # the agent's disc has no exact edge
    for index, position in enumerate(inside):
        expected = brute_force(drawn[index], (99, 99), position, samples=32)
        assert np.abs(now(renderer, position, index=index)[0].numpy() - expected)[:, blank].max() < 0.05


@pytest.mark.parametrize(
    "away", [(0.0, 0.0), (0.9, -0.43), (-1.31, 1.17), (2.0, 0.2), (-2.1, -1.9), (0.13, 2.14), (2.28, 0.0)]
)
def test_discs_lie_on_top_with_soft_edges(away):
    layout = np.zeros((20, 20), dtype=bool)  # a disc's edge and a wall's mix in a pixel as if independent
    position = np.array([12.0, 7.0]) - away
    expected = brute_force(layout, (12, 7), position, samples=32)
    image = now(MazeRenderer(layout[None], np.array([[12, 7]])), position)[0].numpy()
    assert np.abs(image - expected).max() < 0.08


def test_the_target_is_seen_only_from_near():
    layout = np.zeros((30, 30), dtype=bool)
    goal = np.array([14.0, 15.0])
    seeing, blind = MazeRenderer(layout[None], goal[None]), MazeRenderer(layout[None], NOWHERE)
    disc = goal - 0.2  # drawn in the middle of the cell
    reach = 2.071 + 0.2
    for direction in np.array([[1, 0], [-1, 0], [0, 1], [0, -1]]):
        near, far = (disc + direction * (reach + by) for by in (-0.1, 0.1))
        assert torch.equal(now(seeing, far), now(blind, far))
        assert not torch.equal(now(seeing, near), now(blind, near))
    assert not torch.equal(now(seeing, disc + 0.5), now(blind, disc + 0.5))


def test_the_newest_frame_comes_last():
    renderer = MazeRenderer(layouts.named("simpl20")[None], np.array([[12, 7]]))
    before, after = (10.0, 6.3), (10.04, 6.28)
    image = renderer(torch.tensor([*before, *before, *after, *after, 0.0]))
    assert image.shape == renderer.image_shape == (6, 32, 32)
    assert image.dtype == torch.float32
    assert torch.equal(image[3:], now(renderer, after)[0])
    assert torch.equal(image[:3], now(renderer, before)[0])
    assert not torch.equal(image[3:], image[:3])


def test_any_leading_shape_no_gradient_and_nothing_to_save():
    renderer = MazeRenderer(mazes(3, seed=4), np.array([[12, 7], [3, 4], [5, 5]]))
    scene = torch.rand(4, 5, 9) * 20
    scene[..., 8] = torch.arange(20).view(4, 5) % 3
    image = renderer(scene.requires_grad_())
    assert image.shape == (4, 5, 6, 32, 32)
    assert not image.requires_grad
    assert image.abs().max() <= 1.0
    assert torch.equal(image[2, 3], renderer(scene[2, 3]))
    with torch.autocast("cpu"):
        assert torch.equal(renderer(scene), image)
    assert renderer(scene[:0]).shape == (0, 5, 6, 32, 32)
    assert not renderer.state_dict()
    assert not list(renderer.parameters())


def test_what_repeats_looks_the_same():
    tile = np.random.default_rng(3).random((5, 5)) < 0.4  # walls repeat after 5 cells, as the floor does
    renderer = MazeRenderer(np.tile(tile, (5, 5))[None], NOWHERE)
    here = np.array([7.37, 8.81])
    image = now(renderer, here)
    for moved in ([5, 0], [0, 5], [5, 5], [5, -5]):
        assert torch.allclose(now(renderer, here + moved), image, atol=1e-4)
    assert not torch.allclose(now(renderer, [*here[:1] + 1, here[1]]), image, atol=0.1)


def test_motion_of_a_hundredth_of_a_cell_shows_and_x_runs_upwards_y_to_the_left():
    layout = np.zeros((12, 12), dtype=bool)
    layout[7], layout[:, 8] = True, True  # from x = 6.3 and from y = 7.3 on
    renderer = MazeRenderer(layout[None], NOWHERE)
    still, up, left, higher = now(renderer, (5.0, 6.0), (5.01, 6.0), (5.0, 6.01), (5.4, 6.0))
    assert (up - still).abs().max() > 0.05
    assert (left - still).abs().max() > 0.05
    wall = still[0] > 0.7
    assert wall[:3, 10:].all()
    assert wall[8:, :3].all()
    assert not wall[14:, 8:].any(), "the walls are above and to the left"
    assert (higher[0] > 0.7).sum() > wall.sum(), "they come closer while the agent moves up"
    assert (higher[0, :, 20] > 0.7).nonzero().max() > wall[:, 20].nonzero().max()


def test_scenes_of_the_env():
    env = make(IMAGES, seeds=[1, 2, 3])
    assert env.info.observation_shapes == {"observation": (4,), "scene": (9,)}
    first = env.observe()
    assert first["scene"].dtype == np.float32
    for column in range(0, 8, 2):
        assert np.array_equal(first["scene"][:, column : column + 2], first["observation"][:, :2])
    steps = [first, *roll(env, 30)]
    for before, after in itertools.pairwise(steps):
        assert np.array_equal(after["scene"][:, :4], before["scene"][:, 4:8])
        assert np.array_equal(after["scene"][:, 4:6], after["observation"][:, :2])
        camera = 0.8 * before["scene"][:, 6:8] + 0.2 * after["observation"][:, :2]
        assert np.allclose(after["scene"][:, 6:8], camera, atol=1e-5)
        assert not after["scene"][:, 8].any()
    kept = steps[-1]["scene"].copy()
    again = env.reset(np.array([True, False, False]))["scene"]
    assert np.array_equal(again[0, :8], np.tile(again[0, :2], 4))
    assert np.array_equal(again[1:], kept[1:])
    paused = roll(env, 5, active=np.array([True, False, True]))[-1]["scene"]
    assert np.array_equal(paused[1], kept[1])
    assert np.array_equal(steps[-1]["scene"], kept), "written to after it was handed out"


def test_a_reset_with_a_settling_step_shows_one_frame_twice():
    scene = make(MazeConfig(task="skimo40", images=True), seeds=range(50)).observe()["scene"]
    assert np.array_equal(scene[:, :8], np.tile(scene[:, :2], 4))


def test_the_agent_leaves_the_middle_in_the_direction_of_its_motion():
    env = MazeEnv([tasks.SPIRL40], [0], images=True)
    env.set_state({**env.get_state(), "position": np.array([[23.0, 22.0]]), "frames": np.tile([23.0, 22.0], (1, 2, 2))})
    for _ in range(60):  # to the left in the picture, through an empty room, at a steady speed in the end
        scene = env.step(np.array([[0.0, 1.0]])).observation["scene"][0]
    moved, lag = scene[4:6] - scene[:2], scene[4:6] - scene[6:8]
    assert moved[1] > 0.03
    assert lag == pytest.approx(4 * moved, rel=0.1)
    image = env.renderer(torch.tensor(scene))[3:].numpy()
    assert np.abs(image - brute_force(env.layout, env.task.goal, scene[4:6], 16, scene[6:8])).mean() < 0.002
    green = image[1] - image[0] > 0.4
    assert green[:, :16].sum() > 2 * green[:, 16:].sum()
    assert green[:16].sum() == pytest.approx(green[16:].sum(), abs=2)


def test_the_env_draws_its_own_layout_and_goal():
    env = make(IMAGES, seeds=[0])
    roll(env, 30)
    scene = env.observe()["scene"]
    expected = brute_force(env.layout, env.task.goal, scene[0, 4:6], 16, scene[0, 6:8])
    assert np.abs(env.renderer(torch.tensor(scene))[0, 3:].numpy() - expected).mean() < 0.002


@pytest.mark.parametrize("backend", ["twin", "mujoco"])
def test_a_restored_env_shows_the_same(backend):
    config = replace(IMAGES, backend=backend)
    env, other = make(config, seeds=[1, 2]), make(config, seeds=[8, 9])
    roll(env, 20)
    state = env.get_state()
    expected = [env.observe(), *roll(env, 20, seed=1)]
    roll(other, 3)
    other.set_state(state)
    for ours, theirs in zip(expected, [other.observe(), *roll(other, 20, seed=1)], strict=True):
        assert np.array_equal(ours["scene"], theirs["scene"])
    env.set_state(state)
    assert np.array_equal(env.observe()["scene"], expected[0]["scene"]), "the state shares memory with the env"


def test_a_world_looks_the_same_alone_and_in_a_batch():
    batch, alone = make(IMAGES, seeds=[3, 4, 5]), make(IMAGES, seeds=[4])
    for step, action in enumerate(np.random.default_rng(0).uniform(-1, 1, (60, 3, 2))):
        if step == 30:
            batch.reset(np.array([False, True, True]))
            alone.reset()
        together, single = batch.step(action).observation["scene"], alone.step(action[1:2]).observation["scene"]
        assert np.array_equal(together[1], single[0])
    drawn = batch.renderer(torch.tensor(together))
    assert torch.allclose(drawn[1], alone.renderer(torch.tensor(single))[0], atol=1e-6)


def test_without_images_nothing_changes_and_no_torch_is_loaded():
    env, seeing = make(replace(IMAGES, images=False), seeds=[7]), make(IMAGES, seeds=[7])
    assert env.renderer is None
    assert list(env.observe()) == ["observation"]
    assert env.info.observation_shapes == {"observation": (4,)}
    assert env.get_state().keys() == {"position", "velocity", "elapsed", "task_index", "rng"}
    for ours, theirs in zip(roll(env, 40), roll(seeing, 40), strict=True):
        assert np.array_equal(ours["observation"], theirs["observation"])
    code = (
        "import sys, numpy; from envs.maze.env import make; from envs.maze.config import MazeConfig;"
        "env = make(MazeConfig(), [0]); env.step(numpy.zeros((1, 2))); env.reset(); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_scenes_of_data_are_what_the_env_showed(tmp_path):
    env = make(IMAGES, seeds=range(4))
    shown = [env.observe(), *roll(env, 25)]
    goal = np.array(env.task.goal, dtype=np.float32)
    pieces = [
        {
            "observation": np.stack([step["observation"][world] for step in shown[: 20 + world]]),
            "action": np.zeros((20 + world, 2), dtype=np.float32),
            "episode/goal": goal,
        }
        for world in range(4)
    ]
    expected = np.concatenate([[step["scene"][world] for step in shown[: 20 + world]] for world in range(4)])
    scene, renderer = resolve(ENV.scenes)(IMAGES, trajectories.write(tmp_path / "data", {}, pieces))
    assert scene.dtype == np.float32
    assert np.array_equal(scene[:, [0, 1, 4, 5]], expected[:, [0, 1, 4, 5]])
    assert np.allclose(scene, np.c_[expected[:, :8], np.repeat(np.arange(4), [20, 21, 22, 23])], atol=1e-5)
    drawn, seen = renderer(torch.tensor(scene)), env.renderer(torch.tensor(expected))
    assert torch.allclose(drawn, seen, atol=1e-4)


def test_every_trajectory_has_its_own_layout_and_goal(tmp_path):
    config = MazeConfig(images=True, data=DemoConfig(trajectories=12, layouts="random", max_steps=60))
    dataset = trajectories.write(tmp_path / "data", {}, demos.generate(config))
    scene, renderer = scenes(config, dataset)
    assert len(scene) == dataset.lengths.sum()
    for trajectory in (0, 5, len(dataset.lengths) - 1):
        row = dataset.starts[trajectory] + 7
        layout = dataset.episodes["episode/layout"][trajectory].astype(bool)
        position, goal = dataset.steps["observation"][row, :2], dataset.episodes["episode/goal"][trajectory]
        image = renderer(torch.tensor(scene[row]))[3:].numpy()
        assert np.abs(image - brute_force(layout, goal, position, 32, scene[row, 6:8])).mean() < 0.002
        scene[row, 4:8] = [*goal, *goal]
        image = renderer(torch.tensor(scene[row]))[3:].numpy()
        assert np.abs(image - brute_force(layout, goal, goal, samples=32)).mean() < 0.002


def write(path, observation, **episode):
    piece = {"observation": np.asarray(observation, dtype=np.float32), "action": np.zeros((len(observation), 2))}
    return trajectories.write(path, {}, [{**piece, **{f"episode/{key}": value for key, value in episode.items()}}])


def test_data_without_goals_or_layouts(tmp_path):
    at_goal = np.tile([12.0, 7.0, 0.0, 0.0], (3, 1))
    dataset = write(tmp_path / "data", at_goal)
    assert scenes(replace(IMAGES, images=False), dataset) is None
    scene, renderer = scenes(IMAGES, dataset)
    expected = brute_force(layouts.named("simpl20"), (99, 99), (12.0, 7.0), samples=16)
    assert np.abs(renderer(torch.tensor(scene[0]))[3:].numpy() - expected).mean() < 0.002


@pytest.mark.parametrize(
    ("observation", "episode", "message"),
    [
        (np.ones((3, 5)), {}, "observation has 5 columns"),
        (np.ones((3, 4)), {"layout": np.zeros((4, 5), dtype=np.uint8)}, r"episode/layout must be \[M, S, S\]"),
        (np.ones((3, 4)), {"layout": np.zeros(16, dtype=np.uint8)}, r"episode/layout must be \[M, S, S\]"),
        (np.ones((3, 4)), {"goal": np.zeros(3)}, r"episode/goal must be \[M, 2\]"),
        (np.full((3, 4), 30.0), {}, "positions leave the maze"),
        (np.full((3, 4), -1.0), {}, "positions leave the maze"),
    ],
)
def test_data_that_are_not_of_mazes_say_so(tmp_path, observation, episode, message):
    dataset = write(tmp_path / "data", observation, **episode)
    with pytest.raises(InputError, match=message) as error:
        scenes(IMAGES, dataset)
    assert "\n" not in str(error.value)


def test_spirl40_too():
    env = MazeEnv([tasks.SPIRL40], [0], images=True)
    expected = brute_force(env.layout, env.task.goal, (10.0, 24.0), samples=16)
    assert np.abs(env.renderer(torch.tensor(env.observe()["scene"]))[0, 3:].numpy() - expected).mean() < 0.002


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_draws_the_same():
    renderer = MazeRenderer(mazes(3, seed=4), np.array([[12, 7], [3, 4], [5, 5]]))
    scene = torch.rand(20, 9) * 20
    scene[..., 8] = torch.arange(20) % 3
    expected = renderer(scene)
    assert torch.allclose(renderer.cuda()(scene.cuda()).cpu(), expected, atol=2e-3)  # TF32, where it is on
