"""Seconds and bytes of saving a replay buffer, against writing all of it with ``torch.save``.

    python -m benchmarks.checkpoints [--sizes 10000 100000 1000000] [--rounds 3]

The buffer holds what SPiRL's RL phase stores in the maze. It is saved when it is nearly full; after 1000 more
transitions; and after 1000 more, with which it wraps and overwrites its oldest. Both sides flush to disk, below the
working folder, and are written in turns; a ratio is the median over the rounds, beside the quartiles. New bytes are
those of files that no earlier save has: what did not change is a hard link.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tensordict import TensorDict

from benchmarks.throughput import spread
from lightning_skills.data.batch_env import EnvInfo
from lightning_skills.data.replay import Replay
from lightning_skills.files import flush
from lightning_skills.phases.base import PhaseContext
from lightning_skills.phases.options import SkillPretrainOptions, SkillRLOptions
from lightning_skills.phases.skill_pretrain import SkillPretrainModule
from lightning_skills.phases.skill_rl import SkillRLModule

MORE = 1000
SAVES = ("first", f"{MORE} more", f"{MORE} more, wrapped")


@dataclass(frozen=True)
class Saved:
    """One save of both sides.

    Args:
        ours: Seconds.
        plain: Seconds.
        new: Bytes that were written.
        whole: Bytes of all files of this save, the linked ones among them.
    """

    ours: float
    plain: float
    new: int
    whole: int


def transitions(count: int) -> TensorDict:
    """Random transitions ``[count]`` as SPiRL's RL phase stores them in the maze, with its prior's outputs."""
    info = EnvInfo({"observation": (4,)}, 2, 1000)
    skills = SkillPretrainModule(PhaseContext(SkillPretrainOptions(), info)).artefact()
    module = SkillRLModule(PhaseContext(SkillRLOptions(), info, {"skills": skills})).eval()
    following = {
        "observation": torch.randn(count, 4),
        "reward": torch.rand(count, 1),
        "terminated": torch.rand(count, 1) < 0.03,
        "frames": torch.full((count, 1), 10),
    }
    now = {"observation": torch.randn(count, 4), "action": torch.randn(count, SkillPretrainOptions().latent_dim)}
    with torch.no_grad():
        return module.annotate(TensorDict({**now, "next": TensorDict(following, [count])}, [count]))


def seconds(call: Callable[[], object]) -> float:
    """How long a call takes."""
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def plain_save(replay: Replay, folder: Path) -> None:
    """Write the whole buffer."""
    folder.mkdir()
    torch.save(replay._storage.get(slice(0, len(replay))).to_dict(), folder / "buffer.pt")
    flush(folder)


def saves(size: int, pool: TensorDict, folder: Path) -> list[Saved]:
    """The three saves of a buffer that holds so many transitions."""
    replay, found = Replay(size), []
    while replay.written < size - 3 * MORE // 2:
        replay.extend(pool[: size - 3 * MORE // 2 - replay.written])
    previous: tuple[Path | None, int] = (None, 0)
    for number in range(len(SAVES)):
        if number:
            replay.extend(pool[:MORE])
        ours, plain = folder / f"ours_{number}", folder / f"plain_{number}"

        def save(target: Path = ours, before: tuple[Path | None, int] = previous) -> None:
            replay.save(target, *before)
            flush(target)

        spent = seconds(save)
        files = [file.stat() for file in ours.iterdir()]
        new = sum(file.st_size for file in files if file.st_nlink == 1)
        whole = sum(file.st_size for file in files)
        found.append(Saved(spent, seconds(lambda target=plain: plain_save(replay, target)), new, whole))  # type: ignore[misc]
        (plain / "buffer.pt").unlink()
        previous = (ours, replay.written)
    return found


def rows(size: int, rounds: Sequence[Sequence[Saved]]) -> list[str]:
    """Of the table: one for each save."""
    lines = []
    for number, name in enumerate(SAVES):
        all_rounds = [saved[number] for saved in rounds]
        ours = np.array([saved.ours for saved in all_rounds])
        plain = np.array([saved.plain for saved in all_rounds])
        new, whole = all_rounds[0].new / 1e6, all_rounds[0].whole / 1e6
        lines.append(
            f"| {size:,} | {name} | {new:.2f} of {whole:.2f} | {spread(1e3 * ours, 0)} | {spread(1e3 * plain, 0)} "
            f"| {spread(ours / plain)} |"
        )
    return lines


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    pool = transitions(20_000)
    print("| transitions | save | new MB | ours ms | torch.save ms | ours / torch.save |")
    print("|---|---|---|---|---|---|")
    for size in arguments.sizes:
        measured = []
        for _ in range(arguments.rounds):
            with tempfile.TemporaryDirectory(dir=".") as folder:
                measured.append(saves(size, pool, Path(folder)))
        print("\n".join(rows(size, measured)), flush=True)


if __name__ == "__main__":
    main()
