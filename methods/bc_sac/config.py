"""Options of BC + SAC as SPiRL's authors run it."""

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
class BcSacConfig:
    """Options of both phases; the defaults are the authors' for the maze."""

    prior: ActionPriorOptions = field(default_factory=ActionPriorOptions)
    rl: SkillRLOptions = field(
        default_factory=lambda: SkillRLOptions(
            regulariser="entropy", target_divergence=None, bound=1.0, capacity=1_000_000, frames=950_000
        )
    )


PRESETS: dict[str, Overrides] = ACTION_PRIOR_PRESETS

SMOKE: Overrides = {**of_phase("prior", TINY_ACTION_PRIOR), **of_phase("rl", TINY_ACTION_RL)}
