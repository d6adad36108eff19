"""Batched environments as gymnasium environments, single and vectorised, for use by other libraries.

Importing this module registers ``lightning_skills/Maze-v1``, ``Blocks-v1``, ``Kitchen-v1`` and ``Locomotion-v1``;
keyword arguments are the options of the environment::

    import gymnasium
    import envs.gymnasium_adapters

    env = gymnasium.make("lightning_skills/Maze-v1", task="spirl40")
    batch = gymnasium.make_vec("lightning_skills/Maze-v1", num_envs=64, task="spirl40")

Both step the same functions, so world ``i`` of the vector seeded with ``s`` is the single environment seeded with
``s + i``.
"""

from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Space
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from lightning_skills import limits
from lightning_skills.data.batch_env import Array, BatchEnv, EnvInfo, Observation
from lightning_skills.plugins import envs, resolve

Factory = Callable[[Sequence[int]], BatchEnv]


def observation_space(info: EnvInfo) -> Space:
    """A Box for the state vector alone, a Dict where there are other observations too."""
    boxes: dict[str, Space] = {
        key: Box(-np.inf, np.inf, shape, np.float32) for key, shape in info.observation_shapes.items()
    }
    return boxes["observation"] if len(boxes) == 1 else Dict(boxes)


def action_space(info: EnvInfo) -> Box:
    """Actions in [-1, 1]."""
    return Box(-1.0, 1.0, (info.action_dim,), np.float32)


def _seen(observation: Observation) -> Any:
    return observation["observation"] if len(observation) == 1 else observation


class BatchGymEnv(gymnasium.Env):
    """One world of a batched environment.

    Args:
        factory: Makes the batch from seeds.
        render_mode: ``"rgb_array"`` for pictures where the environment has a film, or None.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 25}  # noqa: RUF012 (gymnasium's own declaration)

    def __init__(self, factory: Factory, render_mode: str | None = None) -> None:
        self.env = factory([int(self.np_random.integers(2**31))])
        self.render_mode = render_mode
        self.observation_space = observation_space(self.env.info)
        self.action_space = action_space(self.env.info)
        self._state = self.env.observe()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start an episode; a seed restarts the random stream first."""
        super().reset(seed=seed)
        if seed is not None:
            self.env.seed([seed])
        return self._first(self.env.reset()), {"success": False}

    def step(self, action: Array) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """One primitive step; ``info["success"]`` tells whether the task counts as solved at it."""
        result = self.env.step(np.asarray(action)[None])
        info = {"success": bool(result.success[0])}
        observation = self._first(result.observation)
        return observation, float(result.reward[0]), bool(result.terminated[0]), bool(result.truncated[0]), info

    def render(self) -> Array | None:
        """The present state as an image ``[height, width, 3]`` uint8."""
        film = self.env.film(self._state["observation"]) if self.render_mode == "rgb_array" else None
        return None if film is None else film[-1]

    def _first(self, observation: Observation) -> Any:
        self._state = observation
        return _seen({key: value[0] for key, value in observation.items()})


class BatchVectorEnv(VectorEnv):
    """N worlds of a batched environment; a world whose episode ended resets at the next step, its action unused.

    Args:
        factory: Makes the batch from seeds.
        num_envs: Worlds.
    """

    metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012 (gymnasium's own declaration)

    def __init__(self, factory: Factory, num_envs: int) -> None:
        self.num_envs = num_envs
        self.env = factory(self._seeds(None))
        self.single_observation_space = observation_space(self.env.info)
        self.single_action_space = action_space(self.env.info)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._done = np.zeros(num_envs, dtype=bool)

    def _seeds(self, seed: int | Sequence[int] | None) -> list[int]:
        if seed is None:
            return [int(number) for number in self.np_random.integers(2**31, size=self.num_envs)]
        return [seed + world for world in range(self.num_envs)] if isinstance(seed, int) else list(seed)

    def reset(
        self, *, seed: int | Sequence[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start episodes; seed ``s`` gives world ``i`` the stream of ``s + i``.

        ``options={"reset_mask": [N] bool}`` resets those worlds alone.
        """
        if seed is not None:
            self.env.seed(self._seeds(seed))
        mask = (options or {}).get("reset_mask", np.ones(self.num_envs, dtype=bool))
        self._done &= ~mask
        return _seen(self.env.reset(mask)), {"success": np.zeros(self.num_envs, dtype=bool), "_success": mask}

    def step(self, actions: Array) -> tuple[Any, Array, Array, Array, dict[str, Any]]:
        """One primitive step of every world but those that reset; ``info["success"]`` as for a single world."""
        stepped = ~self._done
        if self._done.any():
            self.env.reset(self._done)
        result = self.env.step(np.asarray(actions), stepped)
        self._done = result.terminated | result.truncated
        info = {"success": result.success, "_success": np.ones(self.num_envs, dtype=bool)}
        return _seen(result.observation), result.reward.astype(np.float64), result.terminated, result.truncated, info


def _factory(env: str, options: dict[str, Any]) -> Factory:
    spec = envs()[env]
    config = spec.config(**options)
    limits.check(config, env)
    return lambda seeds: resolve(spec.make)(config, seeds)


def make_single(env: str, render_mode: str | None = None, **options: Any) -> BatchGymEnv:
    """One world of a registered environment; ``options`` are fields of its config."""
    return BatchGymEnv(_factory(env, options), render_mode)


def make_vector(env: str, num_envs: int, **options: Any) -> BatchVectorEnv:
    """``num_envs`` worlds of a registered environment; ``options`` are fields of its config."""
    return BatchVectorEnv(_factory(env, options), num_envs)


for _env in ("maze", "blocks", "kitchen", "locomotion"):
    gymnasium.register(
        id=f"lightning_skills/{_env.capitalize()}-v1",
        entry_point="envs.gymnasium_adapters:make_single",
        vector_entry_point="envs.gymnasium_adapters:make_vector",
        kwargs={"env": _env},
    )
