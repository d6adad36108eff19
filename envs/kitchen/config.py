"""Options of the kitchen."""

from dataclasses import dataclass

from lightning_skills.limits import at_least, one_of


@dataclass(frozen=True)
class DemoConfig:
    """How scripted demonstrations are made (:mod:`envs.kitchen.demos`)."""

    sequences: str = one_of(("mixed", "random"), "mixed")
    """Which four subtasks: "mixed": as often as in D4RL's kitchen-mixed, never microwave, kettle, bottom burner, light
    switch (SPiRL, SkiMo, SiMPL); "random": any, in any order."""
    trajectories: int = at_least(1, 600)
    """How many; D4RL has 603."""
    max_steps: int = at_least(1, 280)
    """Actions after which a demonstration that is not done is dropped; the episodes of the papers have as many."""
    action_noise: float = at_least(0, 0.05)
    """Standard deviation of Gaussian noise on the arm's actions."""
    jitter: float = at_least(0, 0.02)
    """Half-width of the shift of way-points along each axis, in metres."""
    seed: int = at_least(0, 0)
    """Of sequences, way-points, speeds, pauses and noise."""
    workers: int = at_least(1, 1)
    """Processes; the data do not depend on it."""


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
    data: DemoConfig = DemoConfig()
    """How demonstrations are made."""
