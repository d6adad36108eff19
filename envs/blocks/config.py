"""Options of block stacking."""

from dataclasses import dataclass

from lightning_skills.limits import at_least, one_of, within


@dataclass(frozen=True)
class DemoConfig:
    """How scripted demonstrations are made (:mod:`envs.blocks.demos`)."""

    trajectories: int = at_least(1, 1000)
    """How many; SPiRL has 37000."""
    blocks: int | None = one_of((5, 11), None)
    """On the table; None: with images 5 (SPiRL), with states as many as the task has, as widths must fit."""
    stacks: int = within(1, 4, 2)
    """Blocks that a demonstration puts one upon the other, after up to two that are so from the start (SPiRL: 2)."""
    max_steps: int = at_least(1, 250)
    """Actions within which all must be done; other attempts are dropped (SPiRL: 250)."""
    action_noise: float = at_least(0, 0.0)
    """Standard deviation of Gaussian noise on the controls of y and z (SPiRL: none)."""
    seed: int = at_least(0, 0)
    """Of places, orders, detours and noise."""
    workers: int = at_least(1, 1)
    """Processes; the data do not depend on it."""


@dataclass(frozen=True)
class BlocksConfig:
    """Options of block stacking."""

    task: str = "dense5"
    """One of :data:`envs.blocks.tasks.TASKS`."""
    horizon: int | None = at_least(1, None)
    """Steps of an episode; None: the task's own."""
    images: bool = False
    """Observe images that follow the gripper beside the state: SPiRL's model and policy see these alone."""
    data: DemoConfig = DemoConfig()
    """How demonstrations are made."""
