"""By which episodes a policy is judged, while it trains and in the end."""

from typing import TypeGuard

from lightning_skills.evaluation.adaptation import adapt
from lightning_skills.evaluation.rollouts import MakeEnv, Rollouts, rollout
from lightning_skills.phases.base import PhaseModule
from lightning_skills.phases.meta_train import MetaTrainModule
from lightning_skills.run_options import EvaluationOptions


def interim(module: PhaseModule, make_env: MakeEnv, options: EvaluationOptions) -> Rollouts:
    """A few episodes in the task; where there are several, the adaptation to those to test on."""
    return _judged(module, make_env, options, options.seed, options.interim_episodes)


def final(module: PhaseModule, make_env: MakeEnv, options: EvaluationOptions) -> Rollouts:
    """The same in other worlds, and with more episodes."""
    return _judged(module, make_env, options, options.seed + 1, options.episodes)


def adapts(module: PhaseModule) -> TypeGuard[MetaTrainModule]:
    """Whether it is judged by how it adapts to tasks, in as many episodes as its own options say."""
    return isinstance(module, MetaTrainModule) and module.context.env.tasks is not None


def _judged(module: PhaseModule, make_env: MakeEnv, options: EvaluationOptions, seed: int, episodes: int) -> Rollouts:
    if adapts(module):
        return adapt(module, make_env, seed, options.explore)
    return rollout(module, make_env, episodes, seed, options.explore)
