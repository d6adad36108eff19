"""Speed of SPiRL's updates against a plain version in the structure of the authors' code; of mazes; of a whole phase.

    python -m benchmarks.throughput [--threads 1] [--seconds 0.5] [--rounds 15]

Both sides and a matrix product run in turns (A B C A B C ...), so that drift of the machine hits all; a ratio is the
median over the rounds, beside its quartiles. The floor is the time that the multiply-adds of our step would
take at the rate of the matrix product; "x floor" is our time over it. Then frames per second of the maze against
gymnasium-robotics' PointMaze, in turns too, and of SPiRL's RL phase with everything around an update.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from tensordict import TensorDict

from benchmarks.frames import point_maze, whole_phase, worlds
from benchmarks.plain import NumpyReplay, PlainPretrain, PlainSkillRL, WindowDataset
from lightning_skills.data.batch_env import EnvInfo
from lightning_skills.data.offline import OfflineData
from lightning_skills.data.replay import Replay
from lightning_skills.data.trajectories import Dataset
from lightning_skills.nets.mlp import MLP
from lightning_skills.phases.base import PhaseContext, Update
from lightning_skills.phases.options import SkillPretrainOptions, SkillRLOptions
from lightning_skills.phases.skill_pretrain import SkillPretrainModule
from lightning_skills.phases.skill_rl import SkillRLModule
from lightning_skills.quiet import quiet

TRAJECTORIES, LENGTH, TRANSITIONS = 600, 220, 20_000
Step = Callable[[], object]


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


SHAPES = (
    Shape(
        "kitchen",
        60,
        9,
        SkillPretrainOptions(encoder_width=128, decoder_layers=5, beta=5e-4),
        SkillRLOptions(critic_layers=5, target_divergence=5.0),
        {"pre-training": "17.8", "with its data path": "1.18 (2.26 with 4 workers)", "RL": "13.9"},
    ),
    Shape("maze", 4, 2, SkillPretrainOptions(), SkillRLOptions(), {}),
)


@dataclass(frozen=True)
class Comparison:
    """One line of the table.

    Args:
        name: What is compared.
        ours: One update.
        plain: The same in plain form.
        multiply_adds: Of our update.
        product: Rows, inner and columns of a matrix product of typical size.
    """

    name: str
    ours: Step
    plain: Step
    multiply_adds: int
    product: tuple[int, int, int]


def weights(mlp: MLP) -> int:
    """Multiply-adds of one item's forward pass."""
    return sum(parameter.numel() for parameter in mlp.parameters() if parameter.ndim == 2)


def pretrain_multiply_adds(module: SkillPretrainModule) -> int:
    """Of a forward and a backward pass that skips the gradient of the data."""
    sizes, batch = module.model.settings, module.options.batch_size
    width, inputs = sizes.width, sizes.state_dim + sizes.action_dim
    steps = batch * sizes.horizon
    recurrent = steps * 4 * width * (2 * inputs + 3 * width) + 3 * 4 * width * width * inputs
    head = 3 * batch * sizes.encoder_width * (width + 2 * sizes.latent_dim)
    decoder = steps * (3 * weights(module.model.decoder) - width * sizes.state_dim)
    prior = batch * (3 * weights(module.model.prior_net) - width * sizes.state_dim)
    return recurrent + head + decoder + prior


def rl_multiply_adds(module: SkillRLModule) -> int:
    """Of one update: policy at both states, target critics, critics at the stored and at the policy's action.

    At the policy's action, only the smaller critic of each transition passes a gradient on.
    """
    one = cast(MLP, module.critics[0])
    policy, critic, first = weights(module.policy), weights(one), one.first.weight.numel()
    actor = 4 * policy - module.policy.first.weight.numel() + 3 * critic
    critics = 2 * critic + 2 * (3 * critic - first)
    return module.options.batch_size * (actor + critics)


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
    work = pretrain_multiply_adds(module)
    product = (shape.skills.batch_size * shape.skills.horizon, shape.skills.width, shape.skills.width)
    return [
        Comparison("pre-training", lambda: module.training_step(batch, 0), lambda: plain.update(batch), work, product),
        Comparison(
            "with its data path",
            lambda: module.training_step(data.sample(update), 0),
            lambda: plain.update(loader.batch()),
            work,
            product,
        ),
    ]


def transitions(shape: Shape, latent_dim: int, count: int) -> TensorDict:
    """Random skill transitions ``[count]``."""
    following = {
        "observation": torch.randn(count, shape.state_dim),
        "reward": torch.rand(count, 1),
        "terminated": torch.rand(count, 1) < 0.03,
    }
    now = {"observation": torch.randn(count, shape.state_dim), "action": torch.randn(count, latent_dim)}
    return TensorDict({**now, "next": TensorDict(following, [count])}, [count])


def as_arrays(batch: TensorDict) -> dict[str, np.ndarray]:
    """The same for the plain replay buffer."""
    following = batch["next"]
    return {
        "observation": batch["observation"].numpy(),
        "action": batch["action"].numpy(),
        "next_observation": following["observation"].numpy(),
        "reward": following["reward"].numpy(),
        "done": following["terminated"].float().numpy(),
    }


def reinforcement(shape: Shape) -> list[Comparison]:
    """The actor-critic's update: one new transition into the buffer, a batch out of it, one step."""
    skills = SkillPretrainModule(PhaseContext(shape.skills, shape.info)).artefact()
    module = SkillRLModule(PhaseContext(shape.rl, shape.info, {"skills": skills}))
    module.train()
    module.build_optimizers()
    plain, replay, arrays = PlainSkillRL(module), Replay(2 * TRANSITIONS), NumpyReplay(2 * TRANSITIONS)
    old, new = (transitions(shape, shape.skills.latent_dim, count) for count in (TRANSITIONS, 1))
    replay.extend(module.annotate(old.clone()))
    arrays.append(as_arrays(old))

    def ours() -> None:
        replay.extend(module.annotate(new.clone()))
        module.training_step(replay.sample(shape.rl.batch_size), 0)

    def theirs() -> None:
        arrays.append(as_arrays(new))
        plain.update(arrays.sample(shape.rl.batch_size))

    product = (shape.rl.batch_size, shape.rl.critic_width, shape.rl.critic_width)
    return [Comparison("RL", ours, theirs, rl_multiply_adds(module), product)]


def rate(step: Step, seconds: float) -> float:
    """Calls per second."""
    calls, begin = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - begin) < seconds or not calls:
        step()
        calls += 1
    return calls / elapsed


def measure(comparison: Comparison, seconds: float, rounds: int) -> np.ndarray:
    """Rates of ours, plain and the matrix product (in multiply-adds per second), ``[rounds, 3]``."""
    rows, inner, columns = comparison.product
    left, right, out = torch.randn(rows, inner), torch.randn(inner, columns), torch.empty(rows, columns)
    steps = (comparison.ours, comparison.plain, lambda: torch.mm(left, right, out=out))
    for step in steps:
        rate(step, seconds / 4)
    rates = np.array([[rate(step, seconds) for step in steps] for _ in range(rounds)])
    return rates * [1, 1, rows * inner * columns]


def spread(values: np.ndarray, digits: int = 2) -> str:
    """Median (first to third quartile)."""
    low, middle, high = np.percentile(values, [25, 50, 75])
    return f"{middle:.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=0.5, help="length of one window")
    parser.add_argument("--rounds", type=int, default=15, help="windows of each side")
    arguments = parser.parse_args()
    quiet()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    updates(arguments)
    mazes(arguments)
    print(f"\nSPiRL's RL phase in the small maze: {whole_phase()}")


def updates(arguments: argparse.Namespace) -> None:
    """Print the table of the updates."""
    print(
        f"updates/s on {arguments.threads} thread(s), batch 128 (pre-training) and 256 (RL); the authors' own figures"
    )
    print("are theirs on another machine, at one thread\n")
    print("| shapes | update | ours /s | plain /s | ours / plain | x floor | product GMAC/s | authors' code /s |")
    print("|---|---|---|---|---|---|---|---|")
    for shape in SHAPES:
        for comparison in [*pretraining(shape), *reinforcement(shape)]:
            ours, plain, product = measure(comparison, arguments.seconds, arguments.rounds).T
            floor = product / comparison.multiply_adds / ours
            print(
                f"| {shape.name} | {comparison.name} | {spread(ours, 1)} | {spread(plain, 1)} | {spread(ours / plain)} "
                f"| {spread(floor)} | {np.median(product) / 1e9:.0f} | {shape.authors.get(comparison.name, '')} |",
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
