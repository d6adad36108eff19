"""The folder of a run: whose it is, and that one process at a time trains there."""

from collections.abc import Mapping
from typing import Any

from filelock import FileLock, Timeout
from omegaconf import OmegaConf

from lightning_skills.config import Run, flatten, may_change, plain
from lightning_skills.errors import InputError


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
