"""Options of the kitchen."""

from dataclasses import dataclass

from lightning_skills.limits import at_least


@dataclass(frozen=True)
class KitchenConfig:
    """Options of the kitchen."""

    task: str = "mkbl"
    """One of :data:`envs.kitchen.tasks.TASKS`."""
    ordered: bool = True
    """Whether a subtask pays only once all before it are done; False: SPiRL's paper, and D4RL itself."""
    goal: bool = True
    """Whether the goal's 30 numbers, which never change, follow the 30 of the state (SkiMo drops them)."""
    noise: float = at_least(0, 0.1)
    """Ratio of observation noise, of robot and objects alike; the controller sees the same noise."""
    horizon: int = at_least(1, 280)
    """Steps of an episode."""
    threads: int | None = at_least(1, None)
    """Native threads; None: as many as there are cores for this process and worlds to step. Results are the same."""
