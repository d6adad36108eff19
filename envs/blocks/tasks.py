"""The named tasks: how many blocks, what is rewarded and how long an episode lasts."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from envs.blocks.config import BlocksConfig
from envs.named_tasks import named


@dataclass(frozen=True)
class BlocksTask:
    """Build a tower from blocks that lie 0.2 apart, as high as the time allows; only the time limit ends an episode.

    Args:
        blocks: How many, 5 or 11.
        dense: Whether grasping, lifting and stacking are rewarded beside the tower's height.
        levels: How many blocks a tower must rise above its lowest for a step to count as success. Ours; the authors
            report the height itself.
        horizon: Time limit in steps of 0.1 s.
    """

    blocks: int
    dense: bool
    levels: int = 3
    horizon: int = 1000


DENSE11 = BlocksTask(blocks=11, dense=True)
"""The target task of SPiRL's paper."""

SPARSE11 = replace(DENSE11, dense=False)
"""That of the authors' closed-loop model, later."""

TASKS: Mapping[str, BlocksTask] = {
    "dense5": replace(DENSE11, blocks=5, horizon=500),
    "sparse5": replace(SPARSE11, blocks=5, horizon=500),
    "dense11": DENSE11,
    "sparse11": SPARSE11,
}
"""Those with 5 blocks are ours: the table of the demonstrations."""


def task(config: BlocksConfig) -> BlocksTask:
    """The task that options select, with what they override.

    Raises:
        InputError: if there is no task of that name (lists close ones).
    """
    chosen = named("blocks", config.task, TASKS)
    return replace(chosen, horizon=config.horizon or chosen.horizon)
