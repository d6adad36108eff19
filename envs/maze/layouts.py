"""Maze layouts: the two published ones, and the generator that made them.

A layout is a square bool array ``[S, S]``, True where there is wall, with a closed border: ``S`` is the maze's size
plus two. The first index is the x coordinate, the second y.

Source: the random mazes of the D4RL fork that SPiRL (Pertsch et al., 2020) and SiMPL (Nam et al., 2022) train on.
"""

import numpy as np

Array = np.ndarray

SPIRL40 = """
##########################################
#..............#................#........#
#..#...........#...##.#.........#...#....#
#..#...#.......#.####.#########.#...#....#
#..#...#.......#...##.#.........#..###...#
#..#..###......#...#............#........#
#..#...........#...#.......#....#..###...#
#.###.###......#...##.#....#....#...#....#
#......#....#########.####.#....#...#....#
#.###..#.......#...##.#....#....#...#....#
#..#...#..#....#...#.......#....#...#....#
#..#...#..#....#...#.......#....#.#.#....#
#..#...#..#...###..#..###########.###....#
#..#...#..#.......###......#....#.#.#....#
#..#...#..#...###..........#....#...#.#..#
#..#...#..#....#..###......#...###....#..#
#..#...#..#........#.#.#...#..........#..#
#..#.....#############.###.#...###....#..#
#.........#........#.#.#..###...#.....#..#
#.........#........#..................#..#
#........###.#............###.........#..#
#..........#.###########...#.........###.#
#...#....###.#.................#.........#
#...#.....#....................#.....###.#
#...#.....#....................#......#..#
##.##.....#...#................#......#..#
##.#################...........#......#..#
##.###...#.#################...#......#..#
#........#.#..#................#......#..#
#..###........#..#.#...........#......#..#
#...#.......######.###########.#......#..#
#...#.........#..#.#...........#.........#
#...#.........#....#.#.........#.........#
#...#.......########.#######..###........#
#...#........###...#.#...................#
#...#.........................###........#
#...#........###..........#.#..#.........#
#.......#.#...#..##########.####.........#
#.#######.###########.....#.#..#.........#
#.......#.#...#................#.........#
#..............................#.........#
##########################################
"""
"""Target maze of SPiRL and SkiMo: the generator's size 40, seed 0 (rows are x, columns y)."""

SIMPL20 = """
######################
#............#...#...#
#....#.#.....#...#...#
#...##.####..#...#...#
#....#.#.....#...#...#
#............#..###..#
#......#.#...#.......#
#.######.#..###.###..#
#......#.#......#....#
#.#.#.......###.#....#
#.#.####........#....#
#.#.#...........#....#
#..#....#.#....####..#
#..#....#.######..#..#
#..#....#.#....####..#
#.###...........#.#..#
#.........#.#....###.#
#.###..####.###......#
#..#......#.#....###.#
#..#..............#..#
#.................#..#
######################
"""
"""Maze of SiMPL: the generator's size 20, seed 0. Three of its cells, such as (13, 16), cannot be reached."""

LAYOUTS = {"spirl40": SPIRL40, "simpl20": SIMPL20}

COVERAGE = 0.25
"""A maze is finished when at least this fraction of its cells is wall."""
BAND = 5
"""New walls avoid crowded places: crowdedness is the wall fraction of a band this wide around the new wall."""
CROWDEDNESS = 20.0
"""How strongly they avoid them: the log-probability of a place falls by this much per wall fraction."""
MIN_LENGTH, MAX_LENGTH = 0.3, 0.5
"""Shortest and longest wall as a fraction of the maze's size."""


def parse(rows: str) -> Array:
    """The layout ``[S, S]`` that a picture of '#' (wall) and '.' (free) rows shows."""
    return np.array([[symbol == "#" for symbol in row] for row in rows.split()])


def picture(layout: Array) -> str:
    """Inverse of :func:`parse`: rows of '#' and '.', joined by newlines."""
    return "\n".join("".join("#" if wall else "." for wall in row) for row in layout)


def named(name: str) -> Array:
    """The published layout ``[S, S]`` of that name in ``LAYOUTS``."""
    return parse(LAYOUTS[name])


def random_layout(size: int, rng: np.random.Generator) -> Array:
    """Draw a maze of straight walls, each with one door.

    With ``np.random.default_rng(0)`` and sizes 40 and 20 this draws the two published mazes.

    Args:
        size: Cells along a side, without the border.
        rng: Its stream; the order of draws is that of the published generator.

    Returns:
        ``[size + 2, size + 2]`` bool.
    """
    grid = np.zeros((size, size), dtype=bool)
    while grid.mean() < COVERAGE:
        _add_wall(grid, rng)
    return np.pad(grid, 1, constant_values=True)


def _add_wall(grid: Array, rng: np.random.Generator) -> None:
    """Draw one wall into ``grid``, along the first axis or, on its transpose, along the second."""
    size = len(grid)
    along_x = rng.random() < 0.5
    length = int(max((MAX_LENGTH - MIN_LENGTH) * size * rng.random() + MIN_LENGTH * size, 3))
    door = rng.choice(np.arange(1, length - 1))
    weights = np.exp(-CROWDEDNESS * _crowdedness(grid, *((length, BAND) if along_x else (BAND, length))))
    place = rng.choice(weights.size, p=weights.ravel() / weights.sum())
    row, column = np.unravel_index(place, weights.shape)
    oriented, along, across = (grid, row, column) if along_x else (grid.T, column, row)
    _draw_wall(oriented[along : along + length, across : across + BAND], door)


def _draw_wall(band: Array, door: int) -> None:
    """Wall along the middle of ``band [length, BAND]``; stubs on both sides frame its door."""
    middle = BAND // 2
    band[:, middle] = True
    band[door, middle] = False
    for side in (middle - 1, middle + 1):
        band[[door - 1, door + 1], side] = True


def _crowdedness(grid: Array, height: int, width: int) -> Array:
    """Wall fraction of every ``height x width`` window of ``grid``, from its summed-area table."""
    total = np.zeros((len(grid) + 1, len(grid) + 1), dtype=np.int64)
    total[1:, 1:] = grid.cumsum(axis=0).cumsum(axis=1)
    inside = total[height:, width:] - total[:-height, width:] - total[height:, :-width] + total[:-height, :-width]
    return inside / (height * width)
