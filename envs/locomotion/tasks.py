"""The named tasks and the distributions that they are drawn from: those of PEARL (Rakelly et al. 2019).

Numbers of tasks, and which of them are for testing, are those of oyster, the authors' code. It seeds the tasks of
cheetah-vel and of the point robots; ours equal its. The others it draws anew in every run. Here every family is what
its code draws after ``np.random.seed(SEED)``.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from envs.locomotion.config import LocomotionConfig
from envs.named_tasks import pursued
from lightning_skills.data.batch_env import Array, TaskDistribution

Goal = tuple[float, ...]

SEED = 1337
"""The authors' where they have one (cheetah-vel, point robots), and by our choice everywhere else."""


@dataclass(frozen=True)
class LocomotionTask:
    """What one world is to do.

    Args:
        family: The distribution it comes from, a key of :data:`DISTRIBUTIONS`.
        goal: What tells it from the others: a speed in m/s (cheetah-vel), a sign (cheetah-dir), an angle from the x
            axis in radians (ant-dir, humanoid-dir), a place ``(x, y)`` (ant-goal, point robots), or the number of a
            set of model parameters (rand-params).
    """

    family: str
    goal: Goal


def _velocities(count: int) -> Array:
    return np.random.RandomState(SEED).uniform(0.0, 3.0, (count, 1))


def _angles(count: int) -> Array:
    return np.random.RandomState(SEED).uniform(0.0, 2.0 * np.pi, (count, 1))


def _in_disc(count: int, radius: float = 3.0) -> Array:
    rng = np.random.RandomState(SEED)
    angle = rng.random_sample(count) * 2.0 * np.pi
    distance = radius * rng.random_sample(count) ** 0.5
    return np.stack([distance * np.cos(angle), distance * np.sin(angle)], axis=1)


def _in_square(count: int) -> Array:
    return np.random.RandomState(SEED).uniform(-1.0, 1.0, (count, 2))


def _on_half_circle(count: int) -> Array:
    angle = np.linspace(0.0, np.pi, count)
    goals = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    np.random.RandomState(SEED).shuffle(goals)
    return goals


def _numbered(goals: Array) -> dict[str, Goal]:
    return {str(number): tuple(goal) for number, goal in enumerate(goals.tolist())}


_NUMBERS = np.arange(50.0)[:, None]
_GOALS: Mapping[str, Mapping[str, Goal]] = {
    "cheetah-vel": _numbered(_velocities(130)),
    "cheetah-dir": {"backward": (-1.0,), "forward": (1.0,)},
    "ant-goal": _numbered(_in_disc(180)),
    "ant-dir": {"forward": (0.0,), "backward": (np.pi,)},
    "humanoid-dir": _numbered(_angles(130)),
    "walker-rand-params": _numbered(_NUMBERS),
    "hopper-rand-params": _numbered(_NUMBERS),
    "point-robot": _numbered(_in_square(100)),
    "sparse-point-robot": _numbered(_on_half_circle(100)),
}
_TESTED: Mapping[str, int] = {
    "cheetah-vel": 30,
    "ant-goal": 30,  # of 180 as in the code; the paper names 130
    "humanoid-dir": 30,
    "walker-rand-params": 10,
    "hopper-rand-params": 10,
    "point-robot": 20,
    "sparse-point-robot": 20,  # of 100 as in the code; the paper names 200
}
"""How many tasks, the last ones, are for testing. A family of two directions is tested on what it is trained on."""


def _distribution(family: str) -> TaskDistribution:
    names = tuple(f"{family}-{label}" for label in _GOALS[family])
    trained = len(names) - _TESTED.get(family, 0)
    return TaskDistribution(names[:trained], names[trained:] or names)


TASKS: Mapping[str, LocomotionTask] = {
    f"{family}-{label}": LocomotionTask(family, goal)
    for family, goals in _GOALS.items()
    for label, goal in goals.items()
}

DISTRIBUTIONS: Mapping[str, TaskDistribution] = {family: _distribution(family) for family in _GOALS}


def pursue(config: LocomotionConfig) -> tuple[list[LocomotionTask], TaskDistribution | None]:
    """The task that options select, or the tasks of a distribution.

    Raises:
        InputError: if there is none of that name (lists close ones).
    """
    return pursued("locomotion", config.task, TASKS, DISTRIBUTIONS)
