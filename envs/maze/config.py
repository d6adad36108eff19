"""Options of the maze."""

from dataclasses import dataclass

from lightning_skills.limits import at_least, one_of, positive


@dataclass(frozen=True)
class DemoConfig:
    """How scripted demonstrations are made (:mod:`envs.maze.demos`)."""

    trajectories: int = at_least(1, 3000)
    """How many; SkiMo and SiMPL have 3046, SPiRL 85000."""
    layouts: str = one_of(("task", "random"), "task")
    """"task": all in the task's layout (SkiMo, SiMPL); "random": each in a new 20x20 maze (SPiRL)."""
    max_steps: int = at_least(50, 1600)
    """Actions after which a trajectory is cut short of its goal; D4RL's value (SPiRL with images: 500). Of fewer than
    50 little would be kept."""
    action_noise: float = at_least(0, 0.0)
    """Standard deviation of Gaussian noise on the controller's actions; D4RL's noisy variant has 0.5."""
    seed: int = at_least(0, 0)
    """Of starts, goals, paths, layouts and noise."""
    workers: int = at_least(1, 1)
    """Processes; the data do not depend on it."""


@dataclass(frozen=True)
class MazeConfig:
    """Options of the maze."""

    task: str = "small20"
    """One of :data:`envs.maze.tasks.TASKS`."""
    radius: float | None = positive(None)
    """Distance to the goal that is rewarded; None: the task's own (SPiRL's paper may have used 1.0 for spirl40)."""
    horizon: int | None = at_least(1, None)
    """Steps of an episode; None: the task's own."""
    reject_walls: bool = False
    """Redraw starts that lie inside walls (skimo40 draws a quarter of its starts there)."""
    backend: str = one_of(("twin", "mujoco"), "twin")
    """"twin": exact vectorised numpy; "mujoco": MuJoCo itself, slower, the reference."""
    images: bool = False
    """Observe the paper's agent-centred images beside the state: SPiRL's prior and policy see these alone."""
    data: DemoConfig = DemoConfig()
    """How demonstrations are made."""
