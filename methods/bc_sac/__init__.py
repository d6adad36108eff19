"""BC + SAC: soft actor-critic that starts from behavioural cloning, a baseline of SPiRL (Pertsch et al., CoRL 2020).

The policy starts as a copy of the Gaussian p(a | s) that was cloned from demonstrations, with its BatchNorm frozen;
nothing holds it there afterwards, only high entropy is rewarded.
"""

from lightning_skills.plugins import MethodSpec, Need, Phase
from methods.bc_sac.config import PRESETS, SMOKE, BcSacConfig

METHOD = MethodSpec(
    name="bc_sac",
    summary="SPiRL's baseline: soft actor-critic whose policy starts from behavioural cloning",
    paper="https://arxiv.org/abs/2010.11944",
    config=BcSacConfig,
    phases=(
        Phase("prior", "lightning_skills.phases.action_prior:ActionPriorModule", data="offline", yields="action_prior"),
        Phase(
            "rl",
            "lightning_skills.phases.skill_rl:SkillRLModule",
            data="online",
            yields="policy",
            needs=(Need("prior", "action_prior"),),
        ),
    ),
    requires=frozenset({"demonstrations"}),
    presets=PRESETS,
    smoke=SMOKE,
)
