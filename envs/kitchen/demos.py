"""Scripted demonstrations: a hand that does four of the seven subtasks one after the other.

The scripts (:mod:`envs.kitchen.scripts`) look at where things are and say where the hand should be; inverse kinematics
(:mod:`envs.kitchen.arm`) turn that into actions, to which noise is added. A subtask is tried until it is done, as a
person would. A demonstration ends when the fourth is done, which is where an episode of a task ends too; one that takes
too long is dropped and counted.

The number of a demonstration and the seed determine all of it: sequence, way-points, noise. Many worlds make many at
once; one that has ended makes room for the next.
"""

import itertools
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from envs.kitchen import credit, sequences, tasks
from envs.kitchen.arm import HAND, JOINTS, Arm
from envs.kitchen.config import KitchenConfig
from envs.kitchen.env import ROBOT, KitchenEnv
from envs.kitchen.scripts import SCRIPTS, Hand, Script, between
from envs.kitchen.tasks import LETTERS, SUBTASKS, KitchenTask
from lightning_skills.data.attempts import successes
from lightning_skills.data.workers import in_order

Array = np.ndarray
Trajectory = dict[str, Array]

VERSION = 3
"""To be raised with any change here, or in what is used here, that changes the data."""
WORLDS = 16
"""Demonstrations that are made at once in a process."""
CHUNK = 48
"""Demonstrations that are handed to a process at a time."""
HINT = "give more env.data.max_steps, less env.data.action_noise or less env.data.jitter"
"""For demonstrations that fail."""
NAMES = tuple(SUBTASKS)


def recipe(config: KitchenConfig) -> dict[str, Any]:
    """What determines the data, as JSON values: equal recipes make equal data."""
    data = config.data
    return {
        "generator": "kitchen scripts",
        "version": VERSION,
        "sequences": data.sequences,
        "goal": list(tasks.task(config).shown) if config.goal else [],
        "noise": config.noise,
        "trajectories": data.trajectories,
        "max_steps": data.max_steps,
        "action_noise": data.action_noise,
        "jitter": data.jitter,
        "seed": data.seed,
    }


def generate(config: KitchenConfig) -> Iterator[Mapping[str, Array]]:
    """Make demonstrations, the same ones whatever the number of workers.

    Yields:
        One trajectory at a time: ``observation [T + 1, S]`` and ``action [T + 1, 9]`` float32, row t holding what the
        env showed at t and the action it was given then (the last action, which leads out of the data, is zero);
        ``episode/subtasks [4]``, places in :data:`envs.kitchen.tasks.SUBTASKS`, and ``episode/steps [4]``, the row in
        which each was done; ``episode/seed``, of a world in which the actions lead to the same observations;
        ``episode/dropped [7]``, demonstrations dropped since the one before, by the subtask they did not get done.

    Raises:
        InputError: if there is no such task, gymnasium-robotics is not installed, or no demonstration succeeds.
    """
    kept = successes(_in_order(config), lambda attempt: attempt.undone is not None, HINT)
    for attempt, dropped in itertools.islice(kept, config.data.trajectories):
        undone = [each.undone for each in dropped]
        yield {**attempt.trajectory(), "episode/dropped": np.array([undone.count(name) for name in NAMES])}


def summary(arrays: Mapping[str, Array]) -> dict[str, Any]:
    """How many were tried, which subtask those dropped did not get done, and in percent which followed which.

    Args:
        arrays: Of a data set, by key.
    """
    dropped = arrays["episode/dropped"].sum(axis=0)
    letters = {name: letter for letter, name in LETTERS.items()}
    done = ["".join(letters[NAMES[place]] for place in row) for row in arrays["episode/subtasks"]]
    told: dict[str, Any] = {
        "tried": len(done) + int(dropped.sum()),
        "dropped": {name: int(count) for name, count in zip(NAMES, dropped, strict=True) if count},
    }
    for length in range(sequences.LENGTH):
        for before in sorted({sequence[:length] for sequence in done}):
            told[f"after {before}" if before else "first"] = _shares([s[length] for s in done if s.startswith(before)])
    return told


def _shares(letters: list[str]) -> dict[str, float]:
    """Percentages, the largest first."""
    counts = {letter: letters.count(letter) for letter in sorted(set(letters))}
    return {k: round(100 * n / len(letters), 1) for k, n in sorted(counts.items(), key=lambda item: -item[1])}


def _in_order(config: KitchenConfig) -> Iterator["Attempt"]:
    """Endless attempts, in order."""
    if config.data.workers == 1:
        return attempts(config, itertools.count())
    return itertools.chain.from_iterable(in_order(partial(_chunk, config), config.data.workers))


def _chunk(config: KitchenConfig, index: int) -> list["Attempt"]:
    return list(attempts(config, range(index * CHUNK, (index + 1) * CHUNK)))


def attempts(config: KitchenConfig, indices: Iterable[int], worlds: int = WORLDS) -> Iterator["Attempt"]:
    """Try the demonstrations of these numbers, so many at once, and yield them in this order."""
    demonstrator, coming = Demonstrator(config, worlds), iter(indices)
    order: deque[int] = deque()
    ended: dict[int, Attempt] = {}
    while True:
        for world, index in zip(demonstrator.idle(), coming, strict=False):
            demonstrator.begin(world, index)
            order.append(index)
        if not order:
            return
        ended |= {attempt.index: attempt for attempt in demonstrator.step()}
        while order and order[0] in ended:
            yield ended.pop(order.popleft())


@dataclass
class Attempt:
    """A demonstration under way, or ended.

    Args:
        index: Its number.
        seed: Of the world's noise.
        subtasks: Names, in order.
        done_at: The step in which each of the first of them was done.
        observations: ``[S]`` each, one more than actions.
        actions: ``[9]`` each.
    """

    index: int
    seed: int
    subtasks: tuple[str, ...]
    done_at: list[int] = field(default_factory=list)
    observations: list[Array] = field(default_factory=list)
    actions: list[Array] = field(default_factory=list)

    @property
    def undone(self) -> str | None:
        """The subtask that is to be done next; None if all are done."""
        return self.subtasks[len(self.done_at)] if len(self.done_at) < len(self.subtasks) else None

    def trajectory(self) -> Trajectory:
        """What :func:`generate` yields of it."""
        return {
            "observation": np.stack(self.observations),
            "action": np.stack([*self.actions, np.zeros(ROBOT, dtype=np.float32)]),
            "episode/subtasks": np.array([NAMES.index(name) for name in self.subtasks]),
            "episode/steps": np.array(self.done_at),
            "episode/seed": np.array(self.seed),
        }


class Demonstrator:
    """N kitchens and who acts in them.

    Args:
        config: Options of the kitchen; of the task only what it shows.
        worlds: How many.
    """

    def __init__(self, config: KitchenConfig, worlds: int) -> None:
        self._options = config.data
        shown = KitchenTask(NAMES, tasks.task(config).shown)  # all seven, so that no world ends by itself
        horizon = config.data.max_steps
        self._env = KitchenEnv([shown], [0] * worlds, goal=config.goal, noise=config.noise, horizon=horizon)
        self._arm = Arm(self._env)
        self._sites, self._joints = self._env.batch.bind("site_xpos"), self._env.batch.bind("qpos")
        self._places = {self._env.model.site(place).name: place for place in range(self._env.model.nsite)}
        self._running: dict[int, Attempt] = {}
        self._scripts: dict[int, Script] = {}
        self._streams: dict[int, np.random.Generator] = {}

    def idle(self) -> list[int]:
        """Worlds in which nothing goes on."""
        return [world for world in range(self._env.num_worlds) if world not in self._running]

    def begin(self, world: int, index: int) -> None:
        """Start the demonstration of that number in an idle world."""
        chance, noise = np.random.SeedSequence(self._options.seed, spawn_key=(index,)).spawn(2)
        seed = int(noise.generate_state(1)[0])
        rng = np.random.default_rng(chance)
        self._env.rngs[world] = np.random.default_rng(seed)
        observation = self._env.reset(np.arange(self._env.num_worlds) == world)["observation"][world]
        self._env.refresh(np.array([world]))
        subtasks = tasks.spelled_out(sequences.draw(self._options.sequences, rng))
        attempt = Attempt(index, seed, subtasks, observations=[observation])
        self._running[world], self._streams[world] = attempt, rng
        self._scripts[world] = _script(attempt, self._hand(world, rng))

    def step(self) -> list[Attempt]:
        """One step in all worlds that are not idle; those whose demonstration ends thereby become idle."""
        worlds = np.array(sorted(self._running))
        action = np.zeros((self._env.num_worlds, ROBOT), dtype=np.float32)
        action[worlds] = self._actions(worlds)
        active = np.isin(np.arange(self._env.num_worlds), worlds)
        observation = self._env.step(action, active).observation["observation"]
        self._env.refresh(worlds)
        done = credit.done(self._env.observed, NAMES)
        for world in worlds:
            self._record(self._running[world], action[world], observation[world], done[world])
        ended = [world for world in worlds if self._has_ended(self._running[world])]
        return [self._running.pop(world) for world in ended]

    def _hand(self, world: int, rng: np.random.Generator) -> Hand:
        sites = {name: self._sites[world, place] for name, place in self._places.items()}
        return Hand(sites[HAND], self._joints[world], sites, self._options.jitter, rng)

    def _actions(self, worlds: Array) -> Array:
        commands = [next(self._scripts[world]) for world in worlds]
        noise = [self._streams[world].normal(0.0, self._options.action_noise, JOINTS) for world in worlds]
        action = self._arm.actions(commands, worlds)
        action[:, :JOINTS] = np.tanh(action[:, :JOINTS] + noise)  # skills act through tanh, which never reaches 1
        return action

    def _record(self, attempt: Attempt, action: Array, observation: Array, done: Array) -> None:
        attempt.actions.append(action)
        attempt.observations.append(observation)
        while attempt.undone is not None and done[NAMES.index(attempt.undone)]:
            attempt.done_at.append(len(attempt.actions))

    def _has_ended(self, attempt: Attempt) -> bool:
        return attempt.undone is None or len(attempt.actions) == self._options.max_steps


def _script(attempt: Attempt, hand: Hand) -> Script:
    """Each subtask in its turn, again until it is done."""
    for name in attempt.subtasks:
        yield from between(hand)
        while attempt.undone == name:
            yield from SCRIPTS[name](hand)
