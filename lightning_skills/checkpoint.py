"""Directory checkpoints: everything a phase needs to go on exactly where it was.

``checkpoints/<phase>/updates_<n>/`` holds Lightning's ``model.ckpt`` (written by rank 0, plain values only), a folder
``rank_<k>/`` per process and, last of all, ``COMPLETE``. It is written beside its final name, flushed to disk and
renamed, and only then are others removed, all but the best: a kill at any moment leaves a complete checkpoint.
"""

import json
import math
import random
import shutil
import sys
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from lightning_skills import __version__
from lightning_skills.config_tree import differences, flatten
from lightning_skills.data.collected import CollectedData
from lightning_skills.data.offline import OfflineData
from lightning_skills.errors import InputError
from lightning_skills.evaluation.interim import InterimEvaluation
from lightning_skills.files import advised, flush, flush_one, in_short, read_json, reading
from lightning_skills.phases.base import PhaseModule
from lightning_skills.ranks import highest, own_rank
from lightning_skills.rows import Rows
from lightning_skills.signals import Interrupted, StopSignals

FORMAT = 5
STATE, TENSORS = "state.json", "state.safetensors"
"""Of each rank."""
COMPLETE, OWNER, SCORE = "COMPLETE", "owner.json", "evaluation.json"
Data = OfflineData | CollectedData


def random_streams() -> dict[str, Tensor]:
    """The state of the global torch, CUDA, numpy and Python generators, as tensors."""
    streams = {"torch": torch.get_rng_state()}
    for device in range(torch.cuda.device_count()):
        streams[f"cuda_{device}"] = torch.cuda.get_rng_state(device)
    _, keys, position, has_gauss, gauss = np.random.get_state()
    streams["numpy_keys"] = torch.from_numpy(np.asarray(keys).astype(np.int64))
    streams["numpy_rest"] = torch.tensor([position, has_gauss, gauss], dtype=torch.float64)
    version, words, gauss_next = random.getstate()
    streams["python"] = torch.tensor(words, dtype=torch.int64)
    streams["python_rest"] = torch.tensor(
        [version, float("nan") if gauss_next is None else gauss_next], dtype=torch.float64
    )
    return streams


def restore_random_streams(streams: Mapping[str, Tensor]) -> None:
    """Inverse of :func:`random_streams`."""
    torch.set_rng_state(streams["torch"])
    for device in range(torch.cuda.device_count()):
        if f"cuda_{device}" in streams:
            torch.cuda.set_rng_state(streams[f"cuda_{device}"], device)
    position, has_gauss, gauss = streams["numpy_rest"].tolist()
    keys = streams["numpy_keys"].numpy().astype(np.uint32)
    np.random.set_state(("MT19937", keys, int(position), int(has_gauss), gauss))
    version, gauss_next = streams["python_rest"].tolist()
    words = tuple(streams["python"].tolist())
    random.setstate((int(version), words, None if gauss_next != gauss_next else gauss_next))


def complete(folder: Path) -> list[Path]:
    """The complete checkpoints in a phase's folder, oldest first."""
    names = [path.parent for path in folder.glob(f"updates_*/{COMPLETE}") if not path.parent.name.endswith(".tmp")]
    return sorted(names, key=_updates)


def _updates(path: Path) -> int:
    """After how many updates a checkpoint was written, by its name."""
    return int(path.name.split("_")[1])


def newest(folder: Path) -> Path | None:
    """The newest complete checkpoint in a phase's folder."""
    return next(reversed(complete(folder)), None)


def best(folder: Path) -> tuple[Path | None, float]:
    """The complete checkpoint whose interim evaluation had the highest return, the first of equals, and that return.

    Raises:
        InputError: if one of them has an evaluation that cannot be read.
    """
    scored = [(path, _return(path)) for path in complete(folder) if (path / SCORE).exists()]
    return max(scored, key=lambda pair: pair[1], default=(None, -math.inf))


def _return(path: Path) -> float:
    with whole_again(path), reading(path / SCORE):
        return float(read_json(path / SCORE)["eval/return"])


def whole_again(path: Path) -> AbstractContextManager[None]:
    """Says of damage to a checkpoint that is found inside what to do about it.

    Which is the user's to do: an older checkpoint taken in silence would hide that training is lost, and a disk that
    loses files.
    """
    return advised(f"delete the checkpoint {path} to go on from an older one, or to begin the phase anew")


class Checkpoints(Callback):
    """Writes a phase's checkpoints: every so often, after its best evaluation, when a signal asks to stop, at the end.

    Two are kept: the newest and the best.

    Args:
        folder: Of this phase, ``<run>/checkpoints/<phase>``.
        owner: What the checkpoint belongs to: ``phase``, ``world_size``, the run's ``config`` and others; must be equal
            on resume, but for what a config may change.
        data: The phase's data module.
        rows: The phase's metrics.
        every_minutes: Between checkpoints.
        stop: The signals that come meanwhile.
        evaluation: Says how good an online phase is; None in an offline one.
        reshard: Whether to go on from a checkpoint of another number of ranks.
    """

    def __init__(
        self,
        folder: Path,
        owner: Mapping[str, Any],
        data: Data,
        rows: Rows,
        every_minutes: float,
        stop: StopSignals,
        evaluation: InterimEvaluation | None = None,
        reshard: bool = False,
    ) -> None:
        self._folder, self._data, self._rows = folder, data, rows
        # As it reads back: a tuple is a list then.
        self._owner = json.loads(json.dumps({"format": FORMAT, "version": __version__, **owner}))
        self._evaluation, self._reshard = evaluation, reshard
        self._every, self._stop = every_minutes * 60, stop
        self._last = time.monotonic()
        self._previous: tuple[Path, dict[str, int]] | None = None

    def restore(self) -> Path | None:
        """Put data and metrics back to the newest complete checkpoint, and drop the others but the best.

        Returns:
            Its ``model.ckpt`` for Lightning, or None if there is no checkpoint.

        Raises:
            InputError: if it belongs to something else (the difference is listed), or cannot be read.
        """
        path = newest(self._folder)
        if path is None:
            return None
        with whole_again(path), reading(f"checkpoint {path}"):
            self._restore(path)
            with reading(path / "model.ckpt"):  # Lightning reads it later, in the middle of its own start
                torch.load(path / "model.ckpt", map_location="cpu", weights_only=True)
        if own_rank() == 0:
            self._drop_others(path)  # a kill may have kept the last start from it
        return path / "model.ckpt"

    def _restore(self, path: Path) -> None:
        there = read_json(path / OWNER)
        if there.get("format") != FORMAT:  # its other differences are of the format too
            raise InputError(
                f"checkpoint {path} has format {there.get('format')}, and this version resumes format {FORMAT}; "
                "go on with the version that wrote it, or start anew with another name="
            )
        different = differences(flatten(there), flatten(self._owner))
        if there.get("world_size") != self._owner["world_size"] and len(different) == 1:
            if self._reshard:
                self._deal(path, there["world_size"])
                return
            different.append("resume.reshard=true goes on all the same, not bit-exactly")
        if different:
            raise InputError(f"checkpoint {path} is not this run's: {'; '.join(different)}")
        rank = path / f"rank_{own_rank()}"
        state = read_json(rank / STATE)
        with reading(rank / TENSORS):
            tensors = load_file(rank / TENSORS)
        self._rows.restore(state["rows"])
        self._data.stream.go_on_with(state["plan"])
        streams = {key.removeprefix("random/"): value for key, value in tensors.items() if key.startswith("random/")}
        restore_random_streams(streams)  # once here, where it shows if some are missing
        self._data.stream.before_first_batch = lambda: restore_random_streams(streams)
        if isinstance(self._data, CollectedData):
            self._data.restore(state["data"], tensors, rank)
            self._previous = (rank, state["data"]["written"])

    def _deal(self, path: Path, size: int) -> None:
        """Go on from so many other ranks: rank 0's progress, all their transitions, new worlds and random streams."""
        ranks = [path / f"rank_{rank}" for rank in range(size)]
        states = [read_json(rank / STATE) for rank in ranks]
        self._rows.restore(states[0]["rows"])
        self._data.stream.go_on_with(states[0]["plan"])
        # Not what this rank drew when the phase began, nor when it went on in this way before.
        seeds = np.random.SeedSequence([torch.initial_seed(), _updates(path)])
        if isinstance(self._data, CollectedData):
            self._data.deal(ranks, [state["data"] for state in states], own_rank(), seeds)
        torch.manual_seed(int(seeds.generate_state(1)[0]))

    def save(self, trainer: Trainer, module: PhaseModule) -> None:
        """Write a checkpoint and drop the others but the best.

        Raises:
            InputError: if it cannot be written (disk full, read-only); the previous checkpoint stays whole.
        """
        target = self._folder / f"updates_{module.updates:012d}"
        if newest(self._folder) == target:
            return
        beside = target.with_name(target.name + ".tmp")
        try:
            if trainer.is_global_zero:
                shutil.rmtree(beside, ignore_errors=True)
                beside.mkdir(parents=True)
            trainer.strategy.barrier()
            trainer.save_checkpoint(beside / "model.ckpt", weights_only=False)
            written = self._save_rank(beside / f"rank_{trainer.global_rank}")
            trainer.strategy.barrier()
            if trainer.is_global_zero:
                (beside / OWNER).write_text(json.dumps(self._owner))
                if score := self._evaluated(module):
                    (beside / SCORE).write_text(json.dumps(score))
                (beside / COMPLETE).touch()
                flush(beside)
                beside.rename(target)
                flush_one(self._folder)
        except (OSError, SafetensorError) as error:
            shutil.rmtree(beside, ignore_errors=True)
            reason = in_short(error)
            raise InputError(f"cannot write checkpoint {target}: {reason}; the previous one is whole") from None
        if trainer.is_global_zero:
            self._drop_others(target)
        trainer.strategy.barrier()
        self._previous = (target / f"rank_{trainer.global_rank}", written)
        self._last = time.monotonic()

    def _drop_others(self, target: Path) -> None:
        """Drop all checkpoints but this one and the best; what cannot be dropped stays, to be tried again."""
        kept = (target, best(self._folder)[0])
        for old in self._folder.glob("updates_*"):
            if old not in kept:
                try:
                    (old / COMPLETE).unlink(missing_ok=True)  # first, so that what is left after a kill counts no more
                    shutil.rmtree(old)
                except OSError as error:
                    print(f"cannot drop the old checkpoint {old}: {in_short(error)}", file=sys.stderr)

    def _save_rank(self, folder: Path) -> dict[str, int]:
        folder.mkdir()
        tensors = {f"random/{key}": value for key, value in random_streams().items()}
        state: dict[str, Any] = {"plan": self._data.stream.remaining(), "rows": self._rows.state()}
        written: dict[str, int] = {}
        if isinstance(self._data, CollectedData):
            state["data"], more = self._data.save(folder, self._previous)
            written = state["data"]["written"]
            tensors |= more
        save_file({key: value.contiguous().clone() for key, value in tensors.items()}, folder / TENSORS)
        (folder / STATE).write_text(json.dumps(state))
        return written

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A fresh phase saves its start.

        Without that, a kill before the first checkpoint would leave rows that the next start writes again.
        """
        assert isinstance(pl_module, PhaseModule)
        if newest(self._folder) is None:
            streams = random_streams()
            self._data.stream.before_first_batch = lambda: restore_random_streams(streams)
            self.save(trainer, pl_module)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: object) -> None:
        """Save when it is time; after a signal, save and stop. What one rank is asked for, all do."""
        assert isinstance(pl_module, PhaseModule)
        due = time.monotonic() - self._last >= self._every or self._better(pl_module)
        self._save_if(due, trainer, pl_module)

    def _save_if(self, due: bool, trainer: Trainer, module: PhaseModule) -> None:
        signum, due = highest(torch.tensor([self._stop.asked or 0, due])).tolist()
        if signum or due:
            self.save(trainer, module)
        if signum:
            done, unit = module.progress()[0], "env frames" if isinstance(self._data, CollectedData) else "updates"
            raise Interrupted(signum, f" after a checkpoint at {done:,} {unit} of phase {self._owner['phase']!r}")

    def _evaluated(self, module: PhaseModule) -> dict[str, float] | None:
        """What the evaluation said that was made just now; None if none was, or on another rank than 0."""
        return self._evaluation.results(module.updates) if self._evaluation else None

    def _better(self, module: PhaseModule) -> bool:
        score = self._evaluated(module)
        return score is not None and score["eval/return"] > best(self._folder)[1]

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the finished phase, and stop after a signal."""
        assert isinstance(pl_module, PhaseModule)
        self.save(trainer, pl_module)
        self._save_if(False, trainer, pl_module)
