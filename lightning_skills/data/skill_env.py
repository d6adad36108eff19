"""A BatchEnv as one TorchRL env whose action is a skill: H primitive steps run in numpy inside one env step."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from tensordict import TensorDict, TensorDictBase
from torchrl.data import Binary, Composite, Unbounded
from torchrl.envs import EnvBase

from lightning_skills.data.batch_env import BatchEnv, Observation, State

Array = np.ndarray
LowLevel = Callable[[Observation, Array], Array]
"""(observations ``[n, ...]`` by key, skills ``[n, d]``) -> the next actions ``[n, chunk, A]``, all float32."""
LAST = "last_observation/"


@dataclass(frozen=True)
class SkillExecution:
    """How the action of a high-level policy becomes primitive steps; each method that consumes skills states its own.

    Args:
        low_level: The frozen low-level policy; None when the squashed action is itself the primitive action (a flat
            method).
        horizon: Primitive steps per action, H.
        action_dim: Length of the high-level action.
        bound: The executed skill is ``bound * tanh(slope * action / bound)``; None executes the action as it is.
        tanh_actions: Whether the low-level policy's outputs go through tanh.
        timeout_is_done: Whether the end by time limit counts as terminal, so that nothing is bootstrapped there.
        chunk: Primitive actions for which the low-level policy is asked at once: 1 in closed loop, H in open loop.
        slope: Of the executed skill at action 0; None: the bound, so that it is ``bound * tanh(action)``.
    """

    low_level: LowLevel | None
    horizon: int
    action_dim: int
    bound: float | None
    tanh_actions: bool = False
    timeout_is_done: bool = False
    chunk: int = 1
    slope: float | None = None


class SkillEnv(EnvBase):
    """N worlds in which one step executes one skill.

    The transition holds the undiscounted sum of the primitive rewards and the number of primitive ``frames``; a skill
    is cut short when its episode ends. Keys beside TorchRL's own: ``frames`` ``[N, 1]`` int64 and ``success``
    ``[N, 1]`` (solved at any step within the skill).

    Worlds that are ``parked`` ``[N]`` stand still: their transitions have no frames.

    The low-level policy acts with its mean: the noise of std e^-10 that SPiRL's authors add has no measurable effect.

    Args:
        env: The worlds.
        execution: How an action is executed.
    """

    def __init__(self, env: BatchEnv, execution: SkillExecution) -> None:
        worlds = env.num_worlds
        super().__init__(device=torch.device("cpu"), batch_size=torch.Size([worlds]))
        self.worlds = env
        self.execution = execution
        self.recording: list[Array] | None = None
        self.parked = np.zeros(worlds, dtype=bool)
        shape = torch.Size([worlds, 1])
        self.observation_spec = Composite(
            {key: Unbounded(shape=(worlds, *size)) for key, size in env.info.observation_shapes.items()},
            frames=Unbounded(shape=shape, dtype=torch.int64),
            success=Binary(n=1, shape=shape, dtype=torch.bool),
            shape=(worlds,),
        )
        self.action_spec = Unbounded(shape=(worlds, execution.action_dim))
        self.reward_spec = Unbounded(shape=shape)
        self.full_done_spec = Composite(
            {key: Binary(n=1, shape=shape, dtype=torch.bool) for key in ("done", "terminated", "truncated")},
            shape=(worlds,),
        )
        self._observation: Observation = env.observe()

    def _set_seed(self, seed: int | None) -> None:
        if seed is not None:
            self.worlds.seed([seed + world for world in range(self.worlds.num_worlds)])

    def _reset(self, tensordict: TensorDictBase | None, **_: object) -> TensorDict:
        mask = None if tensordict is None else tensordict.get("_reset", None)
        chosen = None if mask is None else mask.reshape(-1).numpy()
        self._begin(np.arange(self.worlds.num_worlds) if chosen is None else np.flatnonzero(chosen))
        if self.recording is not None:
            self.recording.append(self._observation["observation"])
        zeros = np.zeros(self.worlds.num_worlds)
        return self._tensors(zeros, zeros, zeros, zeros)

    def _begin(self, worlds: Array) -> None:
        """Start episodes in worlds ``[n]``."""
        mask = np.zeros(self.worlds.num_worlds, dtype=bool)
        mask[worlds] = True
        self._observation = self.worlds.reset(mask)

    def _step(self, tensordict: TensorDictBase) -> TensorDict:
        skill = self._squash(tensordict["action"].numpy())
        worlds = self.worlds.num_worlds
        reward, frames = np.zeros(worlds, dtype=np.float32), np.zeros(worlds, dtype=np.int64)
        terminated, truncated, success = np.zeros((3, worlds), dtype=bool)
        active = ~self.parked
        for index in range(self.execution.horizon):
            if index % self.execution.chunk == 0:
                actions = self._decode(skill)
            step = self.worlds.step(actions[:, index % self.execution.chunk], None if active.all() else active)
            self._observation = step.observation
            if self.recording is not None:
                self.recording.append(step.observation["observation"])
            frames += active
            reward += step.reward
            terminated |= step.terminated
            truncated |= step.truncated
            success |= step.success
            active &= ~(step.terminated | step.truncated)
            if not active.any():
                break
        if self.execution.timeout_is_done:
            terminated |= truncated
        tensors = self._tensors(frames, success, terminated, truncated)
        tensors["reward"] = torch.from_numpy(reward)[:, None]
        return tensors

    def get_state(self) -> State:
        """Everything that determines the future of the worlds, first axis N."""
        return {**self.worlds.get_state(), **{f"{LAST}{key}": value for key, value in self._observation.items()}}

    def set_state(self, state: State) -> None:
        """Inverse of :meth:`get_state`."""
        self.worlds.set_state({key: value for key, value in state.items() if not key.startswith(LAST)})
        self._observation = {key.removeprefix(LAST): value for key, value in state.items() if key.startswith(LAST)}

    def _squash(self, action: Array) -> Array:
        bound, slope = self.execution.bound, self.execution.slope
        if bound is None:
            return action
        return bound * np.tanh(action if slope is None else action * (slope / bound))

    def _decode(self, skill: Array) -> Array:
        """The next primitive actions ``[N, chunk, A]``."""
        if self.execution.low_level is None:
            return skill[:, None]
        actions = self.execution.low_level(self._observation, skill)
        return np.tanh(actions) if self.execution.tanh_actions else actions

    def _tensors(self, frames: Array, success: Array, terminated: Array, truncated: Array) -> TensorDict:
        column = lambda values, dtype: torch.as_tensor(values, dtype=dtype)[:, None]  # noqa: E731
        ended, cut = column(terminated, torch.bool), column(truncated, torch.bool)
        # Copied into memory of torch's alignment: with numpy's, the last bit of a matrix product depends on the
        # address, and a resumed run would drift away from an undisturbed one.
        return TensorDict(
            {key: torch.tensor(value) for key, value in self._observation.items()}
            | {
                "frames": column(frames, torch.int64),
                "success": column(success, torch.bool),
                "terminated": ended,
                "truncated": cut,
                "done": ended | cut,
            },
            batch_size=self.batch_size,
        )
