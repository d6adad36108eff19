"""PEARL: probabilistic embeddings for actor-critic meta-RL (Rakelly et al., ICML 2019).

A task encoder infers a posterior over task embeddings from a few transitions; policy and critics see a sample of it.
What differs from the authors' code is said in :mod:`lightning_skills.phases.pearl`.
"""

from lightning_skills.plugins import TASKS, MethodSpec, Phase
from methods.pearl.config import PRESETS, SMOKE, PearlConfig

METHOD = MethodSpec(
    name="pearl",
    summary="PEARL: an actor-critic that infers its task from a few transitions",
    paper="https://arxiv.org/abs/1903.08254",
    config=PearlConfig,
    phases=(Phase("meta", "lightning_skills.phases.pearl:PearlModule", data="tasks", yields="pearl"),),
    requires=frozenset({TASKS}),
    presets=PRESETS,
    smoke=SMOKE,
)
