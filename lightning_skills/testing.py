"""The kit that a plug-in author runs: does a method compose, run every phase, and resume exactly?

Example::

    def test_my_method(tmp_path):
        check_method("mymethod", "maze", tmp_path)
"""

import csv
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from tensordict import TensorDict

from lightning_skills import config, plugins
from lightning_skills.artefacts import Artefact
from lightning_skills.checkpoint import Interrupted
from lightning_skills.config import Run
from lightning_skills.phases.base import PhaseModule
from lightning_skills.pipeline import execute

WALL_CLOCK = ("wall_s", "time/")


@contextmanager
def interrupted_after(updates: int) -> Iterator[None]:
    """Send this process SIGTERM when a phase module has done so many updates in all."""
    original, count = PhaseModule.training_step, 0

    def training_step(self: PhaseModule, batch: TensorDict, batch_idx: int) -> None:
        nonlocal count
        original(self, batch, batch_idx)
        count += 1
        if count == updates:
            os.kill(os.getpid(), signal.SIGTERM)

    PhaseModule.training_step = training_step  # type: ignore[method-assign]
    try:
        yield
    finally:
        PhaseModule.training_step = original  # type: ignore[method-assign]


def metrics(run: Run) -> list[dict[str, str]]:
    """The rows of ``metrics.csv`` without what depends on the wall clock."""
    with (run.directory / "metrics.csv").open() as file:
        return [
            {key: value for key, value in row.items() if not key.startswith(WALL_CLOCK)} for row in csv.DictReader(file)
        ]


def artefacts(run: Run) -> dict[str, Artefact]:
    """What every phase of a finished run handed on."""
    return {
        phase.name: Artefact.load(run.directory / "artefacts" / phase.name, phase.yields) for phase in run.method.phases
    }


def check_method(method: str, env: str, folder: Path, every: int = 3, words: Sequence[str] = ()) -> None:
    """Run every phase with the smoke settings, once undisturbed and once interrupted, and compare the two bit by bit.

    Args:
        method: Registered name.
        env: Registered name of an env it serves.
        folder: Empty; the runs go there.
        every: The second run is stopped and started again whenever it has done so many updates.
        words: Further options, ``key=value``.

    Raises:
        AssertionError: if a phase leaves no artefact, or the interrupted run differs.
        InputError: if the two do not fit.
    """
    runs = []
    for name in ("undisturbed", "interrupted"):
        composed = [f"method={method}", f"env={env}", "debug=smoke", "logging=csv", "logging.progress=false"]
        composed += [f"runs_dir={folder / name}", f"data_dir={folder / 'data'}", "collect.worlds=2"]
        runs.append(config.load([*composed, *words]))
    undisturbed, interrupted = runs
    execute(undisturbed)
    interruptions = 0
    while not (interrupted.directory / "artefacts" / interrupted.method.phases[-1].name).exists():
        try:
            with interrupted_after(every):
                execute(interrupted)
        except Interrupted:
            interruptions += 1
    assert interruptions >= len(interrupted.method.phases), f"{method}: too few updates to be interrupted in each phase"
    for phase, artefact in artefacts(undisturbed).items():
        other = artefacts(interrupted)[phase]
        assert artefact.settings == other.settings, f"{method}: settings of {phase} differ after a resume"
        for name, tensor in artefact.tensors.items():
            assert torch.equal(tensor, other.tensors[name]), f"{method}: {phase} {name} differs after a resume"
    assert metrics(undisturbed) == metrics(interrupted), f"{method}: logged metrics differ after a resume"


def served_pairs() -> list[tuple[str, str]]:
    """Every registered method with every env that provides what it requires."""
    methods, envs = plugins.methods(), plugins.envs()
    return [(method, env) for method in methods for env in envs if methods[method].requires <= envs[env].provides]
