"""Options of the shared phases. Importable without torch, for the configs of methods.

Defaults are SPiRL's for its maze. "Paper" is Pertsch et al. 2020, "code" the authors' release.
"""

from dataclasses import dataclass

from lightning_skills.errors import InputError
from lightning_skills.limits import at_least, one_of, positive, within
from lightning_skills.plugins import Overrides

DECODERS = ("closed_loop", "open_loop", "conditioned")


@dataclass(frozen=True)
class PretrainOptions:
    """Options of :class:`lightning_skills.phases.pretrain.PretrainModule`."""

    width: int = at_least(1, 128)  # LSTM and hidden layers (paper, app. B)
    lr: float = positive(1e-3)  # RAdam (paper, app. B)
    batch_size: int = at_least(2, 128)  # code; paper 16
    updates: int = at_least(1, 1_195_000)  # 200 epochs of 10 passes over 85 000 trajectories, 10 % held out (code)
    clip_norm: float = positive(1e-3)  # global gradient norm during the first updates (code: against NaNs)
    clip_updates: int = at_least(0, 100)  # how many these are (code)


@dataclass(frozen=True)
class SkillPretrainOptions(PretrainOptions):
    """Options of :class:`lightning_skills.phases.skill_pretrain.SkillPretrainModule`."""

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
class SkillRLOptions:
    """Options of :class:`lightning_skills.phases.skill_rl.SkillRLModule`.

    Raises:
        InputError: if there is a prior to keep to and no divergence from it.
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
    discount: float = within(0, 1, 0.99)  # per high-level step (code)
    tau: float = within(0, 1, 5e-3)  # of the target critics (paper, app. C)
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


TINY_PRETRAINING: Overrides = {"updates": 4, "batch_size": 16, "width": 16}
TINY_SKILLS: Overrides = {**TINY_PRETRAINING, "prior_layers": 1, "decoder_layers": 1}
"""Of :class:`SkillPretrainOptions`, for ``debug=smoke``; so are the others of their phases."""
TINY_ACTION_PRIOR: Overrides = {**TINY_PRETRAINING, "layers": 1}
TINY_NETWORKS: Overrides = {"policy_layers": 1, "policy_width": 16, "critic_layers": 1, "critic_width": 16}
TINY_SKILL_RL: Overrides = {**TINY_NETWORKS, "batch_size": 16, "warmup": 4, "frames": 120}
TINY_ACTION_RL: Overrides = {**TINY_NETWORKS, "batch_size": 16, "warmup": 16, "frames": 40}
"""Where an action of the policy is a primitive one."""
