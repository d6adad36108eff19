"""Options of the shared phases. Importable without torch, for the configs of methods.

Defaults are SPiRL's for its maze unless said otherwise. "Paper" is Pertsch et al. 2020, "code" the authors' release.
"""

from dataclasses import dataclass
from typing import ClassVar

from lightning_skills.errors import InputError
from lightning_skills.limits import at_least, one_of, positive, within
from lightning_skills.plugins import Overrides

DECODERS = ("closed_loop", "open_loop", "conditioned")


@dataclass(frozen=True)
class PretrainOptions:
    """Options of :class:`lightning_skills.phases.pretrain.PretrainModule`.

    Attributes:
        defining: Options that say what is learned, and not only how large it is or how it is learned; an artefact whose
            settings of these names are others is not taken for what the phase hands on.
    """

    defining: ClassVar[tuple[str, ...]] = ()

    width: int = at_least(1, 128)  # LSTM and hidden layers (paper, app. B)
    lr: float = positive(1e-3)  # RAdam (paper, app. B)
    batch_size: int = at_least(2, 128)  # code; paper 16
    updates: int = at_least(1, 1_195_000)  # 200 epochs of 10 passes over 85 000 trajectories, 10 % held out (code)
    clip_norm: float = positive(1e-3)  # global gradient norm during the first updates (code: against NaNs)
    clip_updates: int = at_least(0, 100)  # how many these are (code)
    cooldown: float = within(0, 1, 0.0)  # share of the updates, at the end, in which the rate falls to 0 (code: none)


@dataclass(frozen=True)
class SkillPretrainOptions(PretrainOptions):
    """Options of :class:`lightning_skills.phases.skill_pretrain.SkillPretrainModule`."""

    defining: ClassVar[tuple[str, ...]] = ("decoder", "horizon", "latent_dim")

    # "closed_loop": a policy given z (later code); "open_loop": an LSTM (paper); "conditioned": app. D
    decoder: str = one_of(DECODERS, "closed_loop")
    horizon: int = at_least(1, 10)  # primitive steps per skill (paper, app. B)
    latent_dim: int = at_least(1, 10)  # length of z (paper, app. B)
    encoder_width: int = at_least(1, 32)  # output of the encoder's LSTM (code, `nz_enc`: maze 32, kitchen 128)
    decoder_layers: int = at_least(0, 3)  # of a closed-loop decoder, between first and last (code: maze 3, kitchen 5)
    prior_layers: int = at_least(0, 6)  # between first and last (paper, app. B)
    features: int = at_least(1, 32)  # of an image (code)
    # Before the skill, that the posterior sees too; None: 1 with images, else 0 (code)
    past_actions: int | None = one_of((0, 1), None)
    # An open-loop decoder learns its first action and state (code; at the paper's time: zeros)
    trained_start: bool = True
    # "nll": of the posterior's sample; "kl": of the posterior, mean over dimensions (code, a flag)
    prior_estimator: str = one_of(("nll", "kl"), "nll")
    beta: float = at_least(0, 1e-2)  # weight of the KL to N(0, 1) (paper, app. B: maze 1e-2, kitchen 5e-4)
    # Mean KL per dimension at which beta is learned to hold it (code, unused there)
    target_kl: float | None = positive(None)
    beta_lr: float = positive(3e-4)  # RAdam of a learned beta (code)


@dataclass(frozen=True)
class ActionPriorOptions(PretrainOptions):
    """Options of :class:`lightning_skills.phases.action_prior.ActionPriorModule`."""

    layers: int = at_least(0, 5)  # between first and last (code)
    features: int = at_least(1, 128)  # of an image (code)
    updates: int = at_least(1, 478_000)  # 200 epochs of 4 passes over the maze's trajectories (code)


@dataclass(frozen=True)
class SimplSkillOptions(SkillPretrainOptions):
    """SiMPL's: encoder and decoder are SPiRL's kitchen's in the maze too; its code has no training of them.

    Beta is that of SPiRL's kitchen; nothing is published for the maze.
    """

    decoder: str = one_of(("closed_loop",), "closed_loop")
    encoder_width: int = at_least(1, 128)
    decoder_layers: int = at_least(0, 5)
    beta: float = at_least(0, 5e-4)


@dataclass(frozen=True)
class SkillRLOptions:
    """Options of :class:`lightning_skills.phases.skill_rl.SkillRLModule`.

    Raises:
        InputError: if there is a prior to keep to and no divergence from it, or the frames end within the warm-up.
    """

    # "prior": starts as a copy of the skill prior (paper, sec. 3.3); "scratch": from random weights
    policy: str = one_of(("prior", "scratch"), "prior")
    policy_layers: int = at_least(0, 2)  # of a policy from scratch, between first and last (code, SAC in the maze)
    policy_width: int = at_least(1, 256)  # of a policy from scratch (code)
    critic_layers: int = at_least(0, 2)  # between first and last (code: maze 2, kitchen 5)
    critic_width: int = at_least(1, 256)  # code
    # "prior": KL to the skill prior (paper, Alg. 1); "entropy": SAC
    regulariser: str = one_of(("prior", "entropy"), "prior")
    target_divergence: float | None = 1.0  # delta (paper, app. C: maze 1, kitchen 5); None: dim(A), SAC's heuristic
    # "analytic": exact; "sampled": 10 samples clamped to +-100 (code); same expectation
    kl_estimator: str = one_of(("analytic", "sampled"), "analytic")
    initial_alpha: float = positive(1.0)  # code
    lr: float = positive(3e-4)  # Adam, for policy, critics and alpha (paper, app. C)
    alpha_lr: float | None = positive(None)  # Adam, for alpha; None: as all others (SiMPL's kitchen 3e-3)
    discount: float = within(0, 1, 0.99)  # per high-level step (code)
    tau: float = within(0, 1, 5e-3)  # of the target critics (paper, app. C)
    reward_scale: float = positive(1.0)  # of rewards where critics learn them (code: none)
    standardise: bool = False  # critics see states by their mean and standard deviation in the warm-up (code: no)
    batch_size: int = at_least(1, 256)  # paper, app. C
    updates_per_transition: float = at_least(0.001, 1.0)  # code; 0.1: one for every ten transitions
    warmup: int = at_least(1, 5000)  # transitions collected before the first update (code)
    # Primitive steps to collect, warm-up included (paper, fig. 4: maze 1.4M beyond it)
    frames: int = at_least(1, 1_500_000)
    capacity: int = at_least(1, 100_000)  # transitions kept (code: 1e5 for the closed-loop model)
    bound: float | None = positive(2.0)  # skills are bound * tanh(slope * u / bound) (code); None: u itself
    slope: float | None = positive(None)  # None: the bound, so bound * tanh(u) (code); 1 leaves skills as trained
    tanh_actions: bool | None = None  # decoded actions go through tanh; None: in closed loop (code), not in open loop
    timeout_is_done: bool = True  # the time limit counts as terminal (code)

    def __post_init__(self) -> None:
        if self.regulariser == "prior" and self.target_divergence is None:
            raise InputError("regulariser=prior needs a target_divergence")
        if self.frames <= self.warmup:  # a transition takes a frame at least
            raise InputError(f"frames={self.frames} end within the warm-up of {self.warmup} transitions; give more")


@dataclass(frozen=True)
class TargetTaskOptions:
    """Options of :class:`lightning_skills.phases.target_task.TargetTaskModule`; the defaults are SiMPL's code's."""

    batch_size: int = at_least(1, 256)  # transitions, and how many there must be before the first update
    reuse: float = positive(256.0)  # how often a new transition is drawn, in the mean
    discount: float = within(0, 1, 0.99)  # per transition
    tau: float = within(0, 1, 5e-3)  # of the target critics
    lr: float = positive(3e-4)  # Adam, for policy and critics, and alpha unless it has its own
    capacity: int = at_least(1, 20_000)  # transitions kept
    # Env frames in each task. Code: 1000 episodes, up to 2M frames, of which the paper shows 500; kitchen 1000 of 280
    frames: int = at_least(1, 1_000_000)


@dataclass(frozen=True)
class SkillTargetTaskOptions(TargetTaskOptions):
    """Options of :class:`lightning_skills.phases.target_task.SkillTargetTaskModule`; as of SiMPL's code in the maze."""

    target_divergence: float = positive(1.0)  # KL to the skill prior at which alpha stops growing; kitchen 5
    divergence_clip: float = positive(5.0)  # of the KL in the critics' target; kitchen 20


@dataclass(frozen=True)
class SkillAgentSizes:
    """What policies over skills and their critics are built from; the defaults are SiMPL's code's in the maze."""

    layers: int = at_least(1, 3)  # hidden layers; kitchen 5
    width: int = at_least(1, 256)  # of each; kitchen 128


@dataclass(frozen=True)
class SpirlTargetTaskOptions(SkillTargetTaskOptions):
    """Options of :class:`lightning_skills.phases.target_task.SpirlTargetTaskModule`; as of SiMPL's code in the maze."""

    divergence_clip: float = positive(10.0)  # of the KL in the critics' target
    initial_alpha: float = positive(0.05)  # first weight of the KL to the skill prior; kitchen 1
    alpha_lr: float = positive(3e-4)  # Adam; kitchen 3e-3


@dataclass(frozen=True)
class PearlSizes:
    """What the networks of PEARL are built from, and predict; the defaults are its authors' code's (oyster)."""

    embedding_dim: int = at_least(1, 5)
    encoder_layers: int = at_least(1, 3)  # hidden layers of the task encoder
    encoder_width: int = at_least(1, 200)
    layers: int = at_least(1, 3)  # hidden layers of policy, critics and value
    width: int = at_least(1, 300)
    next_state_in_context: bool = False  # true where tasks differ by their dynamics
    task_blind: bool = False  # every embedding is 0: nothing is known of a task, for comparison
    train_reward: str = "reward"  # what critics learn from: "reward", or a number that is observed, such as a dense one
    reward_scale: float = positive(5.0)  # of it; stands for the temperature


@dataclass(frozen=True)
class PearlOptions(PearlSizes):
    """Options of :class:`lightning_skills.phases.pearl.PearlModule`; the defaults are its authors' code's (oyster).

    Numbers of steps count transitions of a task.

    Raises:
        InputError: if both the weight of the entropy is learned and rewards are scaled.
    """

    kl_weight: float = at_least(0, 0.1)  # of the sum of the KLs to N(0, 1) over the tasks of a batch
    initial_alpha: float | None = positive(None)  # first weight of the entropy, then learned; None: 1 for good (code)
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
    capacity: int = at_least(1, 1_000_000)  # transitions of a task that each view keeps
    exploration_episodes: int = at_least(1, 2)  # in a new task, with embeddings from the prior
    adapted_episodes: int = at_least(1, 1)  # after these, each with the posterior of all before it

    def __post_init__(self) -> None:
        if self.initial_alpha is not None and self.reward_scale != 1:
            raise InputError("initial_alpha takes the place of reward_scale; set reward_scale=1, or initial_alpha=null")


ACTION_PRIOR_PRESETS: dict[str, Overrides] = {
    "maze": {"prior.updates": 50_000},
    "maze/small20": {"prior.updates": 12_000, "rl.frames": 150_000, "rl.tau": 0.02, "rl.timeout_is_done": False},
    "blocks": {
        "prior.updates": 22_000,
        "prior.cooldown": 0.3,
        "rl.standardise": True,  # as SPiRL's
        "rl.timeout_is_done": False,
        "rl.capacity": 100_000,
        "rl.frames": 600_000,
    },
    "kitchen": {
        "prior.updates": 25_000,  # as SPiRL's model; code: some 1.06M in 200 epochs
        "prior.cooldown": 0.3,
        "rl.capacity": 100_000,
        "rl.frames": 1_300_000,
    },
}
"""Of methods with an action prior, by env; their phases are "prior" and "rl"."""
SIMPL_SKILL_PRESETS: dict[str, Overrides] = {
    "maze": {"skills.updates": 100_000},  # ours
    "kitchen": {"skills.updates": 25_000, "skills.cooldown": 0.3},  # as SPiRL's there; its code 480 000, no cooldown
}
"""Of SiMPL and its baselines, by env."""
SPIRL_IN_SIMPLS_KITCHEN: Overrides = {
    "initial_alpha": 1.0,
    "alpha_lr": 3e-3,
    "target_divergence": 5.0,
    "frames": 280_000,
}
"""Of :class:`SpirlTargetTaskOptions` (SiMPL's code)."""
TINY_PRETRAINING: Overrides = {"updates": 4, "batch_size": 16, "width": 16}
TINY_SKILLS: Overrides = {**TINY_PRETRAINING, "prior_layers": 1, "decoder_layers": 1}
"""Of :class:`SkillPretrainOptions`, for ``debug=smoke``; so are the others of their phases."""
TINY_ACTION_PRIOR: Overrides = {**TINY_PRETRAINING, "layers": 1}
TINY_NETWORKS: Overrides = {"policy_layers": 1, "policy_width": 16, "critic_layers": 1, "critic_width": 16}
TINY_SKILL_RL: Overrides = {**TINY_NETWORKS, "batch_size": 16, "warmup": 4, "frames": 120}
TINY_ACTION_RL: Overrides = {**TINY_NETWORKS, "batch_size": 16, "warmup": 16, "frames": 40}
"""Where an action of the policy is a primitive one."""
TINY_PEARL: Overrides = {
    "encoder_width": 16,
    "layers": 2,
    "width": 16,
    "meta_batch": 4,
    "batch_size": 8,
    "context_size": 6,
    "tasks_per_round": 2,
    "initial_steps": 4,
    "prior_steps": 20,
    "extra_steps": 20,
    "updates_per_round": 3,
    "frames": 1500,
    "exploration_episodes": 1,
}
