"""Images of block stacking against brute force and the authors' camera; scenes of the env and of data sets."""

import itertools
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from envs.blocks import ENV
from envs.blocks.config import BlocksConfig
from envs.blocks.env import make
from envs.blocks.images import BlocksRenderer, scenes
from lightning_skills.data import trajectories
from lightning_skills.errors import InputError
from lightning_skills.plugins import resolve

IMAGES = BlocksConfig(task="dense5", images=True)
WINDOW = 2 * np.hypot(0.6, 0.1) * np.tan(np.pi / 8)
WHITE = 240 / 127.5 - 1


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def frame(gripper=(0.0, 1.2), opening=0.06, blocks=()):
    """A frame with 5 blocks; those not given are out of sight."""
    places = np.full((5, 2), 50.0)
    places[: len(blocks)] = blocks or np.empty((0, 2))
    return np.array([*gripper, opening, *places.ravel()])


def drawn(*frames):
    """The newest images ``[n, 3, 32, 32]``."""
    scene = torch.tensor(np.stack([np.concatenate([frame(), now]) for now in frames]), dtype=torch.float32)
    return BlocksRenderer(5)(scene)[:, 3:].numpy()


def brute_force(gripper, opening, blocks, samples):
    """Colours at many points of each pixel; z downwards, y to the right."""
    along = WINDOW * ((np.arange(32 * samples) + 0.5) / (32 * samples) - 0.5)
    y, z = (gripper[0] + along)[None], (gripper[1] - 0.2 - along)[:, None]

    def box(centre_y, centre_z, half_y, half_z):
        return (np.abs(y - centre_y) < half_y) & (np.abs(z - centre_z) < half_z)

    white = np.any([box(*place, 0.04, 0.04) for place in blocks], axis=0)
    eye = gripper[1] - 0.1  # as far before the plane as the table's far edge is behind it
    table = (z < (eye + 0.8) / 2) & (np.abs(y) < 0.6)
    palm = box(gripper[0], gripper[1] - 0.03, 0.075, 0.02)
    fingers = [box(gripper[0] + side * (opening + 0.006), gripper[1] - 0.095, 0.006, 0.045) for side in (-1, 1)]
    shown = np.select([white, palm | fingers[0] | fingers[1], table], [0, 1, 2], 3)
    colours = np.array([[240, 240, 240], [25, 25, 30], [165, 125, 85], [60, 80, 105]]) / 127.5 - 1.0
    pixels = shown.reshape(32, samples, 32, samples)
    shares = np.stack([(pixels == kind).mean(axis=(1, 3)) for kind in range(4)], axis=-1)
    return (shares @ colours).transpose(2, 0, 1)


def roll(env, steps, seed=0):
    rng = np.random.default_rng(seed)
    actions = rng.uniform([-1, -1, -1], [1, 0.5, 1], (steps, env.num_worlds, 3))
    return [env.step(action).observation for action in actions]


@pytest.mark.parametrize(
    ("gripper", "opening", "blocks"),
    [
        ((0.0, 1.2), 0.06, [(0.0, 0.84), (0.21, 0.84), (-0.2, 0.84)]),
        ((0.107, 0.953), 0.0397, [(0.107, 0.84), (0.26, 0.92), (0.262, 0.84)]),
        ((0.48, 1.04), 0.0, [(0.52, 0.84)]),  # by the table's edge
        ((-0.51, 1.55), 0.013, []),
    ],
)
def test_every_rectangle_is_averaged_exactly_over_every_pixel(gripper, opening, blocks):
    image = drawn(frame(gripper, opening, blocks))[0]
    assert np.abs(image - brute_force(gripper, opening, blocks, samples=64)).max() < 0.04


@pytest.mark.parametrize("away", [(0.0, -0.2), (0.0, -0.11), (0.12, -0.3), (-0.15, -0.36), (0.17, -0.1)])
def test_blocks_are_where_the_authors_camera_sees_them(away):
    """A pinhole 0.6 in front of the gripper and 0.1 below it that looks at the point 0.2 below it."""
    gripper = np.array([0.1, 2.0])  # the table is out of sight
    image = drawn(frame(gripper, 0.0, [gripper + away]))[0]
    lit = image.mean(axis=0) - drawn(frame(gripper, 0.0))[0].mean(axis=0)
    rows, columns = np.indices((32, 32)) + 0.5
    centre = np.array([(lit * columns).sum(), (lit * rows).sum()]) / lit.sum()

    forward = np.array([-0.6, 0.0, -0.1]) / np.hypot(0.6, 0.1)
    right, up = np.array([0.0, 1.0, 0.0]), np.cross([0.0, 1.0, 0.0], forward)
    ray = np.array([-0.6, away[0], away[1] + 0.1])
    focal = 16 / np.tan(np.pi / 8)
    expected = 16 + focal * np.array([ray @ right, -(ray @ up)]) / (ray @ forward)
    assert np.hypot(*(centre - expected)) < 1.0


def test_the_table_tells_the_grippers_height_as_high_as_demonstrations_go():
    images = drawn(*(frame((0.0, height)) for height in np.arange(0.95, 1.57, 0.05)))
    rows = ((images[:, 0] - images[-1, 0, 0, 0]).clip(0, None) > 0.2)[:, :, 2].sum(axis=1)
    assert (np.diff(rows) < 0).all()
    assert rows[-1] > 0


def test_a_block_in_the_fingers_is_between_them_below_the_palm():
    image = drawn(frame((0.0, 1.2), 0.04, [(0.0, 1.09)]))[0]
    bright, dark = image[0] > 0.5, image[0] < -0.65
    assert bright[:, 14:18].sum() >= 16
    rows, columns = np.nonzero(bright)
    assert dark[: rows.min(), 14:18].any(), "the palm"
    assert image[0, rows.min() : rows.max(), columns.min() - 2 : columns.min()].min() < -0.55, "the left finger"
    assert image[0, rows.min() : rows.max(), columns.max() + 1 : columns.max() + 3].min() < -0.55, "the right one"


def test_motion_of_a_millimetre_shows_and_y_runs_to_the_right_z_upwards():
    blocks = [(0.1, 1.0)]
    still, right, higher, moved, wider = drawn(
        frame(blocks=blocks),
        frame(blocks=[(0.101, 1.0)]),
        frame(blocks=[(0.1, 1.001)]),
        frame(gripper=(0.001, 1.2), blocks=blocks),
        frame(opening=0.061, blocks=blocks),
    )
    for other in (right, higher, moved, wider):
        assert np.abs(other - still).max() > 0.03
    rows, columns = np.nonzero(np.isclose(still[0], WHITE, atol=1e-3))
    assert columns.min() > 18
    assert columns.max() < 26
    assert 13 < rows.mean() < 18, "0.2 below the gripper is the middle"
    far = drawn(frame(blocks=[(0.1, 1.1)]))[0]
    assert np.nonzero(np.isclose(far[0], WHITE, atol=1e-3))[0].mean() < rows.mean() - 5


def test_the_newest_frame_comes_last():
    renderer, before, after = BlocksRenderer(5), frame((0.0, 1.1)), frame((0.05, 1.08))
    image = renderer(torch.tensor(np.concatenate([before, after]), dtype=torch.float32))
    assert image.shape == renderer.image_shape == (6, 32, 32)
    assert image.dtype == torch.float32
    assert np.array_equal(image[3:], drawn(after)[0])
    assert np.array_equal(image[:3], drawn(before)[0])
    assert not torch.equal(image[3:], image[:3])


def test_any_leading_shape_no_gradient_and_nothing_to_save():
    renderer = BlocksRenderer(11)
    scene = torch.rand(4, 5, 50)
    image = renderer(scene.requires_grad_())
    assert image.shape == (4, 5, 6, 32, 32)
    assert not image.requires_grad
    assert image.abs().max() <= 1.0
    assert torch.allclose(image[2, 3], renderer(scene[2, 3]), atol=1e-6)
    with torch.autocast("cpu"):
        assert torch.equal(renderer(scene), image)
    assert renderer(scene[:0]).shape == (0, 5, 6, 32, 32)
    assert not renderer.state_dict()
    assert not list(renderer.parameters())


def test_five_and_eleven_blocks_look_alike():
    few, many = make(IMAGES, seeds=[0]), make(replace(IMAGES, task="dense11"), seeds=[0])
    assert few.renderer.image_shape == many.renderer.image_shape
    shown = [env.renderer(torch.tensor(env.observe()["scene"])) for env in (few, many)]
    assert torch.allclose(*shown, atol=1e-6), "blocks are 0.2 apart on both tables"
    alone = torch.full((2, 25), 50.0)  # no block in sight
    alone[:, :3] = torch.tensor([[0.2, 1.1, 0.06], [0.5, 1.1, 0.06]])
    inside, by_the_edge = zip(*(BlocksRenderer(n)(alone[:, : 3 + 2 * n].repeat(1, 2)) for n in (5, 11)), strict=True)
    assert torch.equal(*inside)
    assert not torch.allclose(*by_the_edge, atol=0.5), "the table of 5 blocks is smaller"


def test_scenes_of_the_env():
    env = make(IMAGES, seeds=[1, 2, 3])
    assert env.info.observation_shapes == {"observation": (23,), "scene": (26,)}
    shown = [1, 2, 7, *itertools.chain.from_iterable((9 + 3 * block, 10 + 3 * block) for block in range(5))]
    first = env.observe()
    assert first["scene"].dtype == np.float32
    assert np.array_equal(first["scene"][:, :13], first["scene"][:, 13:])
    steps = [first, *roll(env, 20)]
    for before, after in itertools.pairwise(steps):
        assert np.array_equal(after["scene"][:, :13], before["observation"][:, shown])
        assert np.array_equal(after["scene"][:, 13:], after["observation"][:, shown])
    again = env.reset(np.array([True, False, False]))["scene"]
    assert np.array_equal(again[0, :13], again[0, 13:])
    assert np.array_equal(again[1:], steps[-1]["scene"][1:])


def test_without_images_nothing_changes_and_no_torch_is_loaded():
    env, seeing = make(replace(IMAGES, images=False), seeds=[7]), make(IMAGES, seeds=[7])
    assert env.renderer is None
    assert list(env.observe()) == ["observation"]
    for ours, theirs in zip(roll(env, 20), roll(seeing, 20), strict=True):
        assert np.array_equal(ours["observation"], theirs["observation"])
    code = (
        "import sys, numpy; from envs.blocks.env import make; from envs.blocks.config import BlocksConfig;"
        "env = make(BlocksConfig(), [0]); env.step(numpy.zeros((1, 3))); env.reset(); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_scenes_of_data_are_what_the_env_showed_whatever_the_task(tmp_path):
    env = make(IMAGES, seeds=range(3))
    shown = [env.observe(), *roll(env, 12)]
    pieces = [
        {
            "observation": np.stack([step["observation"][world] for step in shown[: 10 + world]]),
            "action": np.zeros((10 + world, 3), dtype=np.float32),
        }
        for world in range(3)
    ]
    expected = np.concatenate([[step["scene"][world] for step in shown[: 10 + world]] for world in range(3)])
    dataset = trajectories.write(tmp_path / "data", {}, pieces)
    for task in ("dense5", "sparse11"):
        scene, renderer = resolve(ENV.scenes)(replace(IMAGES, task=task), dataset)
        assert scene.dtype == np.float32
        assert np.array_equal(scene, expected)
        assert torch.equal(renderer(torch.tensor(scene)), env.renderer(torch.tensor(expected)))
    assert scenes(replace(IMAGES, images=False), dataset) is None


def test_data_that_are_not_of_blocks_say_so(tmp_path):
    piece = {"observation": np.ones((3, 26), dtype=np.float32), "action": np.zeros((3, 3), dtype=np.float32)}
    dataset = trajectories.write(tmp_path / "data", {}, [piece])
    with pytest.raises(InputError, match=r"has 26 columns, not 23 \(5 blocks\) or 41 \(11 blocks\)") as error:
        scenes(IMAGES, dataset)
    assert "\n" not in str(error.value)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_draws_the_same():
    renderer, scene = BlocksRenderer(5), torch.rand(20, 26)
    expected = renderer(scene)
    assert torch.allclose(renderer.cuda()(scene.cuda()).cpu(), expected, atol=2e-3)  # TF32, where it is on
