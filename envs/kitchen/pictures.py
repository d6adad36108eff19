"""Pictures of the kitchen, rendered without a display. Nothing here runs while training steps."""

import functools
import sys
import warnings
from typing import TYPE_CHECKING

import mujoco
import numpy as np

from envs.kitchen import model
from envs.kitchen.credit import STATE_DIM
from lightning_skills.data.batch_env import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, HEIGHT = 240, 180
DISTANCE, AZIMUTH, ELEVATION, LOOK_AT = 2.2, 70.0, -35.0, (-0.2, 0.5, 2.0)
"""Where D4RL looks from."""
MAX_FRAMES = 94
"""Of a film, every third step of an episode; each takes some 20 ms."""
ROWS, COLUMNS = 3, 2
"""Pictures in a plot, in the order of reading."""


class Camera:
    """Renders states of the kitchen on the CPU or GPU, without shadows and reflections, which cost a second a frame.

    Raises:
        ImportError, RuntimeError, AttributeError: if the machine has no OpenGL that needs no display.
    """

    def __init__(self) -> None:
        if sys.platform == "linux":
            from mujoco.egl import GLContext  # whatever MUJOCO_GL says: a display is not to be expected
        else:
            from mujoco import GLContext
        self._model = model.whole()
        self._model.vis.quality.offsamples = 0
        self._model.vis.quality.shadowsize = 0
        self._model.vis.global_.offwidth, self._model.vis.global_.offheight = WIDTH, HEIGHT
        self._data = mujoco.MjData(self._model)
        self._gl = GLContext(WIDTH, HEIGHT)
        self._gl.make_current()
        self._context = mujoco.MjrContext(self._model, mujoco.mjtFontScale.mjFONTSCALE_100)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)
        self._scene = mujoco.MjvScene(self._model, maxgeom=500)
        for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION):
            self._scene.flags[flag] = 0
        self._options = mujoco.MjvOption()
        self._view = mujoco.MjvCamera()
        self._view.distance, self._view.azimuth, self._view.elevation = DISTANCE, AZIMUTH, ELEVATION
        self._view.lookat[:] = LOOK_AT

    def shoot(self, state: Array) -> Array:
        """A picture ``[height, width, 3]`` uint8 of a state ``[S]``, of which the first 30 are joints."""
        self._data.qpos[:] = state[:STATE_DIM]
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_camlight(self._model, self._data)
        everything = mujoco.mjtCatBit.mjCAT_ALL
        mujoco.mjv_updateScene(self._model, self._data, self._options, None, self._view, everything, self._scene)
        self._gl.make_current()
        image = np.empty((HEIGHT, WIDTH, 3), dtype=np.uint8)
        viewport = mujoco.MjrRect(0, 0, WIDTH, HEIGHT)
        mujoco.mjr_render(viewport, self._scene, self._context)
        mujoco.mjr_readPixels(image, None, viewport, self._context)
        return np.flipud(image)


@functools.cache
def only_camera() -> Camera:
    """The camera of this process; each would take 350 MB."""
    return Camera()


def open_camera() -> Camera | None:
    """A camera, or None, with a warning, where this machine cannot render: a run should not fail for its pictures."""
    try:
        return only_camera()
    except Exception as error:  # what a driver fails with is of many kinds, MuJoCo's and OpenGL's own among them
        warnings.warn(f"no pictures of the kitchen: cannot render without a display here ({error})", stacklevel=2)
        return None


def draw(axes: "Axes", camera: Camera, trajectory: Array) -> None:
    """Draw a few pictures of a trajectory ``[T, S]``, evenly over its time, into a plot."""
    shown = np.linspace(0, len(trajectory) - 1, ROWS * COLUMNS).round().astype(int)
    images = np.stack([camera.shoot(trajectory[index]) for index in shown])
    grid = images.reshape(ROWS, COLUMNS, HEIGHT, WIDTH, 3).swapaxes(1, 2)
    axes.imshow(grid.reshape(ROWS * HEIGHT, COLUMNS * WIDTH, 3))
    axes.set(xticks=[], yticks=[])


def film(camera: Camera, trajectory: Array) -> Array:
    """Frames ``[F, height, width, 3]`` uint8 of a trajectory ``[T, S]``, ``F <= 94``."""
    shown = np.unique(np.linspace(0, len(trajectory) - 1, min(len(trajectory), MAX_FRAMES)).astype(int))
    return np.stack([camera.shoot(trajectory[index]) for index in shown])
