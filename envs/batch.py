"""Backends of batched environments: MuJoCo's own batch, and a slow adapter for any gymnasium id.

The interface they implement is :class:`lightning_skills.data.batch_env.BatchEnv`.
"""

import importlib
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import gymnasium
import mujoco
import numpy as np
from gymnasium.envs.mujoco import MujocoEnv
from gymnasium.envs.registration import EnvSpec
from mujoco.batch import Batch

from lightning_skills.data.batch_env import (
    Array,
    BatchEnv,
    EnvInfo,
    Observation,
    State,
    set_stream,
    stream_words,
)
from lightning_skills.errors import InputError

_FULL_STATE = mujoco.mjtState.mjSTATE_INTEGRATION
_POSES = mujoco.mjtStage.mjSTAGE_VEL


def usable_threads(worlds: int) -> int:
    """Native threads for so many worlds: one per core of this process, shared with the other ranks on the machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(worlds, cores // int(os.environ.get("LOCAL_WORLD_SIZE", 1))))


class MuJoCoBatch(BatchEnv):
    """N simulations of one MuJoCo model, stepped on native threads, bit-identical to one simulation each.

    A subclass sets ``info``, calls ``self.simulate`` in ``_step``, and reads and writes ``self.batch.bind(name)``,
    live arrays ``[N, ...]`` over the fields of MjData. After writing to the state it calls ``self.refresh``.

    Args:
        model: The compiled model.
        seeds: One per world.
        threads: Native threads.
    """

    def __init__(self, model: mujoco.MjModel, seeds: Sequence[int], threads: int = 1) -> None:
        super().__init__(seeds)
        self.batch = Batch(model, self.num_worlds, threads)

    def simulate(self, control: Array, worlds: Array, substeps: int, poses: bool = True) -> None:
        """Hold controls ``[n, nu]`` for that many simulator steps.

        Args:
            control: ``[n, nu]``.
            worlds: ``[n]`` indices.
            substeps: How many.
            poses: Whether poses and sensors then fit the new state, which costs about as much as a substep.
        """
        self.batch.bind("ctrl")[worlds] = control
        self.batch.step(worlds, nstep=substeps, stage=_POSES if poses else mujoco.mjtStage.mjSTAGE_NONE)

    def refresh(self, worlds: Array | None = None) -> None:
        """Bring the bound fields that depend on positions and velocities up to date with the state."""
        self.batch.forward(worlds, stage=_POSES)

    def _get_state(self) -> State:
        return {"simulator": self.batch.state.copy()}

    def _set_state(self, state: State) -> None:
        self.batch.state[:] = state["simulator"]
        self.refresh()


class GymnasiumBatch(BatchEnv):
    """N copies of a registered gymnasium environment, stepped one after the other: correct for any id, and slow.

    Observations and actions must be flat boxes; actions in [-1, 1] are rescaled to the bounds of the box. A step counts
    as success if ``info["success"]`` or ``info["is_success"]`` says so. Only MuJoCo environments can hand over their
    state, and only what MuJoCo and their random stream hold of it, not their wrappers; body poses, which gymnasium
    reads one simulator step late, are those of the state itself after it was set, so that a reward computed from them
    may shift once.

    Args:
        env_id: The registered id.
        seeds: One per world.
        horizon: Time limit; None takes the registered one.
        options: Keyword arguments of the environment.

    Raises:
        InputError: if there is no such id, spaces are not flat boxes, actions are unbounded, or there is no time limit.
    """

    def __init__(self, env_id: str, seeds: Sequence[int], horizon: int | None = None, **options: Any) -> None:
        super().__init__(seeds)
        limit = horizon or _spec(env_id).max_episode_steps
        if not limit:
            raise InputError(f"gymnasium id {env_id!r} has no time limit: give a horizon")
        self._id = env_id
        with _warned_once():
            self.envs = [gymnasium.make(_spec(env_id), max_episode_steps=-1, **options) for _ in seeds]
        self._low, self._high = _action_bounds(env_id, self.envs[0].action_space)
        observed = _flat_box(env_id, "observations", self.envs[0].observation_space).shape
        self.info = EnvInfo({"observation": observed}, len(self._low), limit)
        self._observation = np.zeros((self.num_worlds, *observed), dtype=np.float32)
        self.reset()

    def _reset(self, worlds: Array) -> None:
        for world in worlds:
            seed = int(self.rngs[world].integers(2**31))
            self._observation[world], _ = self.envs[world].reset(seed=seed)

    def _step(self, action: Array, worlds: Array) -> tuple[Array, Array, Array]:
        rescaled = self._low + 0.5 * (action + 1.0) * (self._high - self._low)
        results = [self._step_world(world, row) for world, row in zip(worlds, rescaled, strict=True)]
        reward, terminated, success = np.array(results, dtype=np.float64).reshape(-1, 3).T
        return reward, terminated.astype(bool), success.astype(bool)

    def _step_world(self, world: int, action: Array) -> tuple[float, bool, bool]:
        env = self.envs[world]
        self._observation[world], reward, terminated, _, info = env.step(action.astype(env.action_space.dtype))
        return float(reward), terminated, bool(info.get("success", info.get("is_success", False)))

    def _observe(self) -> Observation:
        return {"observation": self._observation.copy()}

    def _get_state(self) -> State:
        simulators = []
        for model, data in map(self._simulator, range(self.num_worlds)):
            simulators.append(np.empty(mujoco.mj_stateSize(model, _FULL_STATE)))
            mujoco.mj_getState(model, data, simulators[-1], _FULL_STATE)
        streams = np.array([stream_words(env.np_random) for env in self.envs], dtype=np.uint64)
        return {"simulator": np.stack(simulators), "stream": streams, "last": self._observation.copy()}

    def _set_state(self, state: State) -> None:
        for world, env in enumerate(self.envs):
            model, data = self._simulator(world)
            mujoco.mj_setState(model, data, state["simulator"][world], _FULL_STATE)
            mujoco.mj_forward(model, data)
            set_stream(env.np_random, state["stream"][world])
        self._observation = state["last"].copy()

    def _simulator(self, world: int) -> tuple[mujoco.MjModel, mujoco.MjData]:
        env = self.envs[world].unwrapped
        if not isinstance(env, MujocoEnv):
            raise InputError(f"gymnasium id {self._id!r} is no MuJoCo environment: its state cannot be saved")
        return env.model, env.data


@contextmanager
def _warned_once() -> Iterator[None]:
    """What MuJoCo warns of inside is said once in this process; it would say it of every world that is made."""
    before = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(_warn)
    try:
        yield
    finally:
        mujoco.set_mju_user_warning(before)


@cache
def _warn(message: str) -> None:
    print(f"MuJoCo: {message}", file=sys.stderr)


def _spec(env_id: str) -> EnvSpec:
    module, _, name = env_id.rpartition(":")
    try:
        if module:
            importlib.import_module(module)
        return gymnasium.spec(name)
    except (gymnasium.error.Error, ImportError) as error:
        raise InputError(f"unknown gymnasium id {env_id!r}: {error}") from None


def _flat_box(env_id: str, what: str, space: gymnasium.Space) -> gymnasium.spaces.Box:
    if not isinstance(space, gymnasium.spaces.Box) or len(space.shape) != 1:
        raise InputError(f"gymnasium id {env_id!r}: {what} must be a flat Box, not {space}; flatten it by a wrapper")
    return space


def _action_bounds(env_id: str, space: gymnasium.Space) -> tuple[Array, Array]:
    box = _flat_box(env_id, "actions", space)
    if not box.is_bounded():
        raise InputError(f"gymnasium id {env_id!r}: actions need bounds to be rescaled from [-1, 1]")
    return box.low.astype(np.float64), box.high.astype(np.float64)
