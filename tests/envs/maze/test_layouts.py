"""Layouts: the published mazes bit for bit, and the generator's rules."""

import hashlib

import numpy as np
import pytest
from scipy.ndimage import label

from envs.maze import layouts
from envs.maze.tasks import (
    DISTRIBUTIONS,
    SIMPL20,
    SIMPL_BOTTOM_TEST,
    SIMPL_EASY,
    SIMPL_MEDIUM,
    SIMPL_TEST,
    SIMPL_TOP,
    SIMPL_TOP_TEST,
    SIMPL_TRAIN20,
    SIMPL_TRAIN40,
    TASKS,
)

UNREACHABLE = {(13, 16), (13, 17), (15, 17)}


def test_spirl40_is_the_published_maze():
    layout = layouts.named("spirl40")
    assert hashlib.sha1(layouts.picture(layout).encode()).hexdigest() == "6a38d2ac8e2abab62b125d0328d6eb48b8c67312"
    inner = hashlib.sha256(layout[1:-1, 1:-1].astype(np.uint8).tobytes()).hexdigest()
    assert inner == "564f17d31752e59068221f2e16cdbd55366995504cc3b880c681015db54ccb2a"


def test_simpl20_is_the_published_maze():
    rows = layouts.picture(layouts.named("simpl20")).replace(".", "O").replace("O", "G", 1).split()
    digest = hashlib.sha256("\\".join(rows).encode()).hexdigest()
    assert digest == "927799e519d1fe375b2c1268df799bf7f3d931a08d3c75b7db7da9cf8517b2ca"


@pytest.mark.parametrize(("name", "size"), [("spirl40", 40), ("simpl20", 20)])
def test_generator_draws_the_published_mazes(name, size):
    assert np.array_equal(layouts.random_layout(size, np.random.default_rng(0)), layouts.named(name))


def test_wall_has_a_framed_door():
    band = np.zeros((7, layouts.BAND), dtype=bool)
    layouts._draw_wall(band, door=3)
    assert layouts.picture(band).split() == ["..#..", "..#..", ".###.", ".....", ".###.", "..#..", "..#.."]


def test_random_layouts_are_closed_covered_and_differ():
    rng = np.random.default_rng(3)
    mazes = [layouts.random_layout(20, rng) for _ in range(20)]
    assert len({maze.tobytes() for maze in mazes}) == 20
    for maze in mazes:
        assert maze.shape == (22, 22)
        assert maze[[0, -1]].all()
        assert maze[:, [0, -1]].all()
        assert 0.25 <= maze[1:-1, 1:-1].mean() < 0.33


def test_all_goals_but_no_walled_in_cell_can_be_reached():
    regions, _ = label(~layouts.named("simpl20"))
    home = regions[10, 10]
    cells = set(map(tuple, np.argwhere((regions != 0) & (regions != home)).tolist()))
    assert cells == UNREACHABLE
    assert all(regions[task.goal] == home for task in TASKS.values() if task.layout == "simpl20")


def test_task_distributions_have_the_published_sizes():
    assert [len(set(goals)) for goals in (SIMPL_TRAIN40, SIMPL_TRAIN20, SIMPL_TEST)] == [40, 20, 10]
    for name, size in (("simpl20-train10", 10), ("simpl20-train20", 20), ("simpl20-train40", 40)):
        distribution = DISTRIBUTIONS[name]
        assert len(distribution.train) == size
        assert len(distribution.test) == 10
        assert not set(distribution.train) & set(distribution.test)
        assert set(distribution.train + distribution.test) <= TASKS.keys()


def steps_from(start, layout):
    """Length of the shortest path along free cells to every cell that has one."""
    length, border = {start: 0}, [start]
    for x, y in border:  # grows while it is walked through
        for cell in ((x + 1, y), (x - 1, y), (x, y + 1), (x, y - 1)):
            if not layout[cell] and cell not in length:
                length[cell] = length[x, y] + 1
                border.append(cell)
    return length


# SiMPL's release: the goals, in its order, and how far they are from the start: shortest, mean, longest.
PUBLISHED_GOALS = {
    "train40": (SIMPL_TRAIN40, "4431ebc9bc4ab650d4f0d55c41a328dd8261983ffce42beb69486cb1575db63c", (2, 12.0, 22)),
    "train20": (SIMPL_TRAIN20, "d27374a5aa0d610640b04f1ac9986a03a9791f9965335ca36adb60fac0e41c2f", (5, 11.2, 19)),
    "test": (SIMPL_TEST, "2a558504a08fd3bd034d63243dcd15266f74a10ba6357509811fb727c1e63b95", (5, 13.2, 22)),
    "top": (SIMPL_TOP, "a1963428a3bcdb301d1b60843a49fdb3f8b726c9ba65d53d3bc0ea53255937a3", (12, 18.4, 23)),
    "top_test": (SIMPL_TOP_TEST, "7c51678bdbf309bc9908da17e83dd2f091c278c1dd1ae2d211b4f56b4028565a", (14, 16.9, 20)),
    "bottom": (SIMPL_BOTTOM_TEST, "b2e4d17867a39823cacedc6a032fbb8dfc92de766ffd2dca01b1c159596df9ae", (10, 14.9, 18)),
}


@pytest.mark.parametrize(("goals", "digest", "distances"), PUBLISHED_GOALS.values(), ids=PUBLISHED_GOALS)
def test_goals_of_simpl_are_the_published_ones(goals, digest, distances):
    listed = "".join(f"({x},{y})" for x, y in goals)
    assert hashlib.sha256(listed.encode()).hexdigest() == digest
    length = steps_from(SIMPL20.start, layouts.named("simpl20"))
    steps = [length[goal] for goal in goals]
    assert (min(steps), round(np.mean(steps), 1), max(steps)) == distances


def test_tasks_are_named_after_the_goals_in_the_published_order():
    sets = {
        "train10": (SIMPL_TRAIN20[:10], SIMPL_TEST),
        "train20": (SIMPL_TRAIN20, SIMPL_TEST),
        "train40": (SIMPL_TRAIN40, SIMPL_TEST),
        "aligned": (SIMPL_TOP, SIMPL_TOP_TEST),
        "misaligned": (SIMPL_TOP, SIMPL_BOTTOM_TEST),
        "easy": (SIMPL_EASY, SIMPL_EASY),
        "medium": (SIMPL_MEDIUM, SIMPL_MEDIUM),
    }
    assert {f"simpl20-{name}" for name in sets} == DISTRIBUTIONS.keys()
    for name, (train, test) in sets.items():
        distribution = DISTRIBUTIONS[f"simpl20-{name}"]
        for names, expected in ((distribution.train, train), (distribution.test, test)):
            assert tuple(TASKS[each].goal for each in names) == expected
