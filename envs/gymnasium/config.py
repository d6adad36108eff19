"""Options of the gymnasium adapter."""

from dataclasses import dataclass

from lightning_skills.limits import at_least


@dataclass(frozen=True)
class GymnasiumConfig:
    """Options of an env made from a gymnasium id."""

    task: str = "HalfCheetah-v5"
    """Any registered id; ``module:id`` imports the module first. Only MuJoCo ids can be checkpointed."""
    horizon: int | None = at_least(1, None)
    """Steps of an episode; None: the registered limit."""
