"""Options of the skill-space policy as SPiRL's authors run it."""

from dataclasses import dataclass, field

from lightning_skills.phases.options import TINY_SKILL_RL, TINY_SKILLS, SkillPretrainOptions, SkillRLOptions
from lightning_skills.plugins import Overrides, of_phase


@dataclass(frozen=True)
class SspConfig:
    """Options of both phases; the defaults are the authors' for the maze."""

    skills: SkillPretrainOptions = field(default_factory=lambda: SkillPretrainOptions(decoder="open_loop"))
    rl: SkillRLOptions = field(
        default_factory=lambda: SkillRLOptions(
            policy="scratch",
            policy_layers=3,
            policy_width=64,
            regulariser="entropy",
            target_divergence=None,
            capacity=1_000_000,
            frames=1_300_000,
        )
    )


PRESETS: dict[str, Overrides] = {
    "maze": {"skills.updates": 100_000},
    "maze/small20": {
        "skills.updates": 12_000,
        "rl.warmup": 1_000,
        "rl.frames": 150_000,
        "rl.tau": 0.02,
        "rl.timeout_is_done": False,
    },
    "blocks": {
        "skills.updates": 55_000,
        "skills.cooldown": 0.3,
        "rl.standardise": True,  # as SPiRL's
        "rl.timeout_is_done": False,
        "rl.frames": 650_000,
    },
    "kitchen": {
        "skills.encoder_width": 128,
        "skills.beta": 5e-4,
        "skills.updates": 25_000,  # as SPiRL's; code: 192 000, 200 epochs of 10 passes
        "skills.cooldown": 0.3,
        "rl.policy_layers": 5,
        "rl.policy_width": 256,
        "rl.critic_layers": 5,
        "rl.frames": 1_350_000,
    },
}

SMOKE: Overrides = {**of_phase("skills", TINY_SKILLS), **of_phase("rl", TINY_SKILL_RL)}
