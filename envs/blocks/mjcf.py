"""The world of block stacking as a MuJoCo model, of boxes alone.

Not taken from anyone's files: sizes, gears, damping, density and friction are those that the authors' simulator has,
everything else is ours. The gripper moves along y and z, driven by motors against such a damping that a control u is a
velocity of u / 2 m/s; it has no weight. Blocks are confined to the same plane, in which they slide and tilt. Nothing
pushes them out of it, as gripper and blocks are symmetric about it, and it halves their degrees of freedom.
"""

from envs.blocks.geometry import (
    CEILING,
    FINGER_DROP,
    FINGER_HALF,
    HALF,
    HELD,
    MAX_OPEN,
    PALM_DROP,
    PALM_HALF,
    TABLE,
    TABLE_HALF_WIDTH,
    WALL,
)

TIMESTEP = 0.004
"""Half as many steps as the authors' 0.002 s ask for."""
GEAR, DAMPING = 500, 1000
"""Of the gripper's motors and joints: a control of 1 is 0.5 m/s."""
SQUEEZE = 400
"""Newtons per metre with which a finger closes in on its target."""


def _box(half: tuple[float, float, float]) -> str:
    return f'type="box" size="{half[0]} {half[1]} {half[2]}"'


def _finger(name: str, side: int) -> str:
    """A finger whose joint is the distance of its inner side from the middle."""
    return f"""
      <body name="{name}" pos="0 {side * FINGER_HALF[1]} {-FINGER_DROP}" gravcomp="1">
        <joint name="{name}" type="slide" axis="0 {side} 0" range="0 {MAX_OPEN}" damping="20"/>
        <geom {_box(FINGER_HALF)} mass="0.1" friction="30 0.005 0.0001"/>
      </body>"""


def _block(index: int, reach: float) -> str:
    return f"""
    <body name="block{index}">
      <joint type="slide" axis="0 1 0" range="{-reach} {reach}"/>
      <joint type="slide" axis="0 0 1"/>
      <joint type="hinge" axis="1 0 0"/>
      <geom {_box((HALF, HALF, HALF))} density="1000"/>
    </body>"""


def model_xml(blocks: int) -> str:
    """MJCF of a table with a gripper and that many blocks.

    Joints: the gripper's y and z, its left and its right finger; then y, z and angle of each block. Controls:
    velocities along y and z in [-1, 1], and a target for each finger.
    """
    half_width = TABLE_HALF_WIDTH[blocks]
    reach, below = half_width - WALL, TABLE + HELD + HALF
    return f"""
<mujoco model="blocks">
  <compiler angle="radian"/>
  <option timestep="{TIMESTEP}" integrator="implicitfast" cone="elliptic"/>
  <default><geom condim="3" friction="1 0.005 0.0001"/></default>
  <worldbody>
    <geom name="table" type="plane" pos="0 0 {TABLE}" size="0.6 {half_width} 0.1"/>
    <body name="gripper" gravcomp="1">
      <joint name="y" type="slide" axis="0 1 0" damping="{DAMPING}" range="{-reach} {reach}"/>
      <joint name="z" type="slide" axis="0 0 1" damping="{DAMPING}" range="{below} {CEILING}"/>
      <geom {_box(PALM_HALF)} pos="0 0 {-PALM_DROP}" mass="1"/>{_finger("left", 1)}{_finger("right", -1)}
    </body>{"".join(_block(index, half_width - HALF) for index in range(blocks))}
  </worldbody>
  <actuator>
    <motor joint="y" gear="{GEAR}" ctrlrange="-1 1"/>
    <motor joint="z" gear="{GEAR}" ctrlrange="-1 1"/>
    <position joint="left" kp="{SQUEEZE}"/>
    <position joint="right" kp="{SQUEEZE}"/>
  </actuator>
</mujoco>"""
