"""PEARL-ft: PEARL (Rakelly et al., ICML 2019) with fine-tuning, a baseline of SiMPL (Nam et al., ICLR 2022, sec. 5.2).

PEARL as SiMPL's authors run it, with primitive actions, no offline data and a learned weight of the entropy; soft
actor-critic then goes on from it in each target task. No code of theirs was released.
"""

from lightning_skills.plugins import TASKS, MethodSpec, Need, Phase
from methods.pearl_ft.config import PRESETS, SMOKE, PearlFtConfig

METHOD = MethodSpec(
    name="pearl_ft",
    summary="SiMPL's baseline: PEARL, then soft actor-critic from there in each target task",
    paper="https://arxiv.org/abs/2204.11828",
    config=PearlFtConfig,
    phases=(
        Phase("meta", "lightning_skills.phases.pearl:PearlModule", data="tasks", yields="pearl"),
        Phase(
            "adapt",
            "methods.pearl_ft.adapt:PearlFtModule",
            data="tasks",
            yields="adapted",
            needs=(Need("meta", "pearl"),),
            per_task=True,
        ),
    ),
    requires=frozenset({TASKS}),
    presets=PRESETS,
    smoke=SMOKE,
)
