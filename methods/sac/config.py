"""Options of SAC as SPiRL's authors run it as a baseline."""

from dataclasses import dataclass, field

from lightning_skills.phases.options import TINY_ACTION_RL, SkillRLOptions
from lightning_skills.plugins import Overrides, of_phase


@dataclass(frozen=True)
class SacConfig:
    """Options of the one phase; the defaults are the authors' for the maze."""

    rl: SkillRLOptions = field(
        default_factory=lambda: SkillRLOptions(
            policy="scratch",
            regulariser="entropy",
            target_divergence=None,
            bound=1.0,
            tanh_actions=False,
            capacity=1_000_000,
            frames=1_000_000,
        )
    )


PRESETS: dict[str, Overrides] = {
    "maze/small20": {"rl.frames": 150_000, "rl.tau": 0.02, "rl.timeout_is_done": False},
    "blocks": {
        "rl.policy_layers": 5,
        "rl.standardise": True,  # as SPiRL's
        "rl.timeout_is_done": False,
        "rl.capacity": 100_000,
        "rl.frames": 600_000,
    },
    "kitchen": {"rl.policy_layers": 5, "rl.capacity": 100_000, "rl.frames": 1_300_000},
}

SMOKE: Overrides = of_phase("rl", TINY_ACTION_RL)
