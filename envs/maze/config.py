"""Options of the maze, checked as they are set."""

from dataclasses import dataclass

from lightning_skills.errors import InputError


def _choice(option: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise InputError(f"{option}={value!r}: choose one of {', '.join(choices)}")


def _positive(option: str, value: float | None) -> None:
    if value is not None and not value > 0:
        raise InputError(f"{option}={value}: must be positive")


@dataclass(frozen=True)
class DemoConfig:
    """How scripted demonstrations are made (:mod:`envs.maze.demos`).

    Raises:
        InputError: if a value is out of range.
    """

    trajectories: int = 3000
    """How many; SkiMo and SiMPL have 3046, SPiRL 85000."""
    layouts: str = "task"
    """"task": all in the task's layout (SkiMo, SiMPL); "random": each in a new 20x20 maze (SPiRL)."""
    max_steps: int = 1600
    """Actions after which a trajectory is cut short of its goal; D4RL's value (SPiRL with images: 500)."""
    action_noise: float = 0.0
    """Standard deviation of Gaussian noise on the controller's actions; D4RL's noisy variant has 0.5."""
    seed: int = 0
    """Of starts, goals, paths, layouts and noise."""
    workers: int = 1
    """Processes; the data do not depend on it."""

    def __post_init__(self) -> None:
        _choice("data.layouts", self.layouts, ("task", "random"))
        for option in ("trajectories", "workers"):
            _positive(f"data.{option}", getattr(self, option))
        if self.max_steps < 50:
            raise InputError(f"data.max_steps={self.max_steps}: must be at least 50, or little is kept")
        if self.action_noise < 0 or self.seed < 0:
            raise InputError("data.action_noise and data.seed: must not be negative")


@dataclass(frozen=True)
class MazeConfig:
    """Options of the maze.

    Raises:
        InputError: if a value is out of range.
    """

    task: str = "small20"
    """One of :data:`envs.maze.tasks.TASKS`."""
    radius: float | None = None
    """Distance to the goal that is rewarded; None: the task's own (SPiRL's paper may have used 1.0 for spirl40)."""
    horizon: int | None = None
    """Steps of an episode; None: the task's own."""
    reject_walls: bool = False
    """Redraw starts that lie inside walls (skimo40 draws a quarter of its starts there)."""
    backend: str = "twin"
    """"twin": exact vectorised numpy; "mujoco": MuJoCo itself, slower, the reference."""
    images: bool = False
    """Observe the paper's agent-centred images beside the state: SPiRL's prior and policy see these alone."""
    data: DemoConfig = DemoConfig()
    """How demonstrations are made."""

    def __post_init__(self) -> None:
        _choice("backend", self.backend, ("twin", "mujoco"))
        _positive("radius", self.radius)
        _positive("horizon", self.horizon)
