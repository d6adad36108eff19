"""A phase's policy in worlds of an environment, stepped by a TorchRL collector."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor
from torchrl.collectors import Collector

from lightning_skills.data.skill_env import SkillEnv
from lightning_skills.phases.base import PhaseModule

Begin = Callable[[np.ndarray], TensorDict]
"""(indices ``[n]`` of worlds) -> the acting state ``[n]`` with which they begin an episode."""


class Actor:
    """A phase's acting method as a TorchRL policy; it carries the acting state of every world.

    Args:
        module: The phase.
        env: The worlds it acts in.
        policy: Name of the acting method.
        explore: Whether it samples.
        begin: Gives worlds the state of their next episode; by default the module's initial one.
    """

    def __init__(
        self,
        module: PhaseModule,
        env: SkillEnv,
        policy: str = "act",
        explore: bool = True,
        begin: Begin | None = None,
    ) -> None:
        self._module, self._env = module, env
        self.policy, self.explore = policy, explore
        self.when_chosen: Callable[[], None] = lambda: None
        self._begin: Begin = begin or (lambda worlds: module.initial_state(len(worlds)))
        self.state = module.initial_state(env.worlds.num_worlds)

    @torch.no_grad()
    def __call__(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Add ``action`` and whatever the policy wants stored with the transition."""
        device = self._module.device
        observation = TensorDict(
            {key: tensordict[key].to(device) for key in self._env.worlds.info.observation_shapes},
            batch_size=tensordict.batch_size,
        )
        action, state, extras = getattr(self._module, self.policy)(observation, self._started(), self.explore)
        self.state = state
        tensordict.set("action", action.cpu())
        tensordict.update(extras.cpu())
        self.when_chosen()
        return tensordict

    def _started(self) -> TensorDict:
        fresh = np.flatnonzero((self._env.worlds.elapsed == 0) & ~self._env.parked)
        if not self.state.is_empty() and len(fresh):
            self.state[torch.from_numpy(fresh)] = self._begin(fresh)
        return self.state


class Acting:
    """An actor and the collector that asks it, with everything that determines what they will do next.

    Args:
        module: The phase.
        env: The worlds it acts in.
        begin: As of :class:`Actor`.
    """

    def __init__(self, module: PhaseModule, env: SkillEnv, begin: Begin | None = None) -> None:
        self.env, self._module = env, module
        self.actor = Actor(module, env, begin=begin)
        self.collector = Collector(
            env,
            self.actor,
            frames_per_batch=env.worlds.num_worlds,
            total_frames=-1,
            use_buffers=False,
            track_traj_ids=False,
        )

    def step(self) -> TensorDictBase:
        """One (skill) transition of each world ``[N]``; worlds whose episode has ended begin another."""
        return self.collector.rollout().squeeze(1)

    def transitions(self, step: TensorDictBase) -> TensorDict:
        """A step, or some of its rows, as it is stored."""
        keys = [*self.env.worlds.info.observation_shapes, "reward", "terminated", "frames"]
        kept = step.exclude("next", "task", "done", "terminated", "truncated", "frames", "success")
        kept = kept.set("next", step["next"].select(*keys))
        with torch.no_grad():
            return self._module.annotate(kept)

    def state(self) -> dict[str, Tensor]:
        """Environments, what the collector carries and the acting state, by name."""
        tensors = {f"env/{key}": torch.from_numpy(value) for key, value in self.env.get_state().items()}
        for part, tensordict in (("carrier", self.collector._carrier), ("acting", self.actor.state)):
            tensors |= {f"{part}/{key}": value for key, value in tensordict.flatten_keys("/").items()}
        return tensors

    def set_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Inverse of :meth:`state`; other names are left alone."""
        self.env.set_state({key: value.numpy() for key, value in named(tensors, "env").items()})
        worlds = [self.env.worlds.num_worlds]
        self.collector._carrier = TensorDict(named(tensors, "carrier"), batch_size=worlds).unflatten_keys("/")
        self.actor.state = TensorDict(named(tensors, "acting"), batch_size=worlds).unflatten_keys("/")


def named(tensors: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    """Copies of those whose name begins with ``part/``, without it."""
    own = {key.removeprefix(f"{part}/"): value for key, value in tensors.items() if key.startswith(f"{part}/")}
    return {key: value.clone() for key, value in own.items()}  # a file's memory is not aligned as torch's own
