"""Speed of the kitchen against gymnasium-robotics' FrankaKitchen, on one thread and on two, whole and lean.

    python -m benchmarks.kitchen [--worlds 8] [--rounds 15] [--steps 80]

In a round all sides play the same random actions from the start of an episode, in turns (A B C A B C ...); an action is
held for eight steps. A ratio is the median over the rounds, beside its quartiles. CPU time counts all threads, so its
ratios are per core.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

import gymnasium
import gymnasium_robotics
import mujoco
import numpy as np
from gymnasium_robotics.utils import mujoco_utils

from benchmarks.throughput import spread
from envs.kitchen import model, tasks
from envs.kitchen.env import KitchenEnv

HOLD = 8
TASK = tasks.TASKS[tasks.MIXED]


@dataclass(frozen=True)
class Side:
    """What is timed.

    Args:
        name: Its name in the table.
        reset: Starts an episode.
        step: Plays an action ``[9]`` in all its worlds.
        worlds: How many it steps.
    """

    name: str
    reset: Callable[[], object]
    step: Callable[[np.ndarray], object]
    worlds: int


def repaired() -> SimpleNamespace:
    """MuJoCo with plain numbers for types of joints, as gymnasium-robotics 1.4 expects, which no longer equal enums."""
    joints = SimpleNamespace(**{name: int(kind) for name, kind in mujoco.mjtJoint.__members__.items()})
    return SimpleNamespace(**{**vars(mujoco), "mjtJoint": joints})


def held_actions(steps: int, seed: int) -> np.ndarray:
    """Random actions ``[steps, 9]``."""
    drawn = np.random.default_rng(seed).normal(0.0, 1.0, (steps // HOLD + 1, 9)).clip(-1, 1)
    return drawn.repeat(HOLD, axis=0)[:steps]


def franka_kitchen() -> Side:
    """gymnasium-robotics' environment without gymnasium's checks."""
    mujoco_utils.mujoco = repaired()
    gymnasium.register_envs(gymnasium_robotics)
    options = {"tasks_to_complete": list(TASK.subtasks), "disable_env_checker": True}
    env = gymnasium.make("FrankaKitchen-v1", **options)
    return Side("FrankaKitchen", lambda: env.reset(seed=0), env.step, 1)


def ours(name: str, worlds: int, threads: int, simulated: mujoco.MjModel) -> Side:
    """Our environment."""
    env = KitchenEnv([TASK], range(worlds), threads=threads, simulated=simulated)
    return Side(name, env.reset, lambda action: env.step(np.tile(action, (worlds, 1))), worlds)


def seconds(side: Side, actions: np.ndarray) -> tuple[float, float]:
    """Wall and CPU time of one frame of one world."""
    side.reset()
    wall, cpu, frames = time.perf_counter(), time.process_time(), len(actions) * side.worlds
    for action in actions:
        side.step(action)
    return (time.perf_counter() - wall) / frames, (time.process_time() - cpu) / frames


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=8, help="worlds stepped together")
    parser.add_argument("--rounds", type=int, default=15, help="episodes of each side")
    parser.add_argument("--steps", type=int, default=80, help="of an episode")
    arguments = parser.parse_args()
    worlds, lean = arguments.worlds, model.lean()
    sides = [
        franka_kitchen(),
        ours("whole model, 1 thread", worlds, 1, model.whole()),
        ours("lean model, 1 thread", worlds, 1, lean),
        ours("lean model, 2 threads", worlds, 2, lean),
        ours("lean model, 1 world", 1, 1, lean),
    ]
    played = [held_actions(arguments.steps, seed) for seed in range(arguments.rounds)]
    rounds = np.array([[seconds(side, actions) for side in sides] for actions in played])
    print(f"{worlds} worlds; frames/s, and times as fast as FrankaKitchen by the wall clock and by CPU time\n")
    print("| side | frames/s | by the clock | by CPU time |")
    print("|---|---|---|---|")
    for index, side in enumerate(sides):
        wall, cpu = (rounds[:, 0] / rounds[:, index]).T
        print(f"| {side.name} | {spread(1 / rounds[:, index, 0], 0)} | {spread(wall)} | {spread(cpu)} |")
    wall, cpu = (rounds[:, 1] / rounds[:, 2]).T
    print(f"\nlean over whole: {spread(wall)} by the clock, {spread(cpu)} by CPU time")
    wall, _ = (rounds[:, 2] / rounds[:, 3]).T
    print(f"two threads over one: {spread(wall)} by the clock")


if __name__ == "__main__":
    main()
