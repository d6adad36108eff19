"""The point maze as a MuJoCo model: the reference for :mod:`envs.maze.physics`, and the other value of ``backend``."""

import mujoco
import numpy as np
from mujoco.batch import Batch

from envs.maze import physics

Array = np.ndarray

WALL_OFFSET = 1.0
"""World coordinate of a wall box minus its cell's index."""
BODY_OFFSET = WALL_OFFSET - physics.CELL_CENTRE
"""World coordinate of the ball at position zero."""


def model_xml(layout: Array) -> str:
    """MJCF of a layout ``[S, S]``: one box per wall cell, as in D4RL (merged boxes would touch differently)."""
    size = f"0.5 0.5 {physics.WALL_HALF_HEIGHT}"
    walls = "\n".join(
        f'    <geom type="box" pos="{i + WALL_OFFSET} {j + WALL_OFFSET} 0" size="{size}" conaffinity="1"/>'
        for i, j in np.argwhere(layout)
    )
    return f"""
<mujoco model="maze">
  <compiler inertiafromgeom="true" angle="radian"/>
  <option timestep="{physics.TIMESTEP}" gravity="0 0 0" integrator="Euler"/>
  <default>
    <joint type="slide" damping="{physics.DAMPING}" limited="false"/>
    <geom density="{physics.DENSITY}" margin="{physics.MARGIN / 2}" condim="1" contype="2" conaffinity="1"/>
    <motor ctrllimited="true" ctrlrange="-1 1" gear="{physics.GEAR}"/>
  </default>
  <worldbody>
    <body name="ball" pos="{BODY_OFFSET} {BODY_OFFSET} 0">
      <geom name="ball" type="sphere" size="{physics.RADIUS}" contype="1"/>
      <joint name="x" axis="1 0 0"/>
      <joint name="y" axis="0 1 0"/>
    </body>
{walls}
  </worldbody>
  <actuator>
    <motor joint="x"/>
    <motor joint="y"/>
  </actuator>
</mujoco>"""


class MuJoCoPointMass:
    """Steps point masses through one layout with MuJoCo; same interface as :class:`envs.maze.physics.PointMass`.

    Args:
        layout: ``[S, S]`` bool.
        num_worlds: Simulations held.
        threads: Native threads that step them.
    """

    def __init__(self, layout: Array, num_worlds: int, threads: int = 1) -> None:
        self._batch = Batch(mujoco.MjModel.from_xml_string(model_xml(layout)), num_worlds, threads)
        self._position, self._velocity, self._control, self._warm_start = (
            self._batch.bind(name) for name in ("qpos", "qvel", "ctrl", "qacc_warmstart")
        )

    def step(self, position: Array, velocity: Array, action: Array, worlds: Array) -> tuple[Array, Array]:
        """The state one time step later; see :meth:`envs.maze.physics.PointMass.step`."""
        self._position[worlds] = position
        self._velocity[worlds] = velocity.clip(-physics.MAX_SPEED, physics.MAX_SPEED)
        self._control[worlds] = action
        self._warm_start[worlds] = 0.0  # so that the step depends on its arguments alone
        self._batch.step(worlds)
        return self._position[worlds], self._velocity[worlds]
