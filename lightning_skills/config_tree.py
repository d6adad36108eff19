"""Configs as plain values: on disk, flat, and what of two of them has to be the same."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lightning_skills.errors import first_line
from lightning_skills.files import reading, write
from lightning_skills.run_options import Run

WHOLE_COPY = "take a whole copy, or delete it and give the run's command again, which writes it anew"
# What may differ when a run goes on: where things lie, how they are shown and how fast; not what is computed.
MAY_CHANGE = ("runs_dir", "data_dir", "phase", "logging", "checkpoint", "resume", "trainer")


def plain(config: Any) -> dict[str, Any]:
    """A DictConfig as a dict."""
    return cast(dict[str, Any], OmegaConf.to_container(config))


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def may_change(key: str) -> bool:
    """Whether a resumed run may have another value there."""
    return any(key == allowed or key.startswith(f"{allowed}.") for allowed in MAY_CHANGE)


def read_tree(file: Path) -> dict[str, Any]:
    """The plain values in a config file.

    Raises:
        DamagedError: if there is no mapping in it, or its last line is not whole.
    """
    with reading(file):
        text = file.read_text(encoding="utf-8")
        if not text.endswith("\n"):
            raise ValueError("its end is missing")
        try:
            tree = plain(OmegaConf.create(text))
        except OmegaConfBaseException as error:
            raise ValueError(first_line(error)) from None
        if not isinstance(tree, dict):
            raise TypeError("it holds no options")
        if "${" in repr(tree):  # what a run writes is resolved; OmegaConf would put in environment variables
            raise ValueError("it holds an interpolation, ${...}")
    return tree


def read_run_tree(file: Path) -> dict[str, Any]:
    """The plain values in the config file of a run, as it was written.

    Raises:
        DamagedError: as :func:`read_tree`, or if lines at its end are missing.
    """
    tree = read_tree(file)
    with reading(file):
        if "logging" not in tree:  # all that tells runs apart stands before it
            raise ValueError("its end is missing")
    return tree


def write_tree(file: Path, run: Run) -> None:
    """Write the resolved config of a run.

    Raises:
        InputError: if it cannot be written.
    """
    write(file, OmegaConf.to_yaml(OmegaConf.create(run.resolved())))


def defining(config: Mapping[str, Any]) -> dict[str, Any]:
    """What of a resolved config is the same whenever the run goes on, by the keys of the command line."""
    flat = {key.removeprefix("sources."): value for key, value in flatten(config).items() if key != "sources"}
    return {key: value for key, value in flat.items() if not may_change(key)}


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """Where two records differ, one of them on disk: each key with what it is in either."""
    keys = sorted(key for key in there.keys() | here.keys() if there.get(key) != here.get(key))
    return [f"{key} ({_said(there.get(key))} there, {_said(here.get(key))} here)" for key in keys]


def _said(value: Any) -> str:
    return "none" if value is None else str(value)
