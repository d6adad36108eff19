"""Model parameters by task: masses, inertias, damping and friction, of each world its own."""

from collections.abc import Mapping

import mujoco
import numpy as np
from mujoco.batch import Batch

from envs.locomotion.tasks import SEED
from lightning_skills.data.batch_env import Array

BASES: Mapping[str, float] = {"body_mass": 1.5, "body_inertia": 1.5, "dof_damping": 1.3, "geom_friction": 1.5}
"""Model fields that a task scales: every entry by this to the power of a number of its own from U(-3, 3)."""
LARGEST_POWER = 3.0


def multipliers(model: mujoco.MjModel, count: int) -> dict[str, Array]:
    """What tasks scale the fields of a model by, ``[count, *shape]`` each.

    Drawn in the order of the authors' code, so that the first tasks do not depend on how many there are.
    """
    rng = np.random.RandomState(SEED)
    shapes = {name: getattr(model, name).shape for name in BASES}
    drawn: dict[str, list[Array]] = {name: [] for name in BASES}
    for _ in range(count):
        for name, base in BASES.items():
            drawn[name].append(base ** rng.uniform(-LARGEST_POWER, LARGEST_POWER, shapes[name]))
    return {name: np.stack(values) for name, values in drawn.items()}


class Parameters:
    """Gives each simulation of a batch the model parameters of its task.

    Args:
        batch: The simulations.
        model: Whose fields are scaled.
        count: How many sets of parameters there are.
    """

    def __init__(self, batch: Batch, model: mujoco.MjModel, count: int) -> None:
        self._batch = batch
        self._values = {name: getattr(model, name) * scale for name, scale in multipliers(model, count).items()}
        self._fields = {name: batch.expand(name) for name in BASES}
        self._present = np.full(batch.nsim, -1)

    def apply(self, worlds: Array, numbers: Array) -> None:
        """Give worlds ``[n]`` the parameter sets of these numbers ``[n]``; their states stay as they are."""
        new = self._present[worlds] != numbers
        if not new.any():
            return
        worlds, numbers = worlds[new], numbers[new]
        for name, field in self._fields.items():
            field[worlds] = self._values[name][numbers]
        self._batch.set_const(worlds)
        self._present[worlds] = numbers
