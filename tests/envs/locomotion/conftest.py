from pathlib import Path

import gymnasium
import mujoco
import numpy as np
import pytest

from envs.locomotion.config import LocomotionConfig
from envs.locomotion.env import make

ASSETS = Path(gymnasium.__file__).parent / "envs/mujoco/assets"
FAMILIES = {
    "cheetah-vel": ("half_cheetah", 5, 0.01),
    "cheetah-dir": ("half_cheetah", 5, 0.01),
    "ant-goal": ("ant", 5, 0.01),
    "ant-dir": ("ant", 5, 0.01),
    "humanoid-dir": ("humanoid", 5, 0.003),
    "walker-rand-params": ("walker2d", 4, 0.004),
    "hopper-rand-params": ("hopper", 4, 0.004),
}


class Reference:
    """One robot, simulated by plain MuJoCo, one substep after the other."""

    def __init__(self, family, scale=None):
        xml, self.substeps, timestep = FAMILIES[family]
        self.model = mujoco.MjModel.from_xml_path(str(ASSETS / f"{xml}.xml"))
        self.model.opt.timestep = timestep
        self.model.geom_margin[:] = 0.5 * self.model.geom_margin
        for name, factors in (scale or {}).items():
            getattr(self.model, name)[:] = getattr(self.model, name) * factors
        self.data = mujoco.MjData(self.model)
        if scale:
            mujoco.mj_setConst(self.model, self.data)
        self.dt = self.substeps * timestep

    def start(self, qpos, qvel):
        mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[:], self.data.qvel[:] = qpos, qvel
        self.look()

    def step(self, action):
        self.data.ctrl[:] = self.model.actuator_ctrlrange[:, 1] * np.asarray(action, dtype=np.float64)
        for _ in range(self.substeps):
            mujoco.mj_step(self.model, self.data)
        self.look()

    def look(self):
        mujoco.mj_forward(self.model, self.data)
        mujoco.mj_rnePostConstraint(self.model, self.data)

    def mass_centre(self):
        total = sum(self.model.body_mass)
        return [
            sum(m * x[axis] for m, x in zip(self.model.body_mass, self.data.xipos, strict=True)) / total
            for axis in (0, 1)
        ]


def published_scales(model, number):
    """The authors' multipliers: one stream, task after task, field after field."""
    rng = np.random.RandomState(1337)
    for _ in range(number + 1):
        scale = {}
        for name, base in (("body_mass", 1.5), ("body_inertia", 1.5), ("dof_damping", 1.3), ("geom_friction", 1.5)):
            scale[name] = np.array(base) ** rng.uniform(-3.0, 3.0, size=getattr(model, name).shape)
    return scale


@pytest.fixture
def reference():
    """Makes the plain simulation of a task."""

    def made(family, number=0):
        plain = Reference(family)
        return Reference(family, published_scales(plain.model, number)) if family.endswith("params") else plain

    return made


@pytest.fixture
def scales():
    return published_scales


@pytest.fixture
def made():
    """Makes an env of some options."""
    return lambda task, seeds=(0,), **options: make(LocomotionConfig(task=task, **options), list(seeds))


@pytest.fixture
def held():
    """Random actions ``[T, N, A]``, each held for a while, many beyond their limits."""

    def drawn(env, steps, seed=0, hold=5):
        shape = (steps // hold + 1, env.num_worlds, env.info.action_dim)
        return np.random.default_rng(seed).normal(0.0, 1.0, shape).repeat(hold, axis=0)[:steps].astype(np.float32)

    return drawn
