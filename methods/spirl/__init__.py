"""SPiRL: accelerating reinforcement learning with learned skill priors (Pertsch, Lee and Lim, CoRL 2020).

Skills and a prior over them are learned from trajectories without rewards; a policy that starts as a copy of the prior
then chooses skills, regularised towards the prior instead of towards high entropy.

The decoder is the closed-loop one of the authors' later code, a policy that sees the state at every step, or one of the
paper's two; states or images. It differs from that code in what follows. The KL to the prior is analytic by default,
not a mean over ten samples. A skill's transition runs from the state where the skill starts to the one where it ends,
and its reward includes that of the last step; theirs is shifted by one step and loses the last reward at a time-out.
The low-level policy acts without their noise of std e^-10.
"""

from lightning_skills.plugins import MethodSpec, Need, Phase
from methods.spirl.config import PRESETS, SMOKE, SpirlConfig

METHOD = MethodSpec(
    name="spirl",
    summary="skills and a skill prior from trajectories, then actor-critic over skills regularised by the prior",
    paper="https://arxiv.org/abs/2010.11944",
    config=SpirlConfig,
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
