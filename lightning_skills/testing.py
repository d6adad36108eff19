"""The kit that a plug-in author runs: does a method compose, run every phase, and resume exactly?

Example::

    def test_my_method(tmp_path):
        check_method("mymethod", "maze", tmp_path)

    @pytest.mark.parametrize("ranks", [1, 2])
    def test_nothing_kills_it(tmp_path, ranks):
        check_kills("mymethod", "maze", tmp_path, ranks)
"""

import csv
import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Trainer
from safetensors.torch import load_file
from tensordict import TensorDict

from lightning_skills import checkpoint, config, pipeline, plugins, summaries, trained
from lightning_skills.artefacts import Artefact
from lightning_skills.checkpoint import Checkpoints, complete
from lightning_skills.command import train
from lightning_skills.evaluation.protocol import final
from lightning_skills.launch import rank_variables
from lightning_skills.parts import Part
from lightning_skills.phases.base import PhaseModule
from lightning_skills.pipeline import Pipeline, execute
from lightning_skills.plugins import TASKS
from lightning_skills.run_options import Run
from lightning_skills.signals import Interrupted

WALL_CLOCK = ("wall_s", "time/")
LOOPS = ("epoch", "global_step", "loops")
"""Of Lightning's checkpoint: how often it went through its own loops since the process began."""
PATIENCE = 240.0
"""Seconds that a run with the smoke settings may take."""
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["lightning_skills.testing"])
"""One server imports everything once; runs are forked from it."""


@contextmanager
def interrupted_when(due: Callable[[PhaseModule], bool]) -> Iterator[None]:
    """Send this process SIGTERM after each update of a phase module for which that is due."""
    original = PhaseModule.training_step

    def training_step(self: PhaseModule, batch: TensorDict, batch_idx: int) -> None:
        original(self, batch, batch_idx)
        if due(self):
            os.kill(os.getpid(), signal.SIGTERM)

    PhaseModule.training_step = training_step  # type: ignore[method-assign]
    try:
        yield
    finally:
        PhaseModule.training_step = original  # type: ignore[method-assign]


@contextmanager
def _without_pictures() -> Iterator[None]:
    """Runs end without pictures: of two that come out alike, one shows that they can be drawn."""
    original, pipeline.close = pipeline.close, lambda *_: None
    try:
        yield
    finally:
        pipeline.close = original


def metrics(run: Run) -> list[dict[str, str]]:
    """The rows of ``metrics.csv`` without what depends on the wall clock."""
    return _recorded(run, "metrics.csv")


def episodes(run: Run) -> list[dict[str, str]]:
    """The rows of ``episodes.csv``; none of a run that does not act."""
    return _recorded(run, "episodes.csv") if (run.directory / "episodes.csv").exists() else []


def _recorded(run: Run, name: str) -> list[dict[str, str]]:
    with (run.directory / name).open() as file:
        return [
            {key: value for key, value in row.items() if not key.startswith(WALL_CLOCK)} for row in csv.DictReader(file)
        ]


def artefacts(run: Run) -> dict[str, Artefact]:
    """What every part of a finished run handed on."""
    return {
        part.name: Artefact.load(run.directory / "artefacts" / part.name, part.phase.yields)
        for part in Pipeline(run).parts
    }


def check_method(method: str, env: str, folder: Path, first: int = 3, words: Sequence[str] = ()) -> None:
    """Run every phase with the smoke settings, once undisturbed and once interrupted, and compare the two bit by bit.

    The last acting phase, in parts the last of these, is then built anew from its artefact, and must act as it did.

    Args:
        method: Registered name.
        env: Registered name of an env it serves.
        folder: Empty; the runs go there.
        first: The second run is stopped and started again when a phase has done so many updates, and whenever it has
            done twice as many as the last time.
        words: Further options, ``key=value``.

    Raises:
        AssertionError: if a phase leaves no artefact, the interrupted run differs, or the rebuilt policy does.
        InputError: if the two do not fit.
    """
    undisturbed, interrupted = (
        config.load(_words(method, env, folder, name, words)) for name in ("undisturbed", "interrupted")
    )
    with _without_pictures():
        execute(undisturbed)
    interruptions, dues = 0, [first * 2**time for time in range(32)]
    last = interrupted.directory / "artefacts" / Pipeline(interrupted).parts[-1].name
    while not last.exists():
        try:
            with interrupted_when(lambda module: module.updates in dues):
                execute(interrupted)
        except Interrupted:
            interruptions += 1
    assert interruptions >= len(interrupted.method.phases), f"{method}: too few updates to be interrupted in each phase"
    check_equal(undisturbed, interrupted)
    if any(phase.acts for phase in undisturbed.method.phases):
        _check_rebuilt(undisturbed)


@dataclass(frozen=True)
class Kill:
    """SIGKILL for a rank, when a phase has done so many updates.

    Args:
        part: Name of the phase, or of one of its parts.
        updates: How many; it dies before the checkpoint that follows the last of them.
        rank: Which process.
        writing: It dies in the middle of that checkpoint instead.
    """

    part: str
    updates: int
    rank: int = 0
    writing: bool = False


def check_kills(method: str, env: str, folder: Path, ranks: int = 1, words: Sequence[str] = ()) -> None:
    """Run every phase undisturbed, then killed three times in each phase, and compare the two bit by bit.

    The second time a phase is killed while a checkpoint is written. On several ranks another one dies each time. Of a
    phase in parts, the first and the last are killed.

    Args:
        method: Registered name.
        env: Registered name of an env it serves.
        folder: Empty; the runs go there.
        ranks: Number of processes that train together, on the CPU.
        words: Further options, ``key=value``.

    Raises:
        AssertionError: if a killed run does not go on, or differs in the end.
    """
    words = [*words, f"trainer.devices={ranks}", "trainer.accelerator=cpu"]
    undisturbed, killed = (_words(method, env, folder, name, words) for name in ("undisturbed", "killed"))
    assert run_forked(undisturbed, ranks, pictures=False) == [0] * ranks, f"{method}: the undisturbed run failed"
    killed.append("checkpoint.every_minutes=0")
    for part in _outermost(Pipeline(config.load(undisturbed)).parts):
        for updates in (1, 2, 3):
            kill = Kill(part.name, updates, rank=updates % ranks, writing=updates == 2)
            assert run_forked(killed, ranks, kill)[kill.rank] == -signal.SIGKILL, f"{method}: there was no {kill}"
    assert run_forked(killed, ranks) == [0] * ranks, f"{method}: the killed run did not go on"
    check_equal(config.load(undisturbed), config.load(killed))


def _outermost(parts: Sequence[Part]) -> list[Part]:
    """Of each phase the first and the last part, which may be the same."""
    together = [
        [part for part in parts if part.phase == phase] for phase in dict.fromkeys(each.phase for each in parts)
    ]
    return [part for each in together for part in dict.fromkeys([each[0], each[-1]])]


def run_forked(words: Sequence[str], ranks: int = 1, kill: Kill | None = None, pictures: bool = True) -> list[int]:
    """Run ``train`` in forked processes, one for each rank.

    Args:
        words: Its options.
        ranks: Number of processes.
        kill: When one of them is killed.
        pictures: Whether there are any at the end.

    Returns:
        Their exit codes, negative for a signal. Ranks that wait for a dead one are ended.
    """
    processes: list[ForkServerProcess] = []
    for variables in rank_variables(ranks) if ranks > 1 else [{}]:
        processes.append(FORKS.Process(target=_train, args=(list(words), variables, kill, pictures)))
        processes[-1].start()
    for process in processes:
        process.join(PATIENCE)
        process.kill()
        process.join()
    return [process.exitcode or 0 for process in processes]


def _train(words: list[str], variables: Mapping[str, str], kill: Kill | None, pictures: bool) -> None:
    os.environ.update(variables)
    torch.set_num_threads(1)
    if kill is not None and kill.rank == int(variables.get("RANK", 0)):
        _arm(kill)
    with nullcontext() if pictures else _without_pictures():
        sys.exit(train(words))


def _arm(kill: Kill) -> None:
    original = Checkpoints.on_train_batch_end

    def die(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def on_train_batch_end(self: Checkpoints, trainer: Trainer, module: PhaseModule, *rest: object) -> None:
        if self._owner["phase"] == kill.part and module.updates == kill.updates:
            if not kill.writing:
                die()
            checkpoint.save_file = die  # type: ignore[assignment] # after model.ckpt, before the rest
        original(self, trainer, module, *rest)

    Checkpoints.on_train_batch_end = on_train_batch_end  # type: ignore[method-assign, assignment]


def _words(method: str, env: str, folder: Path, name: str, words: Sequence[str]) -> list[str]:
    composed = [f"method={method}", f"env={env}", "debug=smoke", "logging=csv", "logging.progress=false"]
    composed += [f"runs_dir={folder / name}", f"data_dir={folder / 'data'}", "collect.worlds=2"]
    return [*composed, *words]


def check_equal(undisturbed: Run, other: Run) -> None:
    """Compare artefacts, last checkpoints and metrics of two finished runs bit by bit.

    Raises:
        AssertionError: names the first difference.
    """
    method = undisturbed.method.name
    for phase, artefact in artefacts(undisturbed).items():
        same = artefacts(other)[phase]
        assert artefact.settings == same.settings, f"{method}: settings of {phase} differ after a resume"
        _check_tensors(artefact.tensors, same.tensors, f"{method}: {phase}")
        kept, theirs = (complete(run.directory / "checkpoints" / phase) for run in (undisturbed, other))
        names = [path.name for path in kept]
        assert names, f"{method}: {phase} left no checkpoint"
        assert [path.name for path in theirs] == names, f"{method}: {phase} kept other checkpoints after a resume"
        last, again = kept[-1], theirs[-1]
        files = sorted(path.relative_to(last) for path in last.rglob("*.safetensors"))
        assert files, f"{method}: {phase} saved no state"
        for file in files:  # buffers, random streams, environments
            _check_tensors(load_file(last / file), load_file(again / file), f"{method}: {phase} {file}")
        for file in sorted(path.relative_to(last) for path in last.glob("rank_*/state.json")):
            _check_values(_counted(last / file), _counted(again / file), f"{method}: {phase} {file}")
        learned, learned_again = (_learned(path / "model.ckpt") for path in (last, again))
        _check_values(learned, learned_again, f"{method}: {phase} model.ckpt")
    assert metrics(undisturbed) == metrics(other), f"{method}: logged metrics differ after a resume"
    assert episodes(undisturbed) == episodes(other), f"{method}: recorded episodes differ after a resume"
    files = sorted(path.relative_to(undisturbed.directory) for path in undisturbed.directory.rglob("summary.json"))
    for file in files:
        same_summary = (undisturbed.directory / file).read_text() == (other.directory / file).read_text()
        assert same_summary, f"{method}: {file} differs after a resume"


def _counted(file: Path) -> dict[str, Any]:
    """The rest of the plan, episodes and how full buffers are.

    Of rows the tables say it: a checkpoint right after the last update is written before the last rows, one at the end
    of the phase after them.
    """
    state = json.loads(file.read_text())
    del state["rows"]
    state.get("data", {}).pop("unwritten", None)
    return state


def _learned(file: Path) -> dict[str, Any]:
    """Networks, critics, optimizers and counters: a ``model.ckpt`` without Lightning's own loops.

    These count from the start of the process.
    """
    content = torch.load(file, map_location="cpu", weights_only=True)
    return {key: value for key, value in content.items() if key not in LOOPS}


def _check_values(mine: Any, theirs: Any, what: str) -> None:
    """Compare nested values that may hold tensors; names the first that differ."""
    assert type(mine) is type(theirs), f"{what} is of another type after a resume"
    if isinstance(mine, torch.Tensor):
        _check_tensors({"": mine}, {"": theirs}, what)
    elif isinstance(mine, Mapping):
        assert [*mine] == [*theirs], f"{what} holds other values after a resume"
        for key in mine:
            _check_values(mine[key], theirs[key], f"{what} {key}")
    elif isinstance(mine, list | tuple):
        assert len(mine) == len(theirs), f"{what} is of another length after a resume"
        for index, (one, other) in enumerate(zip(mine, theirs, strict=True)):
            _check_values(one, other, f"{what} {index}")
    else:
        assert mine == theirs, f"{what} differs after a resume"


def _check_rebuilt(run: Run) -> None:
    last = {part.phase.name: part for part in Pipeline(run).parts if part.phase.acts}
    for name, part in last.items():
        task = [] if part.task is None else [f"env.task={part.task}"]
        policy = trained.load(str(run.directory), task, phase_name=name)
        rollouts = final(policy.module, policy.pipeline.worlds, run.config.evaluation)
        with np.load(summaries.folder(run.directory, part) / "evaluation.npz") as recorded:
            for index, states in enumerate(rollouts.trajectories):
                same = np.array_equal(states, recorded[str(index)], equal_nan=True)
                assert same, f"{run.method.name}: {name} acts differently once its artefact is loaded again"


def _check_tensors(tensors: Mapping[str, torch.Tensor], others: Mapping[str, torch.Tensor], what: str) -> None:
    assert tensors.keys() == others.keys(), f"{what} holds other tensors after a resume"
    for name, tensor in tensors.items():
        equal = torch.equal(tensor.nan_to_num(nan=7.0), others[name].nan_to_num(nan=7.0))
        assert equal, f"{what} {name} differs after a resume"


def served_pairs() -> list[tuple[str, str]]:
    """Every registered method with every env that provides what it requires."""
    methods, envs = plugins.methods(), plugins.envs()
    return [(method, env) for method in methods for env in envs if methods[method].requires <= envs[env].provided]


def served_distributions() -> list[tuple[str, str, str]]:
    """Every method of one task, with a distribution in which it can run in parts.

    Returns:
        method, env, distribution.
    """
    methods, envs = plugins.methods(), plugins.envs()
    places = {
        method: (env, distribution)
        for method, env in served_pairs()
        if TASKS not in methods[method].requires
        for distribution in envs[env].distributions
    }
    return [(method, *place) for method, place in places.items()]
