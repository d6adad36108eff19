"""Options of PEARL, and what its authors use where."""

from dataclasses import dataclass, field

from lightning_skills.phases.options import TINY_PEARL, PearlOptions
from lightning_skills.plugins import Overrides, of_phase


@dataclass(frozen=True)
class PearlConfig:
    """Options by phase."""

    meta: PearlOptions = field(default_factory=PearlOptions)


PRESETS: dict[str, Overrides] = {
    "locomotion/cheetah-dir": {
        "meta.meta_batch": 4,
        "meta.context_size": 256,
        "meta.tasks_per_round": 2,  # all there are; code: five draws of them, and 2000 updates
        "meta.prior_steps": 1000,
        "meta.extra_steps": 1000,
        "meta.updates_per_round": 800,
    },
    "locomotion/ant-dir": {
        "meta.meta_batch": 4,
        "meta.context_size": 256,
        "meta.tasks_per_round": 2,  # as above; 4000 updates
        "meta.updates_per_round": 1600,
    },
    "locomotion/ant-goal": {
        "meta.meta_batch": 10,
        "meta.context_size": 256,
        "meta.kl_weight": 1.0,
        "meta.updates_per_round": 4000,
        "meta.frames": 10_000_000,
    },
    "locomotion/humanoid-dir": {"meta.context_size": 256, "meta.updates_per_round": 4000},
    "locomotion/walker-rand-params": {
        "meta.meta_batch": 10,
        "meta.next_state_in_context": True,
        "meta.updates_per_round": 4000,
    },
    "locomotion/hopper-rand-params": {
        "meta.meta_batch": 10,
        "meta.next_state_in_context": True,
        "meta.updates_per_round": 4000,
    },
    "locomotion/sparse-point-robot": {
        "meta.train_reward": "dense_reward",
        "meta.context_size": 1024,
        "meta.kl_weight": 1.0,
        "meta.discount": 0.9,
        "meta.reward_scale": 100.0,
        "meta.initial_steps": 200,
        "meta.tasks_per_round": 10,
        "meta.prior_steps": 100,
        "meta.posterior_steps": 900,
        "meta.extra_steps": 0,
        "meta.updates_per_round": 1000,
        "meta.exploration_episodes": 5,
        "meta.adapted_episodes": 15,
    },
    "locomotion/point-robot": {
        "meta.context_size": 64,
        "meta.reward_scale": 100.0,
        "meta.initial_steps": 200,
        "meta.prior_steps": 200,
        "meta.extra_steps": 200,
        "meta.updates_per_round": 1000,
        "meta.exploration_episodes": 1,
        "meta.adapted_episodes": 2,
    },
}

SMOKE: Overrides = {
    **of_phase("meta", TINY_PEARL),
    "meta.posterior_steps": 4,
}
