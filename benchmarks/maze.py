"""Numbers of the maze's documentation: demonstrations, images, and how often random actions reach the goal.

    python -m benchmarks.maze [--episodes 20000] [--trajectories 2048]

One process and one thread. Times are the processor's, medians over five rounds with their quartiles.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from benchmarks.comparison import spread
from envs.maze import demos
from envs.maze import env as maze
from envs.maze.config import DemoConfig, MazeConfig
from lightning_skills.data.rendering import Renderer

ROUNDS, OFTEN = 5, 20
PLACES = {
    "20x20, the task's maze": MazeConfig(task="small20"),
    "20x20, a new maze each": MazeConfig(task="small20", data=DemoConfig(layouts="random")),
    "40x40, the task's maze": MazeConfig(task="spirl40"),
}
BATCHES = (1, 256, 1024)
ACTIONS: dict[str, Callable[[np.random.Generator, tuple[int, int]], np.ndarray]] = {
    "uniform": lambda rng, shape: rng.uniform(-1, 1, shape),
    "-1 or 1": lambda rng, shape: rng.choice([-1.0, 1.0], shape),
}


def cpu_seconds(work: Callable[[], object]) -> np.ndarray:
    """What a piece of work takes in each round."""
    taken = []
    for _ in range(ROUNDS):
        began = time.process_time()
        work()
        taken.append(time.process_time() - began)
    return np.array(taken)


def lengths(config: MazeConfig) -> np.ndarray:
    """Rows of each of the demonstrations, made anew."""
    return np.array([len(each["action"]) for each in demos.generate(config)])


def demonstrations(count: int) -> None:
    """Print how fast demonstrations are made, how long they are, and how many reach their goal."""
    print("| demonstrations | trajectories/s | mean rows | goal reached |\n|---|---|---|---|")
    for name, config in PLACES.items():
        config = replace(config, data=replace(config.data, trajectories=count))
        rate = count / cpu_seconds(partial(lengths, config))
        rows = lengths(config)
        print(f"| {name} | {spread(rate, 0)} | {rows.mean():.0f} | {(rows <= config.data.max_steps).mean():.1%} |")


def draw_often(renderer: Renderer, scene: torch.Tensor) -> None:
    """Draw images a few times."""
    for _ in range(OFTEN):
        renderer(scene)


def images() -> None:
    """Print what it takes to draw the images of a batch, two frames each."""
    print("\n| scenes in a batch, two frames each | CPU time in ms |\n|---|---|")
    for count in BATCHES:
        worlds = maze.make(MazeConfig(task="spirl40", images=True), range(count))
        scene, renderer = torch.from_numpy(worlds.observe()["scene"]), worlds.renderer
        assert renderer is not None
        drawing = cpu_seconds(partial(draw_often, renderer, scene))
        print(f"| {count} | {spread(1e3 * drawing / OFTEN)} |")


def hardness(episodes: int) -> None:
    """Print how often random actions reach the goal of ``small20``."""
    print(f"\n| actions | goal reached, of {episodes} episodes |\n|---|---|")
    worlds = maze.make(PLACES["20x20, the task's maze"], range(episodes))
    for name, draw in ACTIONS.items():
        rng, reached = np.random.default_rng(0), np.zeros(episodes, dtype=bool)
        worlds.reset()
        for _ in range(worlds.info.horizon):
            reached |= worlds.step(draw(rng, (episodes, 2))).success
        print(f"| {name} | {reached.sum()} ({reached.mean():.3%}) |")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=20_000, help="of random actions")
    parser.add_argument("--trajectories", type=int, default=2048, help="demonstrations of each kind")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    demonstrations(arguments.trajectories)
    images()
    hardness(arguments.episodes)


if __name__ == "__main__":
    main()
