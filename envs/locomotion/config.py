"""Options of locomotion."""

from dataclasses import dataclass

from lightning_skills.limits import at_least, positive


@dataclass(frozen=True)
class LocomotionConfig:
    """Options of locomotion."""

    task: str = "cheetah-vel-0"
    """One of :data:`envs.locomotion.tasks.TASKS`, or a distribution of them, such as ``cheetah-vel``."""
    horizon: int | None = at_least(1, None)
    """Steps of an episode; None: the task's own, 200, and 20 of point robots."""
    dense: bool = False
    """Whether sparse-point-robot pays minus the distance at every step, from which PEARL's critic learns, instead of
    the sparse reward, which its encoder and its evaluation see."""
    radius: float | None = positive(None)
    """Distance to the goal within which sparse-point-robot pays its sparse reward; None: 0.2, as PEARL's authors have
    it. The wider, the fewer trajectories find the goal."""
    threads: int | None = at_least(1, None)
    """Native threads; None: as many as there are cores for this process and worlds to step. Results are the same."""
