"""What tracking costs: the same training with metrics.csv alone and with MLflow on a database beside it.

    python -m benchmarks.tracking [--threads 1] [--frames 6000] [--rounds 4]

SPiRL's RL phase in the small maze, from the command's words to the last picture, in turns (A B A B ...) within one
process, so that drift of the machine hits both. Training is Lightning's ``fit``; its ratios are the medians over the
rounds, beside the quartiles, by the clock and by the CPU time of all threads of the process. Then the time inside calls
of the tracker: while training, which grows with it, and before and after, which is paid once a run. From both follows
the share of a run of ten minutes. Starting the tracker up (MLflow's import and its database) is not counted.
"""

import argparse
import contextlib
import io
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Trainer

from benchmarks.throughput import spread
from lightning_skills import config
from lightning_skills.phase_logger import PhaseLogger
from lightning_skills.pipeline import execute
from lightning_skills.quiet import quiet
from lightning_skills.tracking import MLflowTracker

LONG_RUN = 600.0
"""Seconds."""
WORDS = ("method=spirl", "env=maze", "logging.progress=false", "evaluation.episodes=1", "evaluation.interim_episodes=1")
RL = ("method.rl.warmup=100", "phase=rl")
SKILLS = ("method.skills.updates=20", "phase=skills", "logging=csv", "name=skills")
CALLS = (
    (PhaseLogger, ("log_metrics", "save", "finalize", "end")),
    (MLflowTracker, ("phase", "log_artifact", "log_dataset", "finished", "close")),
)


@dataclass
class Spent:
    """Seconds of one run.

    Args:
        training: In Lightning's ``fit``.
        cpu: Of all threads meanwhile.
        while_training: Of these, in calls of the tracker.
        once: In calls of the tracker before and after.
    """

    training: float = 0.0
    cpu: float = 0.0
    while_training: float = 0.0
    once: float = 0.0

    def share(self, training: float) -> float:
        """Of the tracker in a run that trains so long."""
        return self.while_training / self.training + self.once / training


class Clock:
    """Adds up the time inside calls; a call within a call counts once."""

    def __init__(self) -> None:
        self.seconds, self._depth = 0.0, 0

    @contextmanager
    def times(self, owner: type, name: str) -> Iterator[None]:
        """Count the time within this method."""
        original = getattr(owner, name)

        def timed(*args: Any, **options: Any) -> Any:
            begin = time.perf_counter()
            self._depth += 1
            try:
                return original(*args, **options)
            finally:
                self._depth -= 1
                self.seconds += 0.0 if self._depth else time.perf_counter() - begin

        setattr(owner, name, timed)
        try:
            yield
        finally:
            setattr(owner, name, original)


def measured(words: Sequence[str]) -> Spent:
    """Train, without its words on the screen."""
    tracker, spent = Clock(), Spent()
    fit = Trainer.fit

    def timed_fit(*args: Any, **options: Any) -> None:
        before, cpu, begin = tracker.seconds, time.process_time(), time.perf_counter()
        fit(*args, **options)
        spent.cpu += time.process_time() - cpu
        spent.training += time.perf_counter() - begin
        spent.while_training += tracker.seconds - before

    with ExitStack() as stack:
        for owner, names in CALLS:
            for name in names:
                stack.enter_context(tracker.times(owner, name))
        stack.callback(setattr, Trainer, "fit", fit)
        Trainer.fit = timed_fit  # type: ignore[method-assign]
        stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        execute(config.load(words))
    spent.once = tracker.seconds - spent.while_training
    return spent


def pairs(frames: int, rounds: int, threads: int, folder: Path) -> list[tuple[Spent, Spent]]:
    """Measure both sides in turns; a short run of each goes before and is not counted.

    Returns:
        For each round, with metrics.csv alone and with MLflow.
    """
    common = [*WORDS, f"trainer.threads={threads}", f"data_dir={folder / 'data'}", f"runs_dir={folder}"]
    with contextlib.redirect_stdout(io.StringIO()):
        execute(config.load([*common, *SKILLS]))
    source = folder / "spirl" / "maze-small20" / "skills" / "seed0"

    def run(name: str, frames: int, logging: str) -> Spent:
        words = [*common, *RL, f"skills={source}", f"method.rl.frames={frames}", f"name={name}"]
        return measured([*words, f"logging={logging}"])

    sides = ("csv", "default")
    for side in sides:
        run(f"before_{side}", 1100, side)
    measurements = []
    for number in range(rounds):
        plain, tracked = (run(f"{number}_{side}", frames, side) for side in sides)
        measurements.append((plain, tracked))
    return measurements


def table(measurements: Sequence[tuple[Spent, Spent]]) -> str:
    """As Markdown."""
    plain, tracked = zip(*measurements, strict=True)
    ratio = np.array([with_it.training / without.training for without, with_it in measurements])
    work = np.array([with_it.cpu / without.cpu for without, with_it in measurements])
    per_second = np.array([each.while_training / each.training for each in tracked])
    once = np.array([each.once for each in tracked])
    long = np.array([each.share(LONG_RUN) for each in tracked])
    rows = [
        ("training with metrics.csv alone, s", spread(np.array([each.training for each in plain]), 1)),
        ("training with MLflow beside it, s", spread(np.array([each.training for each in tracked]), 1)),
        ("with / without, by the clock", spread(ratio, 3)),
        ("with / without, by CPU time", spread(work, 3)),
        ("in the tracker while training, % of it", spread(100 * per_second, 2)),
        ("in the tracker before and after, s a run", spread(once, 2)),
        (f"tracker's share of {LONG_RUN:.0f} s of training, %", spread(100 * long, 2)),
    ]
    return "\n".join(["| | median (quartiles) |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--frames", type=int, default=6000, help="env frames of one run; 260 000 train for ten minutes")
    parser.add_argument("--rounds", type=int, default=4, help="runs of each side")
    arguments = parser.parse_args()
    quiet()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        measurements = pairs(arguments.frames, arguments.rounds, arguments.threads, Path(folder))
    print(f"SPiRL's RL phase in the small maze, {arguments.frames} env frames, {arguments.threads} thread(s)\n")
    print(table(measurements))


if __name__ == "__main__":
    main()
