"""Options of SiMPL, and what its authors use where. "Code" is the authors' release."""

from dataclasses import dataclass, field

from lightning_skills.limits import at_least, positive, within
from lightning_skills.phases.options import (
    SIMPL_SKILL_PRESETS,
    TINY_SKILLS,
    SimplSkillOptions,
    SkillTargetTaskOptions,
)
from lightning_skills.plugins import Overrides, of_phase


@dataclass(frozen=True)
class SimplSizes:
    """What SiMPL's networks are rebuilt from."""

    embedding_dim: int = at_least(1, 5)  # kitchen 6; paper: 10 there, 6 with 40 mazes
    encoder_width: int = at_least(4, 128)
    layers: int = at_least(1, 3)  # hidden layers of policy and critics; kitchen 5
    width: int = at_least(1, 256)  # kitchen 128


@dataclass(frozen=True)
class SimplOptions(SimplSizes):
    """Options of :class:`methods.simpl.module.SimplModule`; the defaults are the code's for the maze.

    Two kinds of context are trained at once: a few transitions, after which the policy keeps to the prior, and many.
    """

    small_tasks: int = at_least(1, 4)  # of a batch, with a small context; kitchen 3
    large_tasks: int = at_least(1, 26)  # of a batch, with a large one; kitchen 27
    small_context: int = at_least(1, 4)  # kitchen 2
    large_context: int = at_least(1, 8192)  # kitchen 1024
    batch_size: int = at_least(1, 1024)  # transitions of each task of a batch; kitchen 256
    reuse: float = positive(256.0)  # how often a new transition is drawn, in the mean
    small_embedding_weight: float = positive(1e-5)  # first lambda of small contexts; kitchen 1e-3
    large_embedding_weight: float = positive(3e-6)  # kitchen 1e-4
    small_embedding_target: float = positive(1.0)  # KL to N(0, 1) at which lambda stops growing; kitchen 2
    large_embedding_target: float = positive(10.0)
    small_alpha: float = positive(3e-3)  # first weight of the KL to the skill prior; kitchen 0.05
    large_alpha: float = positive(1e-3)  # kitchen 0.03
    small_divergence: float = positive(0.5)  # that KL at which alpha stops growing; kitchen 0.1
    large_divergence: float = positive(1.0)  # kitchen 4
    divergence_clip: float = positive(5.0)  # of the KL in the critics' target; kitchen 6
    discount: float = within(0, 1, 0.99)  # per skill
    tau: float = within(0, 1, 5e-3)  # of the target critics
    lr: float = positive(3e-4)  # Adam, for all networks and multipliers
    capacity: int = at_least(1, 20_000)  # transitions of a task that each view keeps; kitchen 3000
    # Env frames of each task, in the mean. Code: 1000 epochs of two episodes of up to 2000, and a warm-up; kitchen 500
    frames: int = at_least(1, 4_000_000)
    conditioning_episodes: int = at_least(1, 20)  # in a new task, with embeddings from the prior
    evaluation_episodes: int = at_least(1, 20)  # after them, with the mean of the posterior


@dataclass(frozen=True)
class SimplAdaptOptions(SkillTargetTaskOptions):
    """Options of :class:`methods.simpl.adapt.SimplAdaptModule`; the defaults are the code's for the maze."""

    conditioning_episodes: int = at_least(1, 20)  # with embeddings from the prior, to infer the task's from


@dataclass(frozen=True)
class SimplConfig:
    """Options by phase."""

    skills: SimplSkillOptions = field(default_factory=SimplSkillOptions)
    meta: SimplOptions = field(default_factory=SimplOptions)
    adapt: SimplAdaptOptions = field(default_factory=SimplAdaptOptions)


PRESETS: dict[str, Overrides] = {
    **SIMPL_SKILL_PRESETS,
    "kitchen": {
        **SIMPL_SKILL_PRESETS["kitchen"],
        "meta.embedding_dim": 6,
        "meta.layers": 5,
        "meta.width": 128,
        "meta.small_tasks": 3,
        "meta.large_tasks": 27,
        "meta.small_context": 2,
        "meta.large_context": 1024,
        "meta.batch_size": 256,
        "meta.small_embedding_weight": 1e-3,
        "meta.large_embedding_weight": 1e-4,
        "meta.small_embedding_target": 2.0,
        "meta.small_alpha": 0.05,
        "meta.large_alpha": 0.03,
        "meta.small_divergence": 0.1,
        "meta.large_divergence": 4.0,
        "meta.divergence_clip": 6.0,
        "meta.capacity": 3000,
        "meta.frames": 293_000,
        "adapt.target_divergence": 5.0,
        "adapt.divergence_clip": 20.0,
        "adapt.frames": 280_000,
    },
}

SMOKE: Overrides = {
    **of_phase("skills", TINY_SKILLS),
    "meta.encoder_width": 8,
    "meta.layers": 1,
    "meta.width": 16,
    "meta.small_tasks": 2,
    "meta.large_tasks": 2,
    "meta.small_context": 2,
    "meta.large_context": 3,
    "meta.batch_size": 4,
    "meta.reuse": 1.0,
    "meta.frames": 100,
    "meta.conditioning_episodes": 2,
    "meta.evaluation_episodes": 1,
    "adapt.conditioning_episodes": 2,
    "adapt.batch_size": 4,
    "adapt.reuse": 4.0,
    "adapt.frames": 300,
}
