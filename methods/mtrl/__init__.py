"""MTRL: multi-task RL over skills, a baseline of SiMPL (Nam et al., ICLR 2022) after Distral (Teh et al. 2017).

Experts, one for each task to train on, learn as SPiRL does; a shared policy is distilled from them and then learns each
target task, kept to the skill prior. No code was released. What the paper leaves open is said in
:mod:`methods.mtrl.module`.
"""

from lightning_skills.plugins import TASKS, MethodSpec, Need, Phase
from methods.mtrl.config import PRESETS, SMOKE, MtrlConfig

METHOD = MethodSpec(
    name="mtrl",
    summary="SiMPL's baseline: a policy over skills distilled from experts of the tasks to train on",
    paper="https://arxiv.org/abs/2204.11828",
    config=MtrlConfig,
    phases=(
        Phase("skills", "lightning_skills.phases.skill_pretrain:SkillPretrainModule", data="offline", yields="skills"),
        Phase("meta", "methods.mtrl.module:MtrlModule", data="tasks", yields="mtrl", needs=(Need("skills", "skills"),)),
        Phase(
            "adapt",
            "methods.mtrl.adapt:MtrlAdaptModule",
            data="tasks",
            yields="adapted",
            needs=(Need("skills", "skills"), Need("meta", "mtrl")),
            per_task=True,
        ),
    ),
    requires=frozenset({"demonstrations", TASKS}),
    presets=PRESETS,
    smoke=SMOKE,
)
