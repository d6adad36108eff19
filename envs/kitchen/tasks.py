"""The named tasks: four subtasks, in the order in which they are to be done.

Sources: the papers and released code of SPiRL, SkiMo and SiMPL; goals and threshold are D4RL's.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from envs.kitchen.config import KitchenConfig
from envs.named_tasks import pursued
from lightning_skills.data.batch_env import TaskDistribution


@dataclass(frozen=True)
class Subtask:
    """Bring joints of an object to a goal.

    Args:
        joints: Where they are in the 30 numbers of the state.
        goal: Their values when done; it counts as done within :data:`THRESHOLD`.
    """

    joints: tuple[int, ...]
    goal: tuple[float, ...]


@dataclass(frozen=True)
class KitchenTask:
    """Do subtasks, a reward of 1 for each.

    Args:
        subtasks: Names in :data:`SUBTASKS`, in order.
        shown: Subtasks whose goals are in the observed goal; 0 stands for all other joints.
    """

    subtasks: tuple[str, ...]
    shown: tuple[str, ...]


THRESHOLD = 0.3
"""Euclidean distance of an object's joints to its goal below which a subtask is done."""

SUBTASKS: Mapping[str, Subtask] = {
    "bottom burner": Subtask((11, 12), (-0.88, -0.01)),
    "top burner": Subtask((15, 16), (-0.92, -0.01)),
    "light switch": Subtask((17, 18), (-0.69, -0.05)),
    "slide cabinet": Subtask((19,), (0.37,)),
    "hinge cabinet": Subtask((20, 21), (0.0, 1.45)),
    "microwave": Subtask((22,), (-0.75,)),
    "kettle": Subtask((23, 24, 25, 26, 27, 28, 29), (-0.23, 0.75, 1.62, 0.99, 0.0, 0.0, -0.06)),
}

LETTERS: Mapping[str, str] = {
    "b": "bottom burner",
    "t": "top burner",
    "l": "light switch",
    "s": "slide cabinet",
    "h": "hinge cabinet",
    "m": "microwave",
    "k": "kettle",
}
"""What the letters in a task's name stand for."""

MIXED, MISALIGNED, WELL_ALIGNED = "mkbl", "mlsh", "kbts"
"""SPiRL's and SkiMo's task; SkiMo's of which the demonstrations hold little; SkiLD's of which they hold much."""

SIMPL_TRAIN: tuple[str, ...] = (
    *("mkbs", "mbts", "mtlh", "kblh", "mbht", "ktls", "mksb", "klsb", "mkbt", "mksh", "mbst", "kblt"),
    *("mktl", "mklh", "mbls", "kbtl", "mlsh", "mbth", "kbsh", "btsl", "mkls", "kbth", "btls"),
)
SIMPL_TEST: tuple[str, ...] = ("mblt", "mbtl", "kbls", "mkth", "kbst", "klsh", "kbts", "mbsh", "btsh", "mkbh")


def spelled_out(letters: str) -> tuple[str, ...]:
    """The subtasks that letters stand for, e.g. of ``mkbl``."""
    return tuple(LETTERS[letter] for letter in letters)


def simpl_name(letters: str) -> str:
    """Name of SiMPL's task with these subtasks, e.g. ``simpl-mkbs``."""
    return f"simpl-{letters}"


def _names(sequences: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(simpl_name(letters) for letters in sequences)


TASKS: Mapping[str, KitchenTask] = {
    **{name: KitchenTask(spelled_out(name), spelled_out(name)) for name in (MIXED, MISALIGNED, WELL_ALIGNED)},
    **{simpl_name(name): KitchenTask(spelled_out(name), spelled_out(MIXED)) for name in SIMPL_TRAIN + SIMPL_TEST},
}
"""SiMPL's tasks show the goal of the mixed task, whichever they are, and so tell nothing by it."""

DISTRIBUTIONS: Mapping[str, TaskDistribution] = {
    "simpl": TaskDistribution(_names(SIMPL_TRAIN), _names(SIMPL_TEST)),
}
"""SiMPL's meta-training set and its test tasks."""


def pursue(config: KitchenConfig) -> tuple[list[KitchenTask], TaskDistribution | None]:
    """The task that options select, or the tasks of a distribution, which show the same goal.

    Raises:
        InputError: if there is none of that name (lists close ones).
    """
    return pursued("kitchen", config.task, TASKS, DISTRIBUTIONS)


def task(config: KitchenConfig) -> KitchenTask:
    """The task that options select; of a distribution, the first."""
    return pursue(config)[0][0]
