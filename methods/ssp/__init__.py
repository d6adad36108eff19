"""Skill-space policy without prior, a baseline of SPiRL (Pertsch, Lee and Lim, CoRL 2020: "SSP w/o prior").

Soft actor-critic over the skills of SPiRL's open-loop model, from random weights and regularised by entropy. Any run
of SPiRL with such a model serves as ``skills=``.
"""

from lightning_skills.plugins import MethodSpec, Need, Phase
from methods.ssp.config import PRESETS, SMOKE, SspConfig

METHOD = MethodSpec(
    name="ssp",
    summary="SPiRL's baseline without prior: soft actor-critic over learned skills, from random weights",
    paper="https://arxiv.org/abs/2010.11944",
    config=SspConfig,
    phases=(
        Phase("skills", "lightning_skills.phases.skill_pretrain:SkillPretrainModule", data="offline", yields="skills"),
        Phase(
            "rl",
            "lightning_skills.phases.skill_rl:SkillRLModule",
            data="online",
            yields="policy",
            needs=(Need("skills", "skills"),),
        ),
    ),
    requires=frozenset({"demonstrations"}),
    presets=PRESETS,
    smoke=SMOKE,
)
