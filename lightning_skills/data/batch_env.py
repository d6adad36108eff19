"""The interface of an environment: N worlds that step together in numpy."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from lightning_skills.data.rendering import Renderer

Array = np.ndarray
Observation = dict[str, Array]
State = dict[str, Array]


@dataclass(frozen=True)
class TaskDistribution:
    """Names of tasks to meta-train on and of others to test on; indices count over the former, then over the latter."""

    train: tuple[str, ...]
    test: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.train) + len(self.test)

    @property
    def train_indices(self) -> tuple[int, ...]:
        """Of the tasks to train on."""
        return tuple(range(len(self.train)))

    @property
    def test_indices(self) -> tuple[int, ...]:
        """Of the tasks to test on."""
        return tuple(range(len(self.train), len(self)))

    def test_index(self, name: str) -> int:
        """Of the task of this name to test on."""
        return len(self.train) + self.test.index(name)

    def tested(self, count: int | None) -> "TaskDistribution":
        """The same with the first so many tasks to test on; None: with all."""
        return replace(self, test=self.test[:count])


@dataclass(frozen=True)
class EnvInfo:
    """What networks and buffers must know of an environment.

    Args:
        observation_shapes: Shape of each observation key without the world axis; ``"observation"`` (the low-dimensional
            state vector) is always there.
        action_dim: Length of an action; every action lies in [-1, 1].
        horizon: Time limit of an episode in primitive steps.
        tasks: What its worlds can pursue, the tasks to train on first; None in an environment of one task.
    """

    observation_shapes: Mapping[str, tuple[int, ...]]
    action_dim: int
    horizon: int
    tasks: TaskDistribution | None = None

    @property
    def state_dim(self) -> int:
        """Length of the state vector ``"observation"``."""
        return self.observation_shapes["observation"][0]

    @property
    def task_count(self) -> int:
        """How many tasks its worlds can pursue."""
        return 1 if self.tasks is None else len(self.tasks)


@dataclass(frozen=True)
class BatchStep:
    """What one primitive step gave each of N worlds.

    Args:
        observation: Each key ``[N, *shape]`` float32.
        reward: ``[N]`` float32; 0 in worlds that were not stepped.
        terminated: ``[N]`` bool, the task ended the episode.
        truncated: ``[N]`` bool, the time limit did.
        success: ``[N]`` bool, the task counts as solved at this step.
    """

    observation: Observation
    reward: Array
    terminated: Array
    truncated: Array
    success: Array


def stream_words(rng: np.random.Generator) -> list[int]:
    """The state of a PCG64 stream as six words of 64 bits; the last two hold a half-used draw of 32 bits."""
    state = rng.bit_generator.state
    value, increment = state["state"]["state"], state["state"]["inc"]
    halves = [value >> 64, value & (2**64 - 1), increment >> 64, increment & (2**64 - 1)]
    return [*halves, state["has_uint32"], state["uinteger"]]


def set_stream(rng: np.random.Generator, words: Array) -> None:
    """Inverse of :func:`stream_words`."""
    high, low, inc_high, inc_low, has_uint32, uinteger = (int(word) for word in words)
    rng.bit_generator.state = {
        "bit_generator": "PCG64",
        "state": {"state": high << 64 | low, "inc": inc_high << 64 | inc_low},
        "has_uint32": has_uint32,
        "uinteger": uinteger,
    }


class BatchEnv(ABC):
    """N worlds of one environment.

    A subclass sets ``info`` and implements the four underscored methods; time limit, random streams and the part of the
    state that they own are kept here. Worlds do not reset themselves: the caller resets those that are done.

    Every world has its own random stream (``self.rngs[i]``), so world ``i`` of a batch behaves exactly like a batch of
    one with the same seed.

    In an environment of several tasks, world ``i`` pursues the task ``self.task_index[i]``, counted over those to train
    on and then those to test on.

    Args:
        seeds: One seed per world.
    """

    info: EnvInfo
    renderer: "Renderer | None" = None
    """Draws the observation key "scene", in an environment that offers images."""

    def __init__(self, seeds: Sequence[int]) -> None:
        self.num_worlds = len(seeds)
        self.elapsed, self.task_index = np.zeros((2, self.num_worlds), dtype=np.int64)
        self._all = np.arange(self.num_worlds)
        self.rngs = [np.random.default_rng(seed) for seed in seeds]

    @abstractmethod
    def _reset(self, worlds: Array) -> None:
        """Put the worlds of this index array ``[n]`` into initial states of their tasks, ``self.task_index[worlds]``.

        Draws from their own ``self.rngs``.
        """

    @abstractmethod
    def _step(self, action: Array, worlds: Array) -> tuple[Array, Array, Array]:
        """Advance the worlds of the index array ``[n]`` by one step.

        Args:
            action: ``[n, action_dim]``, already clipped to [-1, 1].
            worlds: ``[n]`` indices.

        Returns:
            reward, terminated, success, each ``[n]``.
        """

    @abstractmethod
    def _observe(self) -> Observation:
        """Observations of all worlds, each ``[N, *shape]`` float32, in arrays the env will not write to again."""

    @abstractmethod
    def _get_state(self) -> State:
        """Copies of everything that determines the future of all worlds, first axis N."""

    @abstractmethod
    def _set_state(self, state: State) -> None:
        """Inverse of :meth:`_get_state`."""

    def observe(self) -> Observation:
        """Observations of all worlds, each ``[N, *shape]`` float32."""
        return self._observe()

    def seed(self, seeds: Sequence[int]) -> None:
        """Restart the random stream of every world.

        Raises:
            ValueError: if there is not one seed per world.
        """
        if len(seeds) != self.num_worlds:
            raise ValueError(f"{len(seeds)} seeds for {self.num_worlds} worlds")
        self.rngs = [np.random.default_rng(seed) for seed in seeds]

    def reset(self, worlds: Array | None = None, tasks: Array | None = None) -> Observation:
        """Start new episodes.

        Args:
            worlds: ``[N]`` bool mask of the worlds to reset; None resets all.
            tasks: ``[n]`` what each of these is to pursue from now on; None leaves them their tasks.

        Returns:
            Observations of all worlds.
        """
        chosen = np.arange(self.num_worlds) if worlds is None else np.flatnonzero(worlds)
        self.elapsed[chosen] = 0
        if tasks is not None:
            self.task_index[chosen] = tasks
        self._reset(chosen)
        return self._observe()

    def step(self, action: Array, active: Array | None = None) -> BatchStep:
        """Advance by one primitive step.

        Args:
            action: ``[N, action_dim]``; clipped to [-1, 1].
            active: ``[N]`` bool mask of the worlds to advance; the others stay as they are. None advances all.
        """
        worlds = self._all if active is None else np.flatnonzero(active)
        rows = slice(None) if active is None else worlds  # a slice is read and written faster than indices
        self.elapsed[rows] += 1
        reward = np.zeros(self.num_worlds, dtype=np.float32)
        terminated, truncated, success = np.zeros((3, self.num_worlds), dtype=bool)
        clipped = np.minimum(np.maximum(action[rows], -1.0), 1.0)
        reward[rows], terminated[rows], success[rows] = self._step(clipped, worlds)
        truncated[rows] = self.elapsed[rows] >= self.info.horizon
        return BatchStep(self._observe(), reward, terminated, truncated, success)

    def get_state(self) -> State:
        """Everything that determines the future: simulator, clocks, tasks and random streams, first axis N."""
        streams = np.array([stream_words(rng) for rng in self.rngs], dtype=np.uint64)
        own = {"elapsed": self.elapsed.copy(), "task_index": self.task_index.copy(), "rng": streams}
        return {**self._get_state(), **own}

    def set_state(self, state: State) -> None:
        """Inverse of :meth:`get_state`."""
        state = dict(state)
        self.elapsed, self.task_index = (state.pop(key).astype(np.int64) for key in ("elapsed", "task_index"))
        for rng, words in zip(self.rngs, state.pop("rng"), strict=True):
            set_stream(rng, words)
        self._set_state(state)

    def draw(self, axes: "Axes", trajectories: Sequence[Array], task: int | None = None) -> bool:
        """Draw state trajectories (each ``[T, state_dim]``) into a plot; False if this env has no such picture.

        They are of the task of that index; None: of whichever.
        """
        return False

    def visited(self, trajectory: Array) -> Array | None:
        """Which places ``[P]`` bool a state trajectory ``[T, state_dim]`` visited; None in an env without places."""
        return None

    def episode_info(self) -> Mapping[str, Array]:
        """Numbers by which papers judge episodes, as they are in the present states, by name, each ``[N]``.

        An evaluation in a task records them as they are where episodes end, beside return and success.
        """
        return {}

    def film(self, trajectory: Array) -> Array | None:
        """Frames ``[F, height, width, 3]`` uint8 of one state trajectory ``[T, state_dim]``, or None."""
        return None
