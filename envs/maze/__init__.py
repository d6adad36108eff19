"""Point mass in random mazes: SPiRL's, SkiMo's and SiMPL's navigation tasks."""

from envs.maze.config import MazeConfig
from envs.maze.tasks import DISTRIBUTIONS, TASKS
from lightning_skills.plugins import EnvSpec

ENV = EnvSpec(
    name="maze",
    summary="Point mass in a maze, sparse reward at a goal (SPiRL, SkiMo, SiMPL)",
    config=MazeConfig,
    make="envs.maze.env:make",
    tasks=tuple(TASKS),
    distributions=tuple(DISTRIBUTIONS),
    provides=frozenset({"demonstrations"}),
    demonstrations="envs.maze.demos",
    scenes="envs.maze.images:scenes",
    smoke={"horizon": 60, "data.trajectories": 12, "data.max_steps": 120},
)
