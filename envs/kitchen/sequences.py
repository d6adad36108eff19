"""Which four subtasks a demonstration does, in which order.

"mixed" follows D4RL's kitchen-mixed, the data of SPiRL, SkiMo and SiMPL: 603 recordings of people, of which none does
:data:`envs.kitchen.tasks.MIXED` and 3.5 % do :data:`envs.kitchen.tasks.MISALIGNED`.
"""

from collections.abc import Mapping

import numpy as np

from envs.kitchen.tasks import LETTERS, SIMPL_TEST, SIMPL_TRAIN

LENGTH = 4
"""Subtasks of a demonstration."""

TREE: Mapping[str, Mapping[str, float]] = {
    "": {"m": 60.9, "k": 29.7, "b": 9.5},
    "m": {"b": 46.6, "k": 42.0, "t": 5.7, "l": 5.7},
    "k": {"b": 78.2, "l": 11.2, "t": 10.6},
    "b": {"t": 100.0},
    "mb": {"t": 42.1, "l": 40.4, "s": 17.0, "h": 0.6},
    "mk": {"b": 31.2, "t": 27.3, "l": 25.3, "s": 16.2},
    "mt": {"l": 100.0},
    "ml": {"s": 100.0},
    "kb": {"t": 45.0, "l": 35.0, "s": 20.0},
    "kt": {"l": 100.0},
    "kl": {"s": 100.0},
    "bt": {"s": 52.6, "l": 47.4},
}
"""How often, in percent, each subtask follows what was done before (SkiLD's figure of the recordings: Pertsch, Lee, Wu
and Lim, CoRL 2021). The figure does not tell the fourth."""


def draw(kind: str, rng: np.random.Generator) -> str:
    """Letters of four subtasks in order.

    Args:
        kind: "mixed": by the tree, whose three are ended, uniformly, as one of SiMPL's tasks, to train on or to test
            on; "random": any four of the seven in any order, uniformly.
        rng: Where they are drawn from.
    """
    if kind == "random":
        return "".join(rng.choice(list(LETTERS), LENGTH, replace=False))
    drawn = ""
    while len(drawn) < LENGTH:
        follows = following(drawn)
        shares = np.array(list(follows.values()))
        drawn += str(rng.choice(list(follows), p=shares / shares.sum()))
    return drawn


def following(done: str) -> Mapping[str, float]:
    """What follows the letters of up to three subtasks in "mixed", and how often, not normalised."""
    return TREE.get(done) or {task[-1]: 1.0 for task in SIMPL_TRAIN + SIMPL_TEST if task.startswith(done)}
