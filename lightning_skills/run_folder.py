"""The folder of a run: whose it is, whether it is finished, and that one process at a time trains there.

Importable without torch.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from omegaconf import OmegaConf

from lightning_skills.config import Run, flatten, may_change, plain
from lightning_skills.errors import InputError
from lightning_skills.parts import in_parts

MLFLOW_FILE = "mlflow.json"
"""In a run's folder: the ids of its MLflow runs, and each phase's model, null until it is registered."""


def check_folder(run: Run) -> None:
    """Make sure that the run's folder, if it exists, is this very run's.

    Raises:
        InputError: if it belongs to another config (names the keys).
    """
    path = run.directory / "config.yaml"
    if not path.exists():
        return
    there, here = _written(plain(OmegaConf.load(path))), _written(run.resolved())
    keys = sorted(key for key in there.keys() | here.keys() if there.get(key) != here.get(key) and not may_change(key))
    if keys:
        listed = ", ".join(f"{key} ({_said(there.get(key))} there, {_said(here.get(key))} here)" for key in keys[:5])
        raise InputError(f"{run.directory} holds a run with another config: {listed}; give this one its own name=")


def _written(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config by the keys of the command line, where artefacts from elsewhere are called by their phases."""
    return {key.removeprefix("sources."): value for key, value in flatten(config).items() if key != "sources"}


def _said(value: Any) -> str:
    return "none" if value is None else str(value)


def has_artefact(run: Run, part: str) -> bool:
    """Whether a phase or part is finished."""
    return (run.directory / "artefacts" / part / "artefact.json").exists()


def said_finished(run: Run) -> str:
    """What a command says that finds nothing left to do."""
    return f"finished already: {run.directory}"


def is_finished(run: Run) -> bool:
    """Whether nothing is left to do, if the folder alone tells; what the parts of a phase are, only its env knows.

    Raises:
        InputError: if it belongs to another config, or ``mlflow.json`` is damaged.
    """
    config = run.config
    phases = [
        phase for phase in run.method.phases if config.phase in (None, phase.name) and phase.name not in config.sources
    ]
    if not all(has_artefact(run, phase.name) and not in_parts(phase, run.env, config.env.task) for phase in phases):
        return False
    if any(source.startswith("models:/") for source in config.sources.values()):
        return False  # the config has their numbers, which MLflow knows
    check_folder(run)
    return not (config.logging.mlflow and unregistered(run.directory))


def unregistered(run_dir: Path) -> list[str]:
    """The phases of a run that were tracked, and whose model MLflow has not got.

    Raises:
        InputError: if ``mlflow.json`` is damaged.
    """
    return [phase for phase, model in read_ids(run_dir / MLFLOW_FILE)["models"].items() if model is None]


def read_ids(file: Path) -> dict[str, Any]:
    """The MLflow runs and models of a run, as ``mlflow.json`` names them.

    Raises:
        InputError: if it is damaged.
    """
    if not file.exists():
        return {"parent": None, "phases": {}, "models": {}}
    try:
        ids = json.loads(file.read_text())
        return {"parent": ids["parent"], "phases": dict(ids["phases"]), "models": dict(ids.get("models", {}))}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"{file} is damaged; delete it to track this run anew") from None


def claim_folder(run: Run) -> FileLock:
    """Make the run's folder and lock it for this process.

    Raises:
        InputError: if it cannot be written, or another process is training there.
    """
    lock = FileLock(run.directory / "lock")
    try:
        run.directory.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
        path = run.directory / "config.yaml"
        if not path.exists():
            beside = path.with_suffix(".tmp")
            OmegaConf.save(OmegaConf.create(run.resolved()), beside)
            beside.rename(path)
    except Timeout:
        raise InputError(f"another process is training in {run.directory}") from None
    except OSError as error:
        raise InputError(f"cannot write to {run.directory}: {error.strerror or error}") from None
    return lock
