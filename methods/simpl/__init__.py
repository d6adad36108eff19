"""SiMPL: skill-based meta-RL (Nam et al., ICLR 2022).

Skills and skill prior are SPiRL's, of the closed-loop model; a policy over skills is meta-trained over tasks, with an
embedding of the task that is inferred from skill transitions.
"""

from lightning_skills.plugins import TASKS, MethodSpec, Need, Phase
from methods.simpl.config import PRESETS, SMOKE, SimplConfig

METHOD = MethodSpec(
    name="simpl",
    summary="SiMPL: meta-learns a policy over skills that infers its task, regularised by the skill prior",
    paper="https://arxiv.org/abs/2204.11828",
    config=SimplConfig,
    phases=(
        Phase("skills", "lightning_skills.phases.skill_pretrain:SkillPretrainModule", data="offline", yields="skills"),
        Phase(
            "meta", "methods.simpl.module:SimplModule", data="tasks", yields="simpl", needs=(Need("skills", "skills"),)
        ),
    ),
    requires=frozenset({"demonstrations", TASKS}),
    presets=PRESETS,
    smoke=SMOKE,
)
