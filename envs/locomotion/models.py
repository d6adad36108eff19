"""The robots as MuJoCo models: gymnasium's own, where they differ from those of the papers set back to these."""

from dataclasses import dataclass
from importlib.resources import files

import mujoco

ASSETS = "envs/mujoco/assets"
"""Where gymnasium has the models."""
TORSO = "torso"


@dataclass(frozen=True)
class Robot:
    """A model, and how it is stepped.

    Args:
        xml: Name of gymnasium's file, without its ending.
        substeps: Simulator steps in one step.
        noise: Of starts: half-width of the uniform noise on each coordinate of the pose, and on each velocity.
        gaussian: Whether noise on velocities is normal instead, with ``noise`` as its standard deviation.
        timestep: Of the simulator in seconds; None: the file's.
        mass: Of the whole robot in kg; None: what its geoms weigh.
        fields: What is read of MjData after each step beside poses and velocities of joints; it costs about a quarter
            of a simulator step.
    """

    xml: str
    substeps: int
    noise: float
    gaussian: bool = False
    timestep: float | None = None
    mass: float | None = None
    fields: tuple[str, ...] = ()


CHEETAH = Robot("half_cheetah", substeps=5, noise=0.1, gaussian=True, mass=14.0)
ANT = Robot("ant", substeps=5, noise=0.1, gaussian=True, fields=("cfrc_ext",))
HUMANOID = Robot(
    "humanoid",
    substeps=5,
    noise=0.01,
    fields=("subtree_com", "cinert", "cvel", "qfrc_actuator", "cfrc_ext"),
)
# Twice gymnasium's timestep. The walker of gymnasium's v4, since v5 gives its right foot the friction of the left.
WALKER = Robot("walker2d", substeps=4, noise=0.005, timestep=0.004)
HOPPER = Robot("hopper", substeps=4, noise=0.005, timestep=0.004)


def load(robot: Robot) -> mujoco.MjModel:
    """The robot's compiled model, a new one at every call."""
    spec = mujoco.MjSpec.from_string(_text(robot))
    spec.option.timestep = robot.timestep or spec.option.timestep
    for geom in spec.geoms:
        geom.margin /= 2  # all are equal; MuJoCo adds those of two geoms, and before 3.5 took the larger
    if "cfrc_ext" in robot.fields:
        # contact forces on bodies are computed only where a sensor needs them
        spec.add_sensor(type=mujoco.mjtSensor.mjSENS_FRAMELINACC, objtype=mujoco.mjtObj.mjOBJ_BODY, objname=TORSO)
    model = spec.compile()
    if robot.mass is not None:
        _set_mass(model, robot.mass)
    return model


def _text(robot: Robot) -> str:
    text = (files("gymnasium") / ASSETS / f"{robot.xml}.xml").read_text()
    return text.replace('settotalmass="14"', "")  # the cheetah's; deprecated, MuJoCo would warn in every run


def _set_mass(model: mujoco.MjModel, mass: float) -> None:
    mujoco.mj_setTotalmass(model, mass)
    mujoco.mj_setConst(model, mujoco.MjData(model))
    model.stat.meaninertia = model.dof_M0.mean()  # which sets the solver's tolerance, and mj_setConst leaves as it was
