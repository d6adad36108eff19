"""What ``collect.ahead`` gains: SPiRL's RL phase in the kitchen, collecting between updates and during them.

    python -m benchmarks.ahead [--seconds 4] [--rounds 10]

One world, one thread of torch, the authors' sizes of networks, a model of skills that has learned nothing. Both sides
run in turns (A B A B ...) after their warm-up, with an update for each transition; the ratio is the median over the
rounds, beside its quartiles. It needs a second core that nothing else uses.
"""

import argparse
from collections.abc import Callable

import numpy as np
import torch

from benchmarks.comparison import rate, spread
from benchmarks.throughput import SHAPES
from envs.kitchen import env as kitchen
from envs.kitchen.config import KitchenConfig
from lightning_skills.data.online import OnlineData
from lightning_skills.phases.base import PhaseContext
from lightning_skills.phases.options import SkillRLOptions
from lightning_skills.phases.skill_pretrain import SkillPretrainModule
from lightning_skills.phases.skill_rl import SkillRLModule

SHAPE = SHAPES[0]
WARM_UP = 300


def phase(ahead: bool) -> Callable[[], None]:
    """A phase that has just made its warm-up; what comes back makes its next update, and collects for it."""
    env = kitchen.make(KitchenConfig(threads=1), [0])
    skills = SkillPretrainModule(PhaseContext(SHAPE.skills, env.info)).artefact()
    options = SkillRLOptions(critic_layers=5, target_divergence=5.0, bound=None, warmup=WARM_UP, frames=10**9)
    module = SkillRLModule(PhaseContext(options, env.info, {"skills": skills}))
    module.train()
    module.build_optimizers()
    batches = iter(OnlineData(module, env, ahead).stream)

    def step() -> None:
        module.training_step(next(batches), 0)

    step()
    return step


def main() -> None:
    """Print the speeds and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4.0, help="length of a turn")
    parser.add_argument("--rounds", type=int, default=10, help="turns of each side")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    between, during = phase(ahead=False), phase(ahead=True)
    rates = np.array([[rate(step, arguments.seconds) for step in (between, during)] for _ in range(arguments.rounds)])
    for name, side in zip(("collected between updates", "collected during them"), rates.T, strict=True):
        print(f"{name}: {spread(side, 1)} updates/s")
    print(f"gain: {spread(rates[:, 1] / rates[:, 0])}")


if __name__ == "__main__":
    main()
