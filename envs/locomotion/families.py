"""The families of tasks on MuJoCo robots: which robot, what it observes, what it is paid for, when an episode ends."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from envs.locomotion import models, observations, rewards
from envs.locomotion.models import Robot
from envs.locomotion.observations import Fields
from envs.locomotion.rewards import Step
from lightning_skills.data.batch_env import Array


@dataclass(frozen=True)
class Family:
    """Tasks that differ by their goals alone.

    Args:
        robot: The model, and how it is stepped.
        observe: The observation ``[N, S]``.
        reward: ``[n]`` of a step.
        ends: ``[n]`` bool, whether a step ended the episode.
        position: ``[N, 2]``, whose change in a step is the velocity that is paid for.
        randomised: Whether the goal is the number of a set of model parameters.
    """

    robot: Robot
    observe: Callable[[Fields], Array]
    reward: Callable[[Step], Array]
    ends: Callable[[Step], Array] = rewards.never
    position: Callable[[Fields], Array] = observations.torso
    randomised: bool = False


FAMILIES: Mapping[str, Family] = {
    "cheetah-vel": Family(models.CHEETAH, observations.cheetah, rewards.speed),
    "cheetah-dir": Family(models.CHEETAH, observations.cheetah, rewards.forward_or_backward),
    "ant-goal": Family(models.ANT, observations.ant_with_contacts, rewards.ant_goal),
    "ant-dir": Family(models.ANT, observations.ant, rewards.ant_direction, rewards.ant_ends),
    "humanoid-dir": Family(
        models.HUMANOID,
        observations.humanoid,
        rewards.humanoid_direction,
        rewards.humanoid_ends,
        observations.centre_of_mass,
    ),
    "walker-rand-params": Family(models.WALKER, observations.planar, rewards.run, rewards.walker_ends, randomised=True),
    "hopper-rand-params": Family(models.HOPPER, observations.planar, rewards.run, rewards.hopper_ends, randomised=True),
}
"""By the names of their distributions. The point robots are in :mod:`envs.locomotion.point`."""
