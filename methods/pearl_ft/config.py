"""Options of PEARL-ft. "Paper" is SiMPL's, which says little; what it leaves open is as of PEARL's code and of SAC."""

from dataclasses import dataclass, field

from lightning_skills.limits import at_least, positive
from lightning_skills.phases.options import TINY_PEARL, PearlOptions, TargetTaskOptions
from lightning_skills.plugins import Overrides, of_phase


@dataclass(frozen=True)
class PearlFtOptions(TargetTaskOptions):
    """Options of :class:`methods.pearl_ft.adapt.PearlFtModule`."""

    conditioning_episodes: int = at_least(1, 20)  # with embeddings from the prior, to infer the task's from (paper)
    batch_size: int = at_least(1, 4096)  # transitions, and how many there must be before the first update; kitchen 1024
    reuse: float = positive(4096.0)  # how often a new transition is drawn: an update for each; kitchen 1024
    capacity: int = at_least(1, 1_000_000)  # transitions kept


@dataclass(frozen=True)
class PearlFtConfig:
    """Options by phase; the defaults are for the maze."""

    meta: PearlOptions = field(
        default_factory=lambda: PearlOptions(
            reward_scale=1.0,
            initial_alpha=0.1,  # paper
            meta_batch=20,  # paper
            batch_size=1024,
            initial_steps=20_000,  # PEARL's code has as many episodes, ten
            prior_steps=4_000,  # two
            extra_steps=6_000,  # three
            frames=26_000_000,  # 500 rounds, as PEARL's code
            exploration_episodes=20,  # paper
        )
    )
    adapt: PearlFtOptions = field(default_factory=PearlFtOptions)


PRESETS: dict[str, Overrides] = {
    "kitchen": {
        "meta.batch_size": 256,
        "meta.initial_steps": 2_800,
        "meta.prior_steps": 560,
        "meta.extra_steps": 840,
        "meta.frames": 6_700_000,  # SiMPL's, 950 rounds
        "adapt.batch_size": 1024,
        "adapt.reuse": 1024.0,
        "adapt.frames": 280_000,
    },
}

SMOKE: Overrides = {
    **of_phase("meta", TINY_PEARL),
    "adapt.conditioning_episodes": 2,
    "adapt.batch_size": 4,
    "adapt.reuse": 0.2,
    "adapt.frames": 250,
}
