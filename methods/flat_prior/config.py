"""Options of the flat prior as SPiRL's authors run it."""

from dataclasses import dataclass, field

from lightning_skills.phases.options import (
    ACTION_PRIOR_PRESETS,
    TINY_ACTION_PRIOR,
    TINY_ACTION_RL,
    ActionPriorOptions,
    SkillRLOptions,
)
from lightning_skills.plugins import Overrides, of_phase


@dataclass(frozen=True)
class FlatPriorConfig:
    """Options of both phases; the defaults are the authors' for the maze."""

    prior: ActionPriorOptions = field(default_factory=ActionPriorOptions)
    rl: SkillRLOptions = field(
        default_factory=lambda: SkillRLOptions(bound=1.0, capacity=1_000_000, frames=660_000, target_divergence=1.0)
    )


PRESETS: dict[str, Overrides] = {
    **ACTION_PRIOR_PRESETS,
    "kitchen": {
        **ACTION_PRIOR_PRESETS["kitchen"],
        # As the code: clamped. In closed form the divergence rose to 14 000 nats where states left the demonstrations,
        # and the critics with it.
        "rl.kl_estimator": "sampled",
    },
}

SMOKE: Overrides = {**of_phase("prior", TINY_ACTION_PRIOR), **of_phase("rl", TINY_ACTION_RL)}
