"""Scripted demonstrations: a ball driven along shortest paths between random cells.

A planner finds a shortest path from a random start to a random goal, a PD controller follows its cells as waypoints,
each but the goal shifted by a random amount. This is the recipe of the D4RL fork that made the data of SPiRL, SkiMo and
SiMPL. That code plans by tabular Q-iteration, whose greedy policy is a shortest path too; here a breadth-first search
serves hundreds of mazes at once. Among equally short ways it takes, as that code does, the first of its moves: straight
lines. (Random choices made staircases, and a prior of those turns at every cell.) That code also asks that the last
displacement be below 0.1 where a waypoint counts as reached; at speed 5 no step is longer, so that is left out.
"""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from envs.maze import layouts, tasks
from envs.maze.config import DemoConfig, MazeConfig
from envs.maze.physics import PointMass
from lightning_skills.data.workers import in_order

Array = np.ndarray
Trajectory = dict[str, Array]

VERSION = 2
"""To be raised with any change here that changes the data."""
CHUNK = 512
"""Trajectories that are made together, from one seed."""
RANDOM_SIZE = 20
"""Size of the mazes that ``layouts="random"`` draws."""
MIN_STEPS = 20
"""Trajectories of at most so many steps are dropped."""
MAX_CELLS = 100
"""Goals farther than this are as good as unreachable."""
POSITION_NOISE, VELOCITY_NOISE = 0.1, 0.1
"""Half-width of the uniform noise on starts; standard deviation of the first velocity's components."""
WAYPOINT_SHIFT = 0.2
"""Waypoints move by up to this towards smaller coordinates, on average to the middle between index and cell centre."""
REACHED = 0.1
"""Distance at which a waypoint, or the goal, counts as reached."""
POSITION_GAIN, VELOCITY_GAIN = 10.0, -1.0
"""Of the controller."""
MOVES = np.array([[0, -1], [0, 1], [-1, 0], [1, 0]])
"""In the order of D4RL's planner, whose greedy policy takes the first of the best."""


def recipe(config: MazeConfig) -> dict[str, Any]:
    """What determines the data, as JSON values: equal recipes make equal data."""
    data = config.data
    where = tasks.task(config).layout if data.layouts == "task" else f"random{RANDOM_SIZE}"
    return {
        "generator": "maze waypoints",
        "version": VERSION,
        "layout": where,
        "trajectories": data.trajectories,
        "max_steps": data.max_steps,
        "action_noise": data.action_noise,
        "seed": data.seed,
    }


def generate(config: MazeConfig) -> Iterator[Mapping[str, Array]]:
    """Make demonstrations, the same ones whatever the number of workers.

    Yields:
        One trajectory at a time: ``observation [T, 4]`` and ``action [T, 2]`` float32 with row t holding the state at
        t and the action taken there (the last action leads out of the data), ``episode/goal [2]`` float32 and, with
        ``layouts="random"``, ``episode/layout [S, S]`` uint8.
    """
    chunks = in_order(partial(_chunk, config), config.data.workers)
    yield from itertools.islice(itertools.chain.from_iterable(chunks), config.data.trajectories)


def _chunk(config: MazeConfig, index: int) -> list[Trajectory]:
    """The chunk of that index: what remains of as many candidates as were asked for, up to CHUNK."""
    count = min(CHUNK, config.data.trajectories)
    rng = np.random.default_rng(np.random.SeedSequence(config.data.seed, spawn_key=(index,)))
    trips = _plan(_mazes(config, count, rng), count, rng)
    return [trajectory for trajectory in _drive(trips, config.data, rng) if len(trajectory["action"]) > MIN_STEPS]


def _mazes(config: MazeConfig, count: int, rng: np.random.Generator) -> Array:
    """Layouts ``[1, S, S]`` or ``[count, S, S]``."""
    if config.data.layouts == "task":
        return layouts.named(tasks.task(config).layout)[None]
    return np.stack([layouts.random_layout(RANDOM_SIZE, rng) for _ in range(count)])


@dataclass(frozen=True)
class Trips:
    """Where n balls start and what they drive along.

    Args:
        mazes: ``[1, S, S]`` or ``[n, S, S]``.
        start: ``[n, 2]``, cells.
        waypoints: ``[n, K, 2]``, positions; the goal comes last and fills up shorter ways.
    """

    mazes: Array
    start: Array
    waypoints: Array


def _plan(mazes: Array, count: int, rng: np.random.Generator) -> Trips:
    """Draw ``count`` starts and goals and plan the ways between them; pairs without a way are dropped."""
    start, goal = _random_cells(~mazes, count, rng), _random_cells(~mazes, count, rng)
    distance = distances(mazes, goal)
    kept = np.flatnonzero(distance[np.arange(count), start[:, 0], start[:, 1]] <= MAX_CELLS)
    way = shortest_ways(distance[kept], start[kept]).astype(np.float64)
    shift = rng.uniform(0.0, WAYPOINT_SHIFT, way.shape)
    is_goal = (way == goal[kept][:, None]).all(axis=2, keepdims=True)
    return Trips(mazes if len(mazes) == 1 else mazes[kept], start[kept], np.where(is_goal, way, way - shift))


def _random_cells(free: Array, count: int, rng: np.random.Generator) -> Array:
    """Cells ``[count, 2]``, uniform over the free ones of masks ``[1 or count, S, S]``."""
    lots = np.where(free, rng.random((count, *free.shape[1:])), -1.0)
    return np.stack(np.divmod(lots.reshape(count, -1).argmax(axis=1), free.shape[2]), axis=1)


def distances(mazes: Array, goal: Array) -> Array:
    """Moves from every cell to a goal by breadth-first search.

    Args:
        mazes: ``[1, S, S]`` or ``[n, S, S]`` bool.
        goal: ``[n, 2]`` cells.

    Returns:
        ``[n, S, S]``; ``MAX_CELLS + 1`` where the goal cannot be reached, or is farther than ``MAX_CELLS``.
    """
    open_cells = np.broadcast_to(~mazes, (len(goal), *mazes.shape[1:])).copy()
    distance = np.full(open_cells.shape, MAX_CELLS + 1, dtype=np.int16)
    front = np.zeros_like(open_cells)
    front[np.arange(len(goal)), goal[:, 0], goal[:, 1]] = True
    for moves in range(MAX_CELLS + 1):
        distance[front] = moves
        open_cells &= ~front
        front = _neighbours(front) & open_cells
        if not front.any():
            break
    return distance


def _neighbours(cells: Array) -> Array:
    """The cells ``[n, S, S]`` beside those marked."""
    beside = np.zeros_like(cells)
    beside[:, 1:] |= cells[:, :-1]
    beside[:, :-1] |= cells[:, 1:]
    beside[:, :, 1:] |= cells[:, :, :-1]
    beside[:, :, :-1] |= cells[:, :, 1:]
    return beside


def shortest_ways(distance: Array, start: Array) -> Array:
    """Walk down the distances, taking the first of :data:`MOVES` among equally short ways.

    Args:
        distance: ``[n, S, S]`` of :func:`distances`.
        start: ``[n, 2]`` cells from which the goal can be reached.

    Returns:
        ``[n, K, 2]`` cells after the start; each way ends at its goal, which fills up the shorter ones.
    """
    rows = np.arange(len(start))
    remaining = distance[rows, start[:, 0], start[:, 1]]
    cell, way = start, []
    for moved in range(max(int(remaining.max(initial=1)), 1)):
        beside = cell[:, None] + MOVES
        best = distance[rows[:, None], beside[..., 0], beside[..., 1]].argmin(axis=1)
        cell = np.where((moved < remaining)[:, None], beside[rows, best], cell)
        way.append(cell)
    return np.stack(way, axis=1)


def _drive(trips: Trips, config: DemoConfig, rng: np.random.Generator) -> Iterator[Trajectory]:
    """Drive along the waypoints until the goal or the time limit, and yield what was recorded."""
    count = len(trips.start)
    observation = np.empty((count, config.max_steps + 1, 4), dtype=np.float32)
    action = np.empty((count, config.max_steps + 1, 2), dtype=np.float32)
    last = np.full(count, config.max_steps)
    physics = PointMass(trips.mazes)
    state, target, worlds = _first_states(trips.start, rng), np.zeros(count, dtype=np.int64), np.arange(count)
    for step in range(config.max_steps + 1):
        position, velocity = state[worlds, :2], state[worlds, 2:]
        chosen, reached = _control(position, velocity, trips.waypoints[worlds, target[worlds]], config, rng)
        observation[worlds, step], action[worlds, step] = state[worlds], chosen
        solved = _near(trips.waypoints[worlds, -1], position)
        last[worlds[solved]] = step
        target[worlds] = np.minimum(target[worlds] + reached, trips.waypoints.shape[1] - 1)
        state[worlds] = np.concatenate(physics.step(position, velocity, chosen, worlds), axis=1)
        worlds = worlds[~solved]
        if not len(worlds):
            break
    for world, end in enumerate(last):
        yield _recorded(trips, world, observation[world, : end + 1], action[world, : end + 1])


def _first_states(start: Array, rng: np.random.Generator) -> Array:
    """Noisy states ``[n, 4]`` at cells ``[n, 2]``, already rounded to the precision in which they are recorded."""
    position = start + rng.uniform(-POSITION_NOISE, POSITION_NOISE, start.shape)
    velocity = rng.normal(0.0, VELOCITY_NOISE, start.shape)
    return np.concatenate([position, velocity], axis=1).astype(np.float32).astype(np.float64)


def _control(
    position: Array, velocity: Array, waypoint: Array, config: DemoConfig, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Actions ``[n, 2]`` float32, so that the recorded action is the one taken, and whether waypoints are reached."""
    action = np.clip(POSITION_GAIN * (waypoint - position) + VELOCITY_GAIN * velocity, -1.0, 1.0)
    if config.action_noise:
        action = np.clip(action + rng.normal(0.0, config.action_noise, action.shape), -1.0, 1.0)
    return action.astype(np.float32), _near(waypoint, position)


def _near(point: Array, position: Array) -> Array:
    return np.hypot(*(point - position).T) < REACHED


def _recorded(trips: Trips, world: int, observation: Array, action: Array) -> Trajectory:
    episode = {"episode/goal": trips.waypoints[world, -1].astype(np.float32)}
    if len(trips.mazes) > 1:
        episode["episode/layout"] = trips.mazes[world].astype(np.uint8)
    return {"observation": observation.copy(), "action": action.copy(), **episode}
