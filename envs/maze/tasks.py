"""The named tasks: a layout, where episodes start, what is rewarded and when they end."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from envs.maze.config import MazeConfig
from envs.maze.layouts import LAYOUTS
from envs.named_tasks import pursued
from lightning_skills.data.batch_env import TaskDistribution
from lightning_skills.errors import InputError

Cell = tuple[int, int]


@dataclass(frozen=True)
class MazeTask:
    """Reach a goal. Positions are simulator positions: index ``(i, j)`` lies 0.2 off the centre of its cell.

    Args:
        layout: Name in :data:`envs.maze.layouts.LAYOUTS`.
        start: Index of the start, which is also its position.
        goal: Index of the goal, which is also its position.
        radius: Distance to the goal within which a step is rewarded.
        reward: Of each such step.
        terminates: Whether the first such step ends the episode.
        horizon: Time limit in steps.
        start_noise: Half-width of the uniform noise on each coordinate of the start.
        velocity_noise: Standard deviation of each component of the first velocity.
        settling_steps: Steps with zero action that belong to the reset.

    Raises:
        InputError: if start or goal is no free cell, or the radius is not positive.
    """

    layout: str
    start: Cell
    goal: Cell
    radius: float
    reward: float
    terminates: bool
    horizon: int = 2000
    start_noise: float = 0.0
    velocity_noise: float = 0.0
    settling_steps: int = 0

    def __post_init__(self) -> None:
        rows = LAYOUTS[self.layout].split()
        for role, (i, j) in (("start", self.start), ("goal", self.goal)):
            if not (0 <= i < len(rows) and 0 <= j < len(rows)) or rows[i][j] == "#":
                raise InputError(f"{role} ({i}, {j}) is not a free cell of layout {self.layout!r}")
        if not self.radius > 0:
            raise InputError(f"radius {self.radius}: must be positive")


SPIRL40 = MazeTask(
    layout="spirl40", start=(10, 24), goal=(18, 8), radius=2.0, reward=1.0, terminates=False, settling_steps=1
)
"""SPiRL's target task. The released code has radius 2.0 since January 2021, after the paper; it was 1.0 before."""

SKIMO40 = replace(SPIRL40, reward=100.0, terminates=True, start_noise=2.0)
"""SkiMo's: starts over a wide square, walls included, from where the contacts push the ball out."""

SIMPL20 = MazeTask(
    layout="simpl20",
    start=(10, 10),
    goal=(12, 7),
    radius=1.0,
    reward=1.0,
    terminates=True,
    start_noise=0.1,
    velocity_noise=0.1,
)
"""SiMPL's, with the first of its test goals."""

SMALL20 = replace(SIMPL20, start=(6, 14), goal=(15, 20), terminates=False, horizon=500)
"""SPiRL's rewards in SiMPL's smaller maze, 15 cells around a corner, which take some 350 steps.

Uniform actions get there in 0.015 % of episodes. Where they do in 0.1 %, flat SAC learns the task from one success.
"""

SIMPL_TRAIN40: tuple[Cell, ...] = (
    *((8, 2), (19, 19), (8, 6), (5, 11), (14, 2), (2, 4), (9, 6), (15, 20), (6, 14), (7, 19)),
    *((11, 8), (9, 19), (11, 6), (19, 5), (14, 6), (20, 5), (11, 18), (2, 6), (18, 16), (17, 16)),
    *((4, 4), (4, 18), (12, 9), (14, 1), (14, 4), (12, 19), (4, 8), (4, 12), (18, 5), (10, 8)),
    *((12, 5), (20, 2), (6, 15), (1, 16), (18, 2), (19, 12), (4, 10), (6, 18), (3, 2), (15, 9)),
)
SIMPL_TRAIN20: tuple[Cell, ...] = (
    *((12, 13), (8, 20), (14, 7), (18, 15), (14, 12), (1, 11), (15, 15), (20, 6), (18, 4), (6, 14)),
    *((5, 10), (6, 15), (14, 9), (3, 14), (12, 19), (12, 4), (2, 11), (19, 13), (8, 18), (18, 5)),
)
SIMPL_TEST: tuple[Cell, ...] = (
    *((12, 7), (1, 19), (5, 12), (2, 8), (5, 19), (19, 11), (11, 20), (7, 8), (15, 19), (20, 16)),
)
SIMPL_TOP: tuple[Cell, ...] = (
    *((3, 20), (2, 18), (10, 19), (6, 18), (20, 19), (1, 20), (1, 18), (2, 20), (12, 20), (15, 20)),
)
SIMPL_TOP_TEST: tuple[Cell, ...] = (
    *((5, 19), (13, 19), (11, 19), (17, 17), (9, 19), (2, 19), (1, 19), (8, 17), (3, 19), (9, 18)),
)
SIMPL_BOTTOM_TEST: tuple[Cell, ...] = (
    *((4, 3), (13, 2), (11, 3), (12, 1), (20, 2), (1, 1), (9, 3), (7, 1), (1, 2), (14, 1)),
)
SIMPL_EASY: tuple[Cell, ...] = ((3, 11), (4, 9), (4, 8), (5, 8), (7, 8))
SIMPL_MEDIUM: tuple[Cell, ...] = (*SIMPL_EASY, (8, 13), (8, 5), (13, 5), (14, 7), (15, 7))
SIMPL_GOALS: tuple[Cell, ...] = tuple(
    dict.fromkeys(
        SIMPL_TEST + SIMPL_TRAIN20 + SIMPL_TRAIN40 + SIMPL_TOP + SIMPL_TOP_TEST + SIMPL_BOTTOM_TEST + SIMPL_MEDIUM
    )
)


def simpl_name(goal: Cell) -> str:
    """Name of SiMPL's task with this goal, e.g. ``simpl20-12-7``."""
    return f"simpl20-{goal[0]}-{goal[1]}"


def _names(goals: tuple[Cell, ...]) -> tuple[str, ...]:
    return tuple(simpl_name(goal) for goal in goals)


DISTRIBUTIONS: Mapping[str, TaskDistribution] = {
    "simpl20-train10": TaskDistribution(_names(SIMPL_TRAIN20[:10]), _names(SIMPL_TEST)),
    "simpl20-train20": TaskDistribution(_names(SIMPL_TRAIN20), _names(SIMPL_TEST)),
    "simpl20-train40": TaskDistribution(_names(SIMPL_TRAIN40), _names(SIMPL_TEST)),
    "simpl20-aligned": TaskDistribution(_names(SIMPL_TOP), _names(SIMPL_TOP_TEST)),
    "simpl20-misaligned": TaskDistribution(_names(SIMPL_TOP), _names(SIMPL_BOTTOM_TEST)),
    "simpl20-easy": TaskDistribution(_names(SIMPL_EASY), _names(SIMPL_EASY)),
    "simpl20-medium": TaskDistribution(_names(SIMPL_MEDIUM), _names(SIMPL_MEDIUM)),
}
"""SiMPL's: of fig. 4 and 6a, which share their test tasks; of 6b and c, where tasks to train on are at the top; of
app. A, whose goals are read from a figure and which is judged by the tasks that it trains on."""

TASKS: Mapping[str, MazeTask] = {
    "small20": SMALL20,
    "spirl40": SPIRL40,
    "skimo40": SKIMO40,
    **{simpl_name(goal): replace(SIMPL20, goal=goal) for goal in SIMPL_GOALS},
}


def task(config: MazeConfig) -> MazeTask:
    """The task that options select, with what they override; of a distribution, the first.

    Raises:
        InputError: if there is no task of that name (lists close ones).
    """
    (first, *_), _ = pursue(config)
    return first


def pursue(config: MazeConfig) -> tuple[list[MazeTask], TaskDistribution | None]:
    """The task that options select, or the tasks of a distribution, which differ by their goals alone.

    Raises:
        InputError: if there is none of that name (lists close ones).
    """
    chosen, distribution = pursued("maze", config.task, TASKS, DISTRIBUTIONS)
    return [
        replace(one, radius=config.radius or one.radius, horizon=config.horizon or one.horizon) for one in chosen
    ], distribution
