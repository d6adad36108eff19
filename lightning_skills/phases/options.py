"""Options of the shared phases. Importable without torch, for the configs of methods.

Defaults are SPiRL's for its maze. "Paper" is Pertsch et al. 2020, "code" the authors' release.
"""

from dataclasses import dataclass

from lightning_skills.errors import InputError

DECODERS = ("closed_loop", "open_loop", "conditioned")


def check_choice(option: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise InputError, naming the option, unless ``value`` is one of ``choices``."""
    if value not in choices:
        raise InputError(f"{option} is {value!r}; choose one of {', '.join(choices)}")


@dataclass(frozen=True)
class PretrainOptions:
    """Options of :class:`lightning_skills.phases.pretrain.PretrainModule`."""

    width: int = 128  # LSTM and hidden layers (paper, app. B)
    lr: float = 1e-3  # RAdam (paper, app. B)
    batch_size: int = 128  # code; paper 16
    updates: int = 1_195_000  # 200 epochs of 10 passes over 85 000 trajectories, 10 % held out (code)
    clip_norm: float = 1e-3  # global gradient norm during the first updates (code: against NaNs)
    clip_updates: int = 100  # how many these are (code)


@dataclass(frozen=True)
class SkillPretrainOptions(PretrainOptions):
    """Options of :class:`lightning_skills.phases.skill_pretrain.SkillPretrainModule`.

    Raises:
        InputError: if a choice is unknown.
    """

    decoder: str = "closed_loop"  # a policy given z (later code); "open_loop": an LSTM (paper); "conditioned": app. D
    horizon: int = 10  # primitive steps per skill (paper, app. B)
    latent_dim: int = 10  # length of z (paper, app. B)
    encoder_width: int = 32  # output of the encoder's LSTM (code, `nz_enc`: maze 32, kitchen 128)
    decoder_layers: int = 3  # of a closed-loop decoder, between first and last (code: maze 3, kitchen 5)
    prior_layers: int = 6  # between first and last (paper, app. B)
    features: int = 32  # of an image (code)
    past_actions: int | None = None  # before the skill, that the posterior sees too; None: 1 with images, else 0 (code)
    trained_start: bool = (
        True  # an open-loop decoder learns its first action and state (code; at the paper's time: zeros)
    )
    prior_estimator: str = (
        "nll"  # of the posterior's sample; "kl": of the posterior, mean over dimensions (code, a flag)
    )
    beta: float = 1e-2  # weight of the KL to N(0, 1) (paper, app. B: maze 1e-2, kitchen 5e-4)
    target_kl: float | None = None  # mean KL per dimension at which beta is learned to hold it (code, unused there)
    beta_lr: float = 3e-4  # RAdam of a learned beta (code)

    def __post_init__(self) -> None:
        check_choice("decoder", self.decoder, DECODERS)
        check_choice("prior_estimator", self.prior_estimator, ("nll", "kl"))
        if self.past_actions not in (None, 0, 1):
            raise InputError(f"past_actions is {self.past_actions}; choose 0 or 1")


@dataclass(frozen=True)
class ActionPriorOptions(PretrainOptions):
    """Options of :class:`lightning_skills.phases.action_prior.ActionPriorModule`."""

    layers: int = 5  # between first and last (code)
    features: int = 128  # of an image (code)
    updates: int = 478_000  # 200 epochs of 4 passes over the maze's trajectories (code)


@dataclass(frozen=True)
class SkillRLOptions:
    """Options of :class:`lightning_skills.phases.skill_rl.SkillRLModule`.

    Raises:
        InputError: if a choice is unknown.
    """

    policy: str = (
        "prior"  # "prior": starts as a copy of the skill prior (paper, sec. 3.3); "scratch": from random weights
    )
    policy_layers: int = 2  # of a policy from scratch, between first and last (code, SAC in the maze)
    policy_width: int = 256  # of a policy from scratch (code)
    critic_layers: int = 2  # between first and last (code: maze 2, kitchen 5)
    critic_width: int = 256  # code
    regulariser: str = "prior"  # "prior": KL to the skill prior (paper, Alg. 1); "entropy": SAC
    target_divergence: float | None = 1.0  # delta (paper, app. C: maze 1, kitchen 5); None: dim(A), SAC's heuristic
    kl_estimator: str = "analytic"  # "sampled": 10 samples clamped to +-100 (code); same expectation
    initial_alpha: float = 1.0  # code
    lr: float = 3e-4  # Adam, for policy, critics and alpha (paper, app. C)
    discount: float = 0.99  # per high-level step (code)
    tau: float = 5e-3  # of the target critics (paper, app. C)
    batch_size: int = 256  # paper, app. C
    updates_per_transition: int = 1  # code
    warmup: int = 5000  # transitions collected before the first update (code)
    frames: int = 1_500_000  # primitive steps to collect, warm-up included (paper, fig. 4: maze 1.4M beyond it)
    capacity: int = 100_000  # transitions kept (code: 1e5 for the closed-loop model)
    bound: float | None = 2.0  # skills are bound * tanh(u) (code); None: u itself
    tanh_actions: bool | None = None  # decoded actions go through tanh; None: in closed loop (code), not in open loop
    timeout_is_done: bool = True  # the time limit counts as terminal (code)

    def __post_init__(self) -> None:
        check_choice("policy", self.policy, ("prior", "scratch"))
        check_choice("regulariser", self.regulariser, ("prior", "entropy"))
        check_choice("kl_estimator", self.kl_estimator, ("analytic", "sampled"))
        if self.regulariser == "prior" and self.target_divergence is None:
            raise InputError("regulariser=prior needs a target_divergence")
