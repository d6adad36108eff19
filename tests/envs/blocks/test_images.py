"""Images of block stacking against brute force and MuJoCo's camera; scenes of the env and of data sets."""

import itertools
import subprocess
import sys
from dataclasses import replace

import mujoco
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
VIEW = np.tan(np.pi / 8)
COLOURS = np.array([[255, 255, 255], [0, 0, 0], [165, 125, 85], [60, 80, 105]]) / 127.5 - 1.0
"""Of blocks, gripper, table and what is behind."""
PALM, FINGER, BLOCK = (0.04, 0.075, 0.02), (0.03, 0.006, 0.045), (0.04, 0.04, 0.04)
"""Half extents."""


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


def boxes(gripper, opening, blocks):
    """Centres (y, z) and half extents of all but the table."""
    fingers = [(gripper[0] + side * (opening + 0.006), gripper[1] - 0.095) for side in (-1, 1)]
    return [((gripper[0], gripper[1] - 0.03), PALM), *[(f, FINGER) for f in fingers], *[(b, BLOCK) for b in blocks]]


def camera(gripper):
    """Where the authors' camera is, and its directions to the right, upwards and backwards ``[3, 3]``, in columns."""
    at, target = np.array([0.6, gripper[0], gripper[1] - 0.1]), np.array([0.0, gripper[0], gripper[1] - 0.2])
    backwards = (at - target) / np.linalg.norm(at - target)
    right = np.array([0.0, 1.0, 0.0])
    return at, np.stack([right, np.cross(backwards, right), backwards], axis=1)


def pinhole(gripper, x, y, z):
    """Where a camera shows points ``[...]``: to the right and upwards, 1 being as far away as its picture's plane."""
    at, axes = camera(gripper)
    right, up, backwards = np.moveaxis((np.stack(np.broadcast_arrays(x, y, z), axis=-1) - at) @ axes, -1, 0)
    return np.stack([right, up]) / -backwards


def pixels(shown, samples):
    """The picture ``[3, 32, 32]`` of what (a row of COLOURS) each of ``[32 * samples, 32 * samples]`` points shows."""
    shown = shown.reshape(32, samples, 32, samples)
    return (np.stack([(shown == kind).mean(axis=(1, 3)) for kind in range(4)], axis=-1) @ COLOURS).transpose(2, 0, 1)


def points(samples):
    """To the right and upwards, from the left and from the top."""
    along = VIEW * (2 * (np.arange(32 * samples) + 0.5) / (32 * samples) - 1)
    return along[None], -along[:, None]


def brute_force(gripper, opening, blocks, samples):
    """Rectangles, as high as the corners of a box are seen and as wide as its middle; in which pixels several lie."""
    right, up = points(samples)

    def within(rows, columns):
        return (up > rows.min()) & (up < rows.max()) & (right > columns.min()) & (right < columns.max())

    def box(centre, half):
        x, y, z = (at + size * np.array([-1, 1]) for at, size in zip((0.0, *centre), half, strict=True))
        (_, rows), (columns, _) = pinhole(gripper, x[:, None], 0.0, z), pinhole(gripper, 0.0, y, centre[1])
        return within(rows, columns)

    (_, far), (sides, _) = pinhole(gripper, -0.6, 0.0, 0.8), pinhole(gripper, 0.0, np.array([-0.6, 0.6]), 0.8)
    palm, left, right_finger, *white = itertools.starmap(box, boxes(gripper, opening, blocks))
    table = within(np.array([-1.0, far]), sides)
    several = np.sum([palm, left, right_finger, *white], axis=0) > 1
    image = pixels(np.select([np.any(white, axis=0), palm | left | right_finger, table], [0, 1, 2], 3), samples)
    return image, several.reshape(32, samples, 32, samples).any(axis=(1, 3))


def cast(gripper, opening, blocks, samples):
    """What MuJoCo's camera with its default field of view sees, ray by ray."""
    solid = [((0.0, 0.4), (0.6, 0.6, 0.4)), *boxes(gripper, opening, blocks)]
    geoms = [f'<geom type="box" pos="0 {y} {z}" size="{a} {b} {c}"/>' for (y, z), (a, b, c) in solid]
    y, z = gripper
    model = mujoco.MjModel.from_xml_string(
        f"""<mujoco><worldbody>{"".join(geoms)}<body name="target" pos="0 {y} {z - 0.2}"/>
        <camera mode="targetbody" target="target" pos="0.6 {y} {z - 0.1}"/></worldbody></mujoco>"""
    )
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    scale = np.tan(np.radians(model.cam_fovy[0]) / 2) / VIEW
    rays = np.stack(np.broadcast_arrays(*points(samples), -1.0 / scale), axis=-1) @ data.cam_xmat[0].reshape(3, 3).T
    hit, distance = np.empty(rays[..., 0].size, dtype=np.int32), np.empty(rays[..., 0].size)
    mujoco.mj_multiRay(
        *(model, data, data.cam_xpos[0], rays.ravel(), None, 1, -1, hit, distance, None, len(hit), mujoco.mjMAXVAL)
    )
    return pixels(np.select([hit < 0, hit == 0, hit < 4], [3, 2, 1], 0).reshape(32 * samples, -1), samples)


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
        ((-0.51, 1.49), 0.013, []),
    ],
)
def test_every_rectangle_is_averaged_exactly_over_every_pixel(gripper, opening, blocks):
    expected, several = brute_force(gripper, opening, blocks, samples=64)
    wrong = np.abs(drawn(frame(gripper, opening, blocks))[0] - expected)
    assert wrong[:, ~several].max() < 0.04
    assert wrong.max() < 0.3, "at the sides of what overlaps"
    assert several.sum() < 40


def test_the_camera_is_mujocos():
    model = mujoco.MjModel.from_xml_string(
        """<mujoco><worldbody><body name="target" pos="0 0.3 1.0"/>
        <camera mode="targetbody" target="target" pos="0.6 0.3 1.1"/></worldbody></mujoco>"""
    )
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    at, axes = camera((0.3, 1.2))
    assert data.cam_xpos[0] == pytest.approx(at)
    assert data.cam_xmat[0].reshape(3, 3) == pytest.approx(axes)
    assert np.tan(np.radians(model.cam_fovy[0]) / 2) == pytest.approx(VIEW)


@pytest.mark.parametrize(
    ("gripper", "opening", "blocks"),
    [
        ((0.0, 1.32), 0.06, [(0.0, 0.84), (0.21, 0.84), (-0.15, 0.84)]),
        ((0.3, 1.3), 0.04, [(0.3, 1.19), (0.3, 0.84), (0.3, 0.92), (0.48, 0.84)]),
        ((-0.51, 1.49), 0.013, []),
    ],
)
def test_rectangles_are_close_to_what_mujocos_camera_sees(gripper, opening, blocks):
    seen = cast(gripper, opening, blocks, samples=8)
    assert np.abs(drawn(frame(gripper, opening, blocks))[0] - seen).mean() < 0.03


@pytest.mark.parametrize("height", [1.2, 1.3, 1.32, 1.34, 1.36, 1.4])
def test_a_block_on_the_table_shows_as_many_rows_as_mujocos_camera_sees_of_it(height):
    """Where grippers travel, at 1.32, it decides to which block a prior leads."""
    scene = (0.0, height), 0.06, [(0.0, 0.84)]
    empty = frame((0.0, height), 0.06)

    def rows(image):
        table = drawn(empty)[0][2, :, 15:17]
        return ((image[2, 16:, 15:17] - table[16:]) / (1.0 - table[16:])).sum() / 2

    expected = rows(cast(*scene, samples=16))
    assert rows(drawn(frame(*scene))[0]) == pytest.approx(expected, abs=0.07)
    assert bool(expected > 0.9) is (height < 1.37)


def test_the_table_tells_the_grippers_height_as_high_as_demonstrations_go():
    images = drawn(*(frame((0.0, height)) for height in np.arange(0.95, 1.5, 0.05)))
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
    rows, columns = np.nonzero(np.isclose(still[0], 1.0, atol=1e-3))
    assert columns.min() > 18
    assert columns.max() < 26
    assert 13 < rows.mean() < 18, "0.2 below the gripper is the middle"
    far = drawn(frame(blocks=[(0.1, 1.1)]))[0]
    assert np.nonzero(np.isclose(far[0], 1.0, atol=1e-3))[0].mean() < rows.mean() - 5


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
