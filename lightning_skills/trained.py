"""A trained policy built again as it was, from a run's folder or a registered model."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from lightning_skills import config, models
from lightning_skills.artefacts import Artefact
from lightning_skills.checkpoint import best, newest, whole_again
from lightning_skills.errors import InputError
from lightning_skills.files import reading
from lightning_skills.mlflow_store import RUNS_DIR, locate
from lightning_skills.parts import Part, in_parts
from lightning_skills.phases.base import PhaseModule
from lightning_skills.pipeline import Pipeline
from lightning_skills.plugins import Phase
from lightning_skills.run_options import Run


@dataclass(frozen=True)
class Trained:
    """A policy and where it acts.

    Args:
        place: Where it was found, and at which checkpoint.
        run: The run that trained it, with whatever was changed.
        phase: The acting phase whose policy this is.
        pipeline: Makes worlds.
        module: The phase, as it was at its end or at the checkpoint asked for.
    """

    place: str
    run: Run
    phase: Phase
    pipeline: Pipeline
    module: PhaseModule


CHECKPOINTS = ("best", "newest")
TASK = "env.task="


def load(
    place: str,
    words: Sequence[str] = (),
    uri: str | None = None,
    checkpoint: str | None = None,
    phase_name: str | None = None,
) -> Trained:
    """Build the policy of a run again.

    Args:
        place: A run's folder or ``models:/NAME/VERSION``.
        words: Options of the run that are to be others here, ``key=value``; of a run in parts, ``env.task=`` says which
            of them is meant.
        uri: Tracking URI of models; None takes ``MLFLOW_TRACKING_URI``, or else the database in ``runs``.
        checkpoint: One of :data:`CHECKPOINTS`, also of a run that is not finished; None takes its finished policy.
        phase_name: An acting phase of its method; None takes the last one of which there is something.

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
    kept = folder / ("artefacts" if checkpoint is None else "checkpoints")
    phase = _acting(run, place, kept, phase_name)
    task = _task_of_part(run, phase, place, kept / phase.name, words)
    kept = kept / Part(phase, task).name
    if checkpoint is not None:
        path = _checkpoint(kept, place, phase, checkpoint)
    elif not (path := kept).exists():
        hint = "" if registered else f"; of one that is not, take checkpoint={'|'.join(CHECKPOINTS)}"
        raise InputError(f"{place} has no policy: its phase {phase.name!r} is not finished there{hint}")
    if registered:
        run = dataclasses.replace(run, config=dataclasses.replace(run.config, sources={}))
    run = changed(run, phase, place, folder, ["trainer.accelerator=cpu", *words])
    pipeline = Pipeline(run)
    _check_kind(run, phase, pipeline)
    module = pipeline.module(Part(phase))
    if checkpoint is None:
        module.load_artefact(Artefact.load(path, phase.yields))
        return Trained(place, run, phase, pipeline, module)
    with whole_again(path), reading(path / "model.ckpt"):
        module.load_state_dict(torch.load(path / "model.ckpt", map_location="cpu", weights_only=True)["state_dict"])
    return Trained(f"{place}, {checkpoint} at {module.env_frames:,} env frames", run, phase, pipeline, module)


def changed(run: Run, phase: Phase, place: str, folder: Path, words: Sequence[str]) -> Run:
    """A run with other options, whose phase takes what it needs from where the run was trained.

    Args:
        run: As it was trained, maybe by somebody else.
        phase: One of its method.
        place: What the user calls it.
        folder: Where it lies.
        words: ``key=value``.

    Raises:
        InputError: as :func:`config.change`, or if its task would import a module and no word says the task.
    """
    if ":" in run.config.env.task and not any(word.startswith(TASK) for word in words):
        # gymnasium imports what stands before the colon, and the run's words may be a stranger's.
        raise InputError(f"{place} has a task that imports a module, {run.config.env.task!r}; say env.task= yourself")
    sources = {need.phase: str(folder) for need in phase.needs} | dict(run.config.sources)
    run = config.change(run, words)
    return dataclasses.replace(run, config=dataclasses.replace(run.config, sources=sources))


def _acting(run: Run, place: str, kept: Path, name: str | None) -> Phase:
    """The acting phase of that name; of no name, the last one of which something is kept, else the last one."""
    acting = [phase for phase in reversed(run.method.phases) if phase.acts]
    if not acting:
        raise InputError(f"method {run.method.name!r} has no online phase, so {place} has no policy")
    if name is not None:
        named = next((phase for phase in acting if phase.name == name), None)
        if named is None:
            names = ", ".join(phase.name for phase in reversed(acting))
            raise InputError(f"phase={name}: of method {run.method.name!r} there are policies of {names}")
        return named
    return next((phase for phase in acting if (kept / phase.name).exists()), acting[0])


def _task_of_part(run: Run, phase: Phase, place: str, kept: Path, words: Sequence[str]) -> str | None:
    """The task whose part is asked for; None of a phase that is not in parts."""
    if not in_parts(phase, run.env, run.config.env.task):
        return None
    there = sorted(path.name for path in kept.iterdir()) if kept.exists() else []
    asked = next((word.removeprefix(TASK) for word in words if word.startswith(TASK)), None)
    if there and asked is None:
        others = [f", or phase={other.name}" for other in run.method.phases if other.acts and other is not phase]
        tasks = ", ".join(there)
        raise InputError(
            f"{place} has a policy for each of these tasks: {tasks}; say which, {TASK}NAME{''.join(others)}"
        )
    if there and asked not in there:
        raise InputError(f"{place} has no policy for task {asked!r}; it has one for {', '.join(there)}")
    return asked


def _check_kind(run: Run, phase: Phase, pipeline: Pipeline) -> None:
    """Raise InputError if the env has one task where the phase acts in several, or several where it acts in one."""
    if phase.single_task is not (pipeline.probe.info.tasks is None):
        kind = "one task, not in a distribution of them" if phase.single_task else "a distribution of tasks, not in one"
        raise InputError(f"{TASK}{run.config.env.task}: phase {phase.name!r} acts in {kind}")


def _checkpoint(kept: Path, place: str, phase: Phase, which: str) -> Path:
    if which not in CHECKPOINTS:
        raise InputError(f"checkpoint={which}: it is one of {', '.join(CHECKPOINTS)}")
    path = best(kept)[0] if which == "best" else newest(kept)
    if path is None:
        raise InputError(f"{place} has no {which} checkpoint of phase {phase.name!r}")
    return path
