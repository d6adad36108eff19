"""Flat prior: SPiRL with a prior over single actions, a baseline of its paper (Pertsch, Lee and Lim, CoRL 2020).

Behavioural cloning gives a Gaussian prior p(a | s); the policy starts as a copy of it and is regularised towards it, as
SPiRL's is towards its skill prior, one primitive step at a time. The authors' KL is a mean over ten samples; here it is
analytic by default.
"""

from lightning_skills.plugins import MethodSpec, Need, Phase
from methods.flat_prior.config import PRESETS, SMOKE, FlatPriorConfig

METHOD = MethodSpec(
    name="flat_prior",
    summary="SPiRL's baseline without skills: actor-critic regularised by a prior over single actions",
    paper="https://arxiv.org/abs/2010.11944",
    config=FlatPriorConfig,
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
