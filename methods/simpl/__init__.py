"""SiMPL: skill-based meta-RL (Nam et al., ICLR 2022).

Skills and skill prior are SPiRL's, of the closed-loop model; a policy over skills is meta-trained over tasks, with an
embedding of the task that is inferred from skill transitions; it then learns each target task from few episodes.
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
        Phase(
            "adapt",
            "methods.simpl.adapt:SimplAdaptModule",
            data="tasks",
            yields="adapted",
            needs=(Need("skills", "skills"), Need("meta", "simpl")),
            per_task=True,
        ),
    ),
    requires=frozenset({"demonstrations", TASKS}),
    presets=PRESETS,
    smoke=SMOKE,
)
