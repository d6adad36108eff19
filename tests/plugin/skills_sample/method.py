"""The method plug-in: reward-weighted regression."""

from dataclasses import dataclass, field

from lightning_skills.limits import at_least, positive
from lightning_skills.plugins import MethodSpec, Phase


@dataclass(frozen=True)
class PolicyOptions:
    """Options of the only phase."""

    frames: int = at_least(1, 20_000)  # budget
    batch_size: int = at_least(1, 256)
    lr: float = positive(3e-3)
    noise: float = positive(0.5)  # standard deviation of exploration
    temperature: float = positive(0.05)  # of the weights exp(reward / temperature)


@dataclass(frozen=True)
class RewardWeightedConfig:
    """Options by phase."""

    policy: PolicyOptions = field(default_factory=PolicyOptions)


METHOD = MethodSpec(
    name="reward_weighted",
    summary="regression towards actions weighted by their immediate reward (sample plug-in)",
    paper="Peters and Schaal 2007",
    config=RewardWeightedConfig,
    phases=(Phase("policy", "skills_sample.module:RewardWeighted", data="online", yields="policy"),),
    smoke={"policy.frames": 40, "policy.batch_size": 8},
)
