"""Scripted demonstrations: blocks put one upon the other, by a gripper that takes detours.

Five blocks of a random order are to become one tower. Up to two of its stacks stand from the start, the next ones are
demonstrated: over a block, down, grasp, up, over the tower, down, release. This is the recipe behind SPiRL's data, its
script (:mod:`envs.blocks.script`) a closed loop that is vectorised over worlds.
"""

import itertools
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from envs.blocks import geometry, rewards, tasks
from envs.blocks.config import BlocksConfig, DemoConfig
from envs.blocks.env import BlocksEnv
from envs.blocks.script import Script
from envs.blocks.tasks import BlocksTask
from lightning_skills.data.attempts import successes
from lightning_skills.data.workers import in_order

Array = np.ndarray
Trajectory = dict[str, Array]

VERSION = 3
"""To be raised with any change here, in the script or in the simulation that changes the data."""
CHUNK = 64
"""Attempts that are made together, from one seed."""
TOWER = 5
"""Blocks of the tower that attempts work at."""
MAX_BUILT = 2
"""Stacks that stand from the start, at most."""
SPACING = 0.12
"""Between the blocks on the table, at least."""
MARGIN = 0.1
"""Of the table's edge that stays free."""
HINT = "give more env.data.max_steps, less env.data.action_noise or fewer env.data.stacks"
"""For demonstrations that fail."""


def recipe(config: BlocksConfig) -> dict[str, Any]:
    """What determines the data, as JSON values: equal recipes make equal data."""
    data = config.data
    return {
        "generator": "blocks script",
        "version": VERSION,
        "blocks": _blocks(config),
        "stacks": data.stacks,
        "trajectories": data.trajectories,
        "max_steps": data.max_steps,
        "action_noise": data.action_noise,
        "seed": data.seed,
    }


def _blocks(config: BlocksConfig) -> int:
    """How many blocks the data show."""
    if config.data.blocks is not None:
        return config.data.blocks
    return TOWER if config.images else tasks.task(config).blocks


def generate(config: BlocksConfig) -> Iterator[Mapping[str, Array]]:
    """Make demonstrations, the same ones whatever the number of workers. Attempts that fail are dropped.

    Yields:
        One trajectory at a time: ``observation [T, S]`` and ``action [T, 3]`` float32 with row t holding the state at t
        and the action taken there (the last action leads out of the data), ``episode/order [5]`` int64, the tower's
        blocks from the lowest, ``episode/stacks [2]`` int64, how many stand at the start and at the end, and
        ``episode/dropped``, attempts before this one that failed.

    Raises:
        InputError: if too many attempts in a row fail.
    """
    attempts = itertools.chain.from_iterable(in_order(partial(_chunk, config), config.data.workers))
    kept = successes(attempts, lambda attempt: attempt is None, HINT)
    for attempt, dropped in itertools.islice(kept, config.data.trajectories):
        assert attempt is not None
        yield {**attempt, "episode/dropped": np.array(len(dropped))}


def _chunk(config: BlocksConfig, index: int) -> list[Trajectory | None]:
    """The attempts of that index, as many as trajectories were asked for, up to CHUNK; None for one that failed."""
    data, blocks = config.data, _blocks(config)
    count = min(CHUNK, data.trajectories)
    rng = np.random.default_rng(np.random.SeedSequence(data.seed, spawn_key=(index,)))
    order = rng.random((count, blocks)).argsort(axis=1)[:, :TOWER]
    built = rng.integers(min(MAX_BUILT, TOWER - 1 - data.stacks) + 1, size=count)
    env = BlocksEnv(BlocksTask(blocks, dense=False), range(count))
    env.arrange(np.arange(count), _first_places(blocks, order, built, rng))
    script = Script(order, built, data.stacks, rng)
    return _attempts(env, script, data, rng)


def _first_places(blocks: int, order: Array, built: Array, rng: np.random.Generator) -> Array:
    """(y, z) of blocks, ``[n, B, 2]``, in the precision in which states are recorded.

    On the table, places are uniform among all that keep their distance.

    Args:
        blocks: B.
        order: Blocks of the towers, ``[n, 5]``.
        built: How many stacks of each stand already, ``[n]``.
        rng: Draws places.
    """
    count, reach = len(order), geometry.TABLE_HALF_WIDTH[blocks] - MARGIN
    room = 2 * reach - SPACING * (blocks - 1)
    row = np.sort(rng.uniform(-reach, room - reach, (count, blocks)), axis=1) + SPACING * np.arange(blocks)
    places = np.full((count, blocks, 2), geometry.RESTING)
    places[..., 0] = rng.permuted(row, axis=1)
    worlds = np.arange(count)
    for level in range(MAX_BUILT):
        below, above = order[:, level], order[:, level + 1]
        on_it = places[worlds, below] + [0.0, geometry.EDGE]
        places[worlds, above] = np.where((level < built)[:, None], on_it, places[worlds, above])
    return places.astype(np.float32).astype(np.float64)


def _attempts(env: BlocksEnv, script: Script, config: DemoConfig, rng: np.random.Generator) -> list[Trajectory | None]:
    """Run a script in all worlds until it is finished or the time is up."""
    count, steps = env.num_worlds, config.max_steps + 1
    observation = np.empty((count, steps, env.info.state_dim), dtype=np.float32)
    action = np.empty((count, steps, env.info.action_dim), dtype=np.float32)
    last, running = np.full(count, -1), np.ones(count, dtype=bool)
    state = env.observe()["observation"]
    for step in range(steps):
        chosen = script.act(geometry.parts(state))
        if config.action_noise:
            chosen[:, :2] += rng.normal(0.0, config.action_noise, (count, 2))
        observation[:, step], action[:, step] = state, chosen.clip(-1.0, 1.0)
        last[running & script.finished] = step
        running &= ~script.finished
        if not running.any():
            break
        state = env.step(action[:, step], running).observation["observation"]
    made: list[Trajectory | None] = [None] * count
    for world in np.flatnonzero(_towers(script, state)):
        rows = slice(last[world] + 1)
        made[world] = {
            "observation": observation[world, rows].copy(),
            "action": action[world, rows].copy(),
            "episode/order": script.order[world],
            "episode/stacks": np.array([script.first[world], script.end[world]]),
        }
    return made


def _towers(script: Script, state: Array) -> Array:
    """Whether all stacks that a script was to leave stand in states ``[n, S]``, ``[n]`` bool."""
    blocks = geometry.parts(state).blocks
    tower = np.take_along_axis(blocks, script.order[..., None], axis=1)
    beside, above = np.moveaxis(np.diff(tower, axis=1), 2, 0)
    stands = (np.abs(beside) < geometry.HALF) & (above > rewards.ABOVE)
    return script.finished & (stands | (np.arange(TOWER - 1) >= script.end[:, None])).all(axis=1)
