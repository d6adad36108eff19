"""SPiRL as SiMPL's authors run it (Nam et al., ICLR 2022, sec. 5.2): SiMPL without meta-training.

Skills are those of SiMPL; in each target task a correction of the skill prior learns from scratch, by the same loop.
"""

from lightning_skills.plugins import TASKS, MethodSpec, Need, Phase
from methods.spirl_simpl.config import PRESETS, SMOKE, SpirlSimplConfig

METHOD = MethodSpec(
    name="spirl_simpl",
    summary="SiMPL's baseline: SPiRL in each target task, from scratch",
    paper="https://arxiv.org/abs/2204.11828",
    config=SpirlSimplConfig,
    phases=(
        Phase("skills", "lightning_skills.phases.skill_pretrain:SkillPretrainModule", data="offline", yields="skills"),
        Phase(
            "adapt",
            "methods.spirl_simpl.module:SpirlSimplModule",
            data="tasks",
            yields="adapted",
            needs=(Need("skills", "skills"),),
            per_task=True,
        ),
    ),
    requires=frozenset({"demonstrations", TASKS}),
    presets=PRESETS,
    smoke=SMOKE,
)
