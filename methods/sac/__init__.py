"""SAC: soft actor-critic with automatic temperature (Haarnoja et al. 2018), the flat baseline of skill-based methods.

Network sizes and rates are those with which SPiRL's authors run it. It differs from their code in the density of the
squashed action, where they add the log of the action range once instead of once per dimension; with the range of 1 used
here both agree.
"""

from lightning_skills.plugins import MethodSpec, Phase
from methods.sac.config import PRESETS, SMOKE, SacConfig

METHOD = MethodSpec(
    name="sac",
    summary="soft actor-critic on primitive actions, without offline data",
    paper="https://arxiv.org/abs/1812.05905",
    config=SacConfig,
    phases=(Phase("rl", "lightning_skills.phases.skill_rl:SkillRLModule", data="online", yields="policy"),),
    presets=PRESETS,
    smoke=SMOKE,
)
