"""Speed of updates against plain versions in the structure of the authors' code; of mazes; of a whole phase.

    python -m benchmarks.throughput [--threads 1] [--seconds 0.5] [--rounds 15] [--only skills] [--cpu-time]

Both sides and the matrix products of our side alone run in turns (A B C A B C ...), so that drift of the machine hits
all; a ratio is the median over the rounds, beside its quartiles. These products are the floor; "x floor" is our time
over theirs. Then frames per second of the maze against gymnasium-robotics' PointMaze, in turns too, and of SPiRL's RL
phase with everything around an update.
"""

import argparse
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch

from benchmarks.comparison import CPU, WALL, Comparison, measure, rate, spread
from benchmarks.frames import point_maze, whole_phase, worlds
from benchmarks.meta_updates import SETTINGS, meta_training
from benchmarks.plain import NumpyReplay, PlainPretrain, PlainSkillRL, WindowDataset
from benchmarks.products import Step
from benchmarks.synthetic import as_arrays, transitions
from lightning_skills.data.batch_env import EnvInfo
from lightning_skills.data.offline import OfflineData
from lightning_skills.data.replay import Replay
from lightning_skills.data.trajectories import Dataset
from lightning_skills.phases.base import PhaseContext, Update
from lightning_skills.phases.options import SkillPretrainOptions, SkillRLOptions
from lightning_skills.phases.skill_pretrain import SkillPretrainModule
from lightning_skills.phases.skill_rl import SkillRLModule
from lightning_skills.quiet import quiet

TRAJECTORIES, LENGTH, TRANSITIONS = 600, 220, 20_000


@dataclass(frozen=True)
class Shape:
    """Sizes of one environment and of the networks that SPiRL's authors use there."""

    name: str
    state_dim: int
    action_dim: int
    skills: SkillPretrainOptions
    rl: SkillRLOptions
    authors: dict[str, str]

    @property
    def info(self) -> EnvInfo:
        """As the framework sees the environment."""
        return EnvInfo({"observation": (self.state_dim,)}, self.action_dim, 280)

    def compared(self, name: str, ours: Step, plain: Step) -> Comparison:
        """Two sides at these sizes."""
        return Comparison(self.name, name, ours, plain, self.authors.get(name, ""))


SHAPES = (
    Shape(
        "kitchen",
        60,
        9,
        SkillPretrainOptions(encoder_width=128, decoder_layers=5, beta=5e-4),
        SkillRLOptions(critic_layers=5, target_divergence=5.0),
        {"skill pre-training": "17.8", "with its data path": "1.18 (2.26 with 4 workers)", "skill RL": "13.9"},
    ),
    Shape("maze", 4, 2, SkillPretrainOptions(), SkillRLOptions(), {}),
)


def pretraining(shape: Shape) -> list[Comparison]:
    """The skill model's update, alone and with the data that feed it."""
    module = SkillPretrainModule(PhaseContext(shape.skills, shape.info))
    module.train()
    module.build_optimizers()
    plain = PlainPretrain(module.model, shape.skills.beta).train()
    module.updates = plain.updates = shape.skills.clip_updates  # only the first updates clip
    rng, sizes = np.random.default_rng(0), {"observation": shape.state_dim, "action": shape.action_dim}
    rows = {key: rng.normal(size=(TRAJECTORIES * LENGTH, size)).astype(np.float32) for key, size in sizes.items()}
    dataset = Dataset(Path("synthetic"), {}, "", np.full(TRAJECTORIES, LENGTH), rows, {})
    data = OfflineData(module, dataset)
    update = cast(Update, module.plan()[0])
    pieces = [{key: rows[key][i * LENGTH : (i + 1) * LENGTH] for key in rows} for i in range(TRAJECTORIES)]
    loader = WindowDataset(pieces, module.options.horizon + 1, module.options.batch_size)
    batch = data.sample(update)
    return [
        shape.compared("skill pre-training", lambda: module.training_step(batch, 0), lambda: plain.update(batch)),
        shape.compared(
            "with its data path",
            lambda: module.training_step(data.sample(update), 0),
            lambda: plain.update(loader.batch()),
        ),
    ]


def reinforcement(shape: Shape) -> list[Comparison]:
    """The actor-critic's update: one new transition into the buffer, a batch out of it, one step."""
    skills = SkillPretrainModule(PhaseContext(shape.skills, shape.info)).artefact()
    module = SkillRLModule(PhaseContext(shape.rl, shape.info, {"skills": skills}))
    module.train()
    module.build_optimizers()
    plain, replay, arrays = PlainSkillRL(module), Replay(2 * TRANSITIONS), NumpyReplay(2 * TRANSITIONS)
    old, new = (transitions(shape.state_dim, shape.skills.latent_dim, count) for count in (TRANSITIONS, 1))
    replay.extend(module.annotate(old.clone()))
    arrays.append(as_arrays(old))

    def ours() -> None:
        replay.extend(module.annotate(new.clone()))
        module.training_step(replay.sample(shape.rl.batch_size), 0)

    def theirs() -> None:
        arrays.append(as_arrays(new))
        plain.update(arrays.sample(shape.rl.batch_size))

    return [shape.compared("skill RL", ours, theirs)]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=0.5, help="length of one window")
    parser.add_argument("--rounds", type=int, default=15, help="windows of each side")
    parser.add_argument("--only", choices=("skills", "meta", "mazes", "phase"), help="one of the tables")
    parser.add_argument("--cpu-time", action="store_true", help="count the process's CPU seconds: on a busy machine")
    arguments = parser.parse_args()
    quiet()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    if arguments.only in (None, "skills"):
        updates((one for shape in SHAPES for one in [*pretraining(shape), *reinforcement(shape)]), arguments)
    if arguments.only in (None, "meta"):
        updates(map(meta_training, SETTINGS), arguments)
    if arguments.only in (None, "mazes"):
        mazes(arguments)
    if arguments.only in (None, "phase"):
        print(f"\nSPiRL's RL phase in the small maze: {whole_phase()}")


def updates(comparisons: Iterable[Comparison], arguments: argparse.Namespace) -> None:
    """Print a table of updates; the authors' own figures are theirs on another machine, at one thread."""
    print(f"\nupdates/s on {arguments.threads} thread(s)\n")
    print("| sizes | update | ours /s | plain /s | ours / plain | x floor | GMAC | GMAC/s of the floor | authors /s |")
    print("|---|---|---|---|---|---|---|---|---|")
    for each in comparisons:
        found = measure(each, arguments.seconds, arguments.rounds, CPU if arguments.cpu_time else WALL)
        work = found.multiply_adds / 1e9
        print(
            f"| {each.sizes} | {each.name} | {spread(found.ours)} | {spread(found.plain)} "
            f"| {spread(found.ours / found.plain)} | {spread(found.products / found.ours)} "
            f"| {work:.2f} | {work * np.median(found.products):.0f} | {each.authors} |",
            flush=True,
        )


def mazes(arguments: argparse.Namespace) -> None:
    """Print the table of the mazes; neither side uses more than one core."""
    sizes = (1, 8, 64, 1024)
    steps = [*map(worlds, sizes), point_maze()]
    for step in steps:
        rate(step, arguments.seconds / 4)
    *ours, theirs = np.array([[rate(step, arguments.seconds) for step in steps] for _ in range(arguments.rounds)]).T
    print("\n| worlds | ours frames/s | PointMaze frames/s | ours / PointMaze |")
    print("|---|---|---|---|")
    for size, rates in zip(sizes, ours, strict=True):
        print(f"| {size} | {spread(size * rates, 0)} | {spread(theirs, 0)} | {spread(size * rates / theirs, 1)} |")


if __name__ == "__main__":
    main()
