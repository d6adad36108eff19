"""Options of MTRL. "Code" is that of SiMPL's authors, which has their SPiRL, and not MTRL."""

from dataclasses import dataclass, field

from lightning_skills.limits import at_least, positive, within
from lightning_skills.phases.options import (
    SIMPL_SKILL_PRESETS,
    SPIRL_IN_SIMPLS_KITCHEN,
    TINY_SKILLS,
    SimplSkillOptions,
    SkillAgentSizes,
    SpirlTargetTaskOptions,
)
from lightning_skills.plugins import Overrides, of_phase


@dataclass(frozen=True)
class MtrlOptions(SkillAgentSizes):
    """Options of :class:`methods.mtrl.module.MtrlModule`; experts are the code's SPiRL in the maze."""

    initial_alpha: float = positive(0.05)  # first weight of the KL to the skill prior; kitchen 1
    alpha_lr: float = positive(3e-4)  # Adam; kitchen 3e-3
    target_divergence: float = positive(1.0)  # that KL, to which alpha is learned; kitchen 5
    divergence_clip: float = positive(10.0)  # of the KL in the critics' target
    batch_size: int = at_least(1, 256)  # transitions of each task, and how many each must have in the mean at first
    reuse: float = positive(256.0)  # how often a new transition is drawn, in the mean
    discount: float = within(0, 1, 0.99)  # per skill
    tau: float = within(0, 1, 5e-3)  # of the target critics
    lr: float = positive(3e-4)  # Adam, for experts, critics and the shared policy
    capacity: int = at_least(1, 20_000)  # transitions of a task that are kept
    frames: int = at_least(1, 1_000_000)  # env frames of each task, in the mean; code: 500 episodes, kitchen 1000
    evaluation_episodes: int = at_least(1, 20)  # of the shared policy in a new task


@dataclass(frozen=True)
class MtrlConfig:
    """Options by phase."""

    skills: SimplSkillOptions = field(default_factory=SimplSkillOptions)
    meta: MtrlOptions = field(default_factory=MtrlOptions)
    adapt: SpirlTargetTaskOptions = field(default_factory=SpirlTargetTaskOptions)


PRESETS: dict[str, Overrides] = {
    **SIMPL_SKILL_PRESETS,
    "kitchen": {
        **SIMPL_SKILL_PRESETS["kitchen"],
        "meta.layers": 5,
        "meta.width": 128,
        **of_phase("meta", SPIRL_IN_SIMPLS_KITCHEN),
        **of_phase("adapt", SPIRL_IN_SIMPLS_KITCHEN),
    },
}

SMOKE: Overrides = {
    **of_phase("skills", TINY_SKILLS),
    "meta.layers": 1,
    "meta.width": 16,
    "meta.batch_size": 4,
    "meta.reuse": 4.0,
    "meta.frames": 100,
    "meta.evaluation_episodes": 1,
    "adapt.batch_size": 4,
    "adapt.reuse": 1.0,
    "adapt.frames": 200,
}
