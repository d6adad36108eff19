"""Block stacking with a gripper in a plane: SPiRL's manipulation task."""

from envs.blocks.config import BlocksConfig
from envs.blocks.tasks import TASKS
from lightning_skills.plugins import EnvSpec

ENV = EnvSpec(
    name="blocks",
    summary="A gripper that stacks blocks, dense or sparse reward for the tower's height (SPiRL)",
    config=BlocksConfig,
    make="envs.blocks.env:make",
    tasks=tuple(TASKS),
    provides=frozenset({"demonstrations"}),
    demonstrations="envs.blocks.demos",
    scenes="envs.blocks.images:scenes",
    smoke={"horizon": 60, "data.trajectories": 6, "data.stacks": 1},
)
