"""Options of BC + SAC as SPiRL's authors run it."""

from dataclasses import dataclass, field

from lightning_skills.phases.options import TINY_ACTION_PRIOR, TINY_ACTION_RL, ActionPriorOptions, SkillRLOptions
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


PRESETS: dict[str, Overrides] = {
    "maze": {"prior.updates": 50_000},
    "maze/small20": {"prior.updates": 12_000, "rl.frames": 150_000, "rl.tau": 0.02, "rl.timeout_is_done": False},
    "blocks": {
        "prior.updates": 22_000,
        "prior.cooldown": 0.3,
        "rl.standardise": True,  # as SPiRL's
        "rl.timeout_is_done": False,
        "rl.capacity": 100_000,
        "rl.frames": 600_000,
    },
    "kitchen": {
        "prior.updates": 25_000,  # as SPiRL's model; code: some 1.06M, 200 epochs of 10 passes over 137 000 pairs
        "prior.cooldown": 0.3,
        "rl.capacity": 100_000,
        "rl.frames": 1_300_000,
    },
}

SMOKE: Overrides = {**of_phase("prior", TINY_ACTION_PRIOR), **of_phase("rl", TINY_ACTION_RL)}
