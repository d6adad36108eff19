"""Registered models in MLflow: what a phase hands on, under a name and a version, as files that run no code when read.

A model is laid out like a run's folder without its records: ``artefacts/<phase>/`` holds the phase's artefact, and
those it was built from lie beside it; ``run.yaml`` is the resolved config. It is not called ``config.yaml``, by which a
folder counts as a recorded run. Whatever else somebody put there is not looked at.
"""

import dataclasses
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

from lightning_skills.artefacts import Artefact
from lightning_skills.config_tree import write_tree
from lightning_skills.errors import InputError
from lightning_skills.mlflow_store import client, locate, reached
from lightning_skills.run_options import Run, RunConfig, folder_name

PREFIX = "models:"
CONFIG = "run.yaml"
LATEST = "latest"
PLACE = re.compile(r"models:/([^/:'\"]+)/(\d+|latest)")
GIVE = "a tracking URI"
HINT = "start it, or give another tracking URI"


def is_model(place: str) -> bool:
    """Whether this names a registered model, and not a path."""
    return place.startswith(PREFIX)


def model_name(run: Run, phase: str) -> str:
    """``<method>-<env>-<task>-<phase>``."""
    return f"{run.method.name}-{folder_name(run.env.name, run.config.env.task)}-{phase}"


def write(folder: Path, run: Run, artefacts: Mapping[str, Artefact]) -> None:
    """Lay out a model in an empty folder: the artefact of a trained phase, and those it was built from, by phase."""
    write_tree(folder / CONFIG, run)
    for name, artefact in artefacts.items():
        artefact.save(folder / "artefacts" / name)


def local(source: str, config: RunConfig) -> Path:
    """Where the artefact that a run takes from elsewhere lies on this machine.

    Args:
        source: A path, or ``models:/NAME/VERSION``, which is fetched.
        config: The run's, which says where its models are registered.

    Raises:
        InputError: as :func:`fetch`.
    """
    return fetch(source, _store(config)) if is_model(source) else Path(source)


def pinned(run: Run) -> Run:
    """The run with a number where it takes the ``latest`` version of a model: when it goes on, it takes the same.

    Raises:
        InputError: as :func:`fetch`.
    """
    sources = {
        phase: find(source, _store(run.config)) if _is_latest(source) else source
        for phase, source in run.config.sources.items()
    }
    return dataclasses.replace(run, config=dataclasses.replace(run.config, sources=sources))


def find(place: str, uri: str) -> str:
    """The place of a version of a model, with its number.

    Args:
        place: ``models:/NAME/VERSION`` or ``models:/NAME/latest``.
        uri: Tracking URI.

    Raises:
        InputError: if it is written in another way, there is no such version, or MLflow cannot be used there.
    """
    match = PLACE.fullmatch(place)
    if match is None:
        raise InputError(f"cannot read {place!r}; write models:/NAME/VERSION or models:/NAME/latest")
    name, version = match.groups()
    with reached(uri, HINT):
        found = client(uri, GIVE).search_model_versions(f"name = '{name}'")
    numbers = sorted(int(each.version) for each in found)
    number = numbers[-1] if version == LATEST and numbers else version
    if str(number) not in map(str, numbers):
        there = f"it has {', '.join(map(str, numbers))}" if numbers else "there is no such model"
        raise InputError(f"no version {version} of model {name!r} at {uri}: {there}")
    return f"{PREFIX}/{name}/{number}"


def fetch(place: str, uri: str) -> Path:
    """A copy of a model's folder, which is gone when this process ends.

    Raises:
        InputError: as :func:`find`, or if it cannot be fetched.
    """
    _, name, number = find(place, uri).split("/")
    with reached(uri, HINT):
        from mlflow.artifacts import download_artifacts

        source = client(uri, GIVE).get_model_version_download_uri(name, number)
        return Path(download_artifacts(artifact_uri=source, dst_path=mkdtemp(dir=_kept().name), tracking_uri=uri))


@cache
def _kept() -> TemporaryDirectory:
    """Holds what was fetched; goes with the process."""
    return TemporaryDirectory()


def _is_latest(source: str) -> bool:
    return is_model(source) and source.endswith(f"/{LATEST}")


def _store(config: RunConfig) -> str:
    return locate(config.logging.tracking_uri, Path(config.runs_dir))
