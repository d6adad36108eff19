"""A trained policy built again as it was, from a run's folder or a registered model."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from lightning_skills import config, models
from lightning_skills.artefacts import Artefact
from lightning_skills.checkpoint import DAMAGED, best, newest
from lightning_skills.errors import InputError
from lightning_skills.mlflow_store import RUNS_DIR, locate
from lightning_skills.phases.base import PhaseModule
from lightning_skills.pipeline import Pipeline
from lightning_skills.plugins import Phase


@dataclass(frozen=True)
class Trained:
    """A policy and where it acts.

    Args:
        place: Where it was found, and at which checkpoint.
        run: The run that trained it, with whatever was changed.
        phase: Its last online phase, whose policy this is.
        pipeline: Makes worlds.
        module: The phase, as it was at its end or at the checkpoint asked for.
    """

    place: str
    run: config.Run
    phase: Phase
    pipeline: Pipeline
    module: PhaseModule


CHECKPOINTS = ("best", "newest")


def load(place: str, words: Sequence[str] = (), uri: str | None = None, checkpoint: str | None = None) -> Trained:
    """Build the policy of a run again.

    Args:
        place: A run's folder or ``models:/NAME/VERSION``.
        words: Options of the run that are to be others here, ``key=value``.
        uri: Tracking URI of models; None takes ``MLFLOW_TRACKING_URI``, or else the database in ``runs``.
        checkpoint: One of :data:`CHECKPOINTS`, also of a run that is not finished; None takes its finished policy.

    Raises:
        InputError: if there is no such policy, or it does not fit the changed options.
    """
    registered = models.is_model(place)
    if registered:
        place = models.find(place, store := locate(uri, RUNS_DIR))
        folder = models.fetch(place, store)
        run = config.read(folder / models.CONFIG)
    else:
        folder = Path(place)
        run = config.restore(folder)
    if registered and ":" in run.config.env.task and not any(word.startswith("env.task=") for word in words):
        # gymnasium imports what stands before the colon, and these words are a stranger's.
        raise InputError(f"{place} has a task that imports a module, {run.config.env.task!r}; say env.task= yourself")
    phase = next((phase for phase in reversed(run.method.phases) if phase.acts), None)
    if phase is None:
        raise InputError(f"method {run.method.name!r} has no online phase, so {place} has no policy")
    if checkpoint is not None:
        path = _checkpoint(folder, phase, checkpoint)
    elif not (path := folder / "artefacts" / phase.name).exists():
        hint = "" if registered else f"; of one that is not, take checkpoint={'|'.join(CHECKPOINTS)}"
        raise InputError(f"{place} has no policy: its phase {phase.name!r} is not finished there{hint}")
    sources = {need.phase: str(folder) for need in phase.needs} | ({} if registered else dict(run.config.sources))
    run = config.change(run, ["trainer.accelerator=cpu", *words])
    run = dataclasses.replace(run, config=dataclasses.replace(run.config, sources=sources))
    pipeline = Pipeline(run)
    module = pipeline.module(phase)
    if checkpoint is None:
        module.load_artefact(Artefact.load(path, phase.yields))
        return Trained(place, run, phase, pipeline, module)
    try:
        module.load_state_dict(torch.load(path / "model.ckpt", map_location="cpu", weights_only=True)["state_dict"])
    except DAMAGED as error:
        raise InputError(f"{path} is damaged, or of other networks ({type(error).__name__})") from None
    return Trained(f"{place}, {checkpoint} at {module.env_frames:,} env frames", run, phase, pipeline, module)


def _checkpoint(folder: Path, phase: Phase, which: str) -> Path:
    if which not in CHECKPOINTS:
        raise InputError(f"checkpoint={which}: it is one of {', '.join(CHECKPOINTS)}")
    kept = folder / "checkpoints" / phase.name
    path = best(kept)[0] if which == "best" else newest(kept)
    if path is None:
        raise InputError(f"{folder} has no {which} checkpoint of phase {phase.name!r}")
    return path
