"""Robots that run, and point robots: the tasks on which PEARL meta-trains."""

from envs.locomotion.config import LocomotionConfig
from envs.locomotion.tasks import DISTRIBUTIONS, TASKS
from lightning_skills.plugins import EnvSpec

ENV = EnvSpec(
    name="locomotion",
    summary="Cheetah, ant, humanoid, walker, hopper and point robots with distributions of tasks (PEARL)",
    config=LocomotionConfig,
    make="envs.locomotion.env:make",
    tasks=tuple(TASKS),
    distributions=tuple(DISTRIBUTIONS),
    smoke={"horizon": 10},
)
