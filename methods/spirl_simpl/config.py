"""Options of SPiRL as SiMPL's code has it."""

from dataclasses import dataclass, field

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
class SpirlSimplOptions(SkillAgentSizes, SpirlTargetTaskOptions):
    """Options of :class:`methods.spirl_simpl.module.SpirlSimplModule`."""


@dataclass(frozen=True)
class SpirlSimplConfig:
    """Options by phase."""

    skills: SimplSkillOptions = field(default_factory=SimplSkillOptions)
    adapt: SpirlSimplOptions = field(default_factory=SpirlSimplOptions)


PRESETS: dict[str, Overrides] = {
    **SIMPL_SKILL_PRESETS,
    "kitchen": {
        **SIMPL_SKILL_PRESETS["kitchen"],
        "adapt.layers": 5,
        "adapt.width": 128,
        **of_phase("adapt", SPIRL_IN_SIMPLS_KITCHEN),
    },
}

SMOKE: Overrides = {
    **of_phase("skills", TINY_SKILLS),
    "adapt.layers": 1,
    "adapt.width": 16,
    "adapt.batch_size": 4,
    "adapt.reuse": 1.0,
    "adapt.frames": 200,
}
