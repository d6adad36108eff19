"""Makes the worlds."""

from collections.abc import Sequence

from envs.batch import GymnasiumBatch
from envs.gymnasium.config import GymnasiumConfig


def make(config: GymnasiumConfig, seeds: Sequence[int]) -> GymnasiumBatch:
    """One copy of the environment per seed.

    Raises:
        InputError: if there is no such id, or it cannot be batched.
    """
    return GymnasiumBatch(config.task, seeds, config.horizon)
