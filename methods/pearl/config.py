"""Options of PEARL, and what its authors use where.

"Code" is the authors' release (oyster); numbers of steps count transitions of a task.
"""

from dataclasses import dataclass, field

from lightning_skills.limits import at_least, positive, within
from lightning_skills.plugins import Overrides


@dataclass(frozen=True)
class PearlOptions:
    """Options of :class:`methods.pearl.module.PearlModule`; the defaults are the code's."""

    embedding_dim: int = at_least(1, 5)
    task_blind: bool = False  # every embedding is 0: nothing is known of a task, for comparison
    encoder_layers: int = at_least(1, 3)  # hidden layers of the task encoder
    encoder_width: int = at_least(1, 200)
    layers: int = at_least(1, 3)  # hidden layers of policy, critics and value
    width: int = at_least(1, 300)
    next_state_in_context: bool = False  # true where tasks differ by their dynamics
    train_reward: str = "reward"  # what critics learn from: "reward", or an observation of the env such as a dense one
    kl_weight: float = at_least(0, 0.1)  # of the sum of the KLs to N(0, 1) over the tasks of a batch
    reward_scale: float = positive(5.0)  # stands for the temperature: entropy is weighted with 1
    discount: float = within(0, 1, 0.99)
    tau: float = within(0, 1, 5e-3)  # of the target value network
    lr: float = positive(3e-4)  # Adam, for all networks
    output_penalty: float = at_least(0, 1e-3)  # on the squares of the policy's means and log stds
    meta_batch: int = at_least(1, 16)  # tasks of a batch
    batch_size: int = at_least(1, 256)  # transitions of each
    context_size: int = at_least(1, 100)  # transitions that a posterior is inferred from in training
    tasks_per_round: int = at_least(1, 5)  # that collect before the updates of a round
    initial_steps: int = at_least(1, 2000)  # of every task before the first round, with embeddings from the prior
    prior_steps: int = at_least(1, 400)  # with embeddings from the prior; they replace the context
    posterior_steps: int = at_least(0, 0)  # with embeddings from the posterior, also into the context
    extra_steps: int = at_least(0, 600)  # with embeddings from the posterior, to learn from alone
    updates_per_round: int = at_least(1, 2000)
    frames: int = at_least(1, 2_700_000)  # env frames in all; code: 500 rounds
    capacity: int = at_least(1, 3_000_000)  # transitions of all tasks that are kept; code: 1e6 of each
    exploration_episodes: int = at_least(1, 2)  # in a new task, with embeddings from the prior
    adapted_episodes: int = at_least(1, 1)  # after these, each with the posterior of all before it


@dataclass(frozen=True)
class PearlConfig:
    """Options by phase."""

    meta: PearlOptions = field(default_factory=PearlOptions)


PRESETS: dict[str, Overrides] = {
    "locomotion/cheetah-dir": {
        "meta.meta_batch": 4,
        "meta.context_size": 256,
        "meta.tasks_per_round": 2,
        "meta.prior_steps": 1000,
        "meta.extra_steps": 1000,
    },
    "locomotion/ant-dir": {
        "meta.meta_batch": 4,
        "meta.context_size": 256,
        "meta.tasks_per_round": 2,
        "meta.updates_per_round": 4000,
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
        "meta.prior_steps": 200,
        "meta.extra_steps": 200,
        "meta.updates_per_round": 1000,
    },
}

SMOKE: Overrides = {
    "meta.encoder_width": 16,
    "meta.layers": 2,
    "meta.width": 16,
    "meta.meta_batch": 4,
    "meta.batch_size": 8,
    "meta.context_size": 6,
    "meta.tasks_per_round": 2,
    "meta.initial_steps": 4,
    "meta.prior_steps": 4,
    "meta.posterior_steps": 4,
    "meta.extra_steps": 4,
    "meta.updates_per_round": 3,
    "meta.frames": 1500,
    "meta.exploration_episodes": 1,
}
