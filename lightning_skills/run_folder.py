"""The folder of a run: whose it is, whether it is finished, and that one process at a time trains there.

Importable without torch.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from lightning_skills.config_tree import defining, differences, read_run_tree, write_tree
from lightning_skills.errors import InputError
from lightning_skills.files import advised, in_short, read_json
from lightning_skills.mlflow_ledger import Ledger
from lightning_skills.parts import in_parts
from lightning_skills.run_options import Run

CONFIG = "config.yaml"
OWNERS = "checkpoints/**/updates_*/owner.json"
SHOWN = 5
"""Differences that a message names, at most."""


def check_folder(run: Run) -> None:
    """Make sure that the run's folder, if it exists, is this very run's.

    Raises:
        InputError: if it belongs to another config (names the keys), or that cannot be read.
    """
    here = defining(run.resolved())
    for there in _recorded(run.directory):
        if different := differences(there, here):
            listed = ", ".join(different[:SHOWN])
            raise InputError(f"{run.directory} holds a run with another config: {listed}; give this one its own name=")


def _recorded(folder: Path) -> Iterator[Mapping[str, Any]]:
    """What must not change of the config that a run was begun with; where that is gone, its checkpoints know it too."""
    if (folder / CONFIG).exists():
        with advised("delete it, and this command goes on by what the checkpoints say, and writes it anew"):
            yield defining(read_run_tree(folder / CONFIG))
        return
    for file in sorted(folder.glob(OWNERS)):
        with advised(f"delete the checkpoint {file.parent}"):
            yield read_json(file).get("config", {})


def record_config(run: Run) -> None:
    """Write the config into the run's folder, if it is not there.

    Raises:
        InputError: if it cannot be written.
    """
    if not (run.directory / CONFIG).exists():
        write_tree(run.directory / CONFIG, run)


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
    if not (run.directory / CONFIG).exists():
        return False  # it is to be written again
    check_folder(run)
    return not (config.logging.mlflow and Ledger(run.directory).owes())


def claim_folder(run: Run) -> FileLock:
    """Make the run's folder and lock it for this process.

    Raises:
        InputError: if it cannot be written, or another process is training there.
    """
    lock = FileLock(run.directory / "lock")
    try:
        run.directory.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(f"another process is training in {run.directory}") from None
    except OSError as error:
        raise InputError(f"cannot write to {run.directory}: {in_short(error)}") from None
    record_config(run)
    return lock
