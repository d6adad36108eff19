"""Franka kitchen: SPiRL's, SkiMo's and SiMPL's manipulation tasks."""

from envs.kitchen.config import KitchenConfig
from envs.kitchen.tasks import DISTRIBUTIONS, TASKS
from lightning_skills.plugins import EnvSpec

ENV = EnvSpec(
    name="kitchen",
    summary="Franka arm in a kitchen, a reward for each of four subtasks (SPiRL, SkiMo, SiMPL)",
    config=KitchenConfig,
    make="envs.kitchen.env:make",
    tasks=tuple(TASKS),
    distributions=tuple(DISTRIBUTIONS),
    provides=frozenset({"demonstrations"}),
    demonstrations="envs.kitchen.demos",
    smoke={"horizon": 8, "data.trajectories": 3},
)
