"""Recorded runs: what they hold wherever it is read from; found on disk, also while they are being written."""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from lightning_skills.csv_file import METRICS
from lightning_skills.errors import InputError
from lightning_skills.files import DamagedError, advised, read_json, read_rows
from lightning_skills.parts import phase_of
from lightning_skills.run_options import folder_name

Row = Mapping[str, str]
Skip = Callable[[], AbstractContextManager[None]]
"""Makes a context that may swallow an InputError, so that what is bad is left out."""
SUMMARY = "summary.json"
AGAIN = "delete what the evaluated phase or part left in artefacts/, and the run's command does it again"
COUNTERS = ("env_frames", "updates")
"""Columns that every row of metrics has."""
OF_A_RUN = (METRICS, "checkpoints", "lock")
"""What tells the folder of a run from others, where its config does not."""
POINTS = 300
"""Points of a curve over several others, at most."""


@dataclass(frozen=True)
class RecordedRun:
    """What one run has recorded.

    Args:
        place: Where that is: its folder, or ``mlflow:EXPERIMENT/ID``.
        options: The resolved config, dotted keys, plain values.
        rows: Rows of metrics, all with the same columns; none if the run has not come that far.
        summary: The final evaluation; None while the run is unfinished.
        episodes: Rows of the training episodes; none of a run that is read from MLflow.
    """

    place: str
    options: Mapping[str, Any]
    rows: Sequence[Row]
    summary: Mapping[str, Any] | None
    episodes: Sequence[Row] = ()

    @property
    def folder(self) -> Path:
        """The place of a run that was found on disk."""
        return Path(self.place)

    @property
    def method(self) -> str:
        """Name of the method."""
        return str(self.options["method.name"])

    @property
    def task(self) -> str:
        """``<env>-<task>``, as in the path of its folder."""
        return folder_name(str(self.options["env.name"]), str(self.options["env.task"]))

    @property
    def name(self) -> str:
        """Name of the run."""
        return str(self.options["name"])

    @property
    def seed(self) -> int:
        """Its seed."""
        return int(self.options["seed"])

    @cached_property
    def online_phases(self) -> tuple[str, ...]:
        """The phases that have stepped an environment, in their order; each counts env frames from zero."""
        return tuple(dict.fromkeys(phase_of(row["phase"]) for row in self.rows if number(row["env_frames"]) > 0))

    def curve(self, phase: str, key: str) -> np.ndarray:
        """A column of an online phase over env frames, ``[2, n]``; of one in parts, the mean over its tasks."""
        return mean_series([row for row in self.rows if phase_of(row["phase"]) == phase], "env_frames", key)

    def progress(self) -> str:
        """How far the run is: phase and counter, and where that phase ends if the config says so."""
        if not self.rows:
            return "no rows yet"
        last = self.rows[-1]
        counter, limit = ("env_frames", "frames") if number(last["env_frames"]) > 0 else ("updates", "updates")
        end = self.options.get(f"method.{phase_of(last['phase'])}.{limit}")
        of = f" of {end:,}" if isinstance(end, int) else ""
        return f"{last['phase']}, {number(last[counter]):,.0f}{of} {counter.replace('_', ' ')}"


def find_runs(places: Sequence[Path], skip: Skip = nullcontext) -> list[RecordedRun]:
    """Read the runs that lie at or below some folders, each once, sorted by folder.

    Args:
        places: Folders of runs, or any folders above them.
        skip: Every place and every run is read within such a context; by default the first bad one ends it all.

    Raises:
        InputError: if a place is no folder or has no run, or a run cannot be read.
    """
    found: dict[Path, RecordedRun] = {}
    for place in places:
        with skip():
            for run in _runs_below(place, skip):
                found.setdefault(run.folder.resolve(), run)
    return [found[folder] for folder in sorted(found)]


def describes_run(options: Mapping[str, Any]) -> bool:
    """Whether these are the options of a run, and not something else's."""
    return {"method.name", "env.name", "env.task", "name", "seed"} <= options.keys()


def read_metrics(path: Path) -> list[dict[str, str]]:
    """The rows of a ``metrics.csv``, also of a run that is still writing to it.

    Raises:
        InputError: if there is no such file, no row in it, or it is damaged.
    """
    if not path.is_file():
        raise InputError(f"{path} is missing; give a run that has logged metrics")
    rows = _rows(path, COUNTERS)
    if not rows:
        raise InputError(f"{path} has no rows yet; wait for the first logging step")
    return rows


def read_summary(folder: Path) -> dict[str, Any] | None:
    """The summary of a final evaluation in a folder; None if there is none.

    Raises:
        InputError: if it is damaged.
    """
    if not (folder / SUMMARY).exists():
        return None
    with advised(AGAIN):
        return read_json(folder / SUMMARY)


def series(rows: Sequence[Row], counter: str, key: str) -> np.ndarray:
    """The finite values of a column against a counter, ``[2, n]``, counters rising.

    Rows of a phase that was done again follow those of its first try; the later ones hold.
    """
    points = [(number(row[counter]), number(row.get(key))) for row in rows]
    table = np.array([point for point in points if math.isfinite(point[1])]).reshape(-1, 2).T
    lowest_after = np.minimum.accumulate(np.append(table[0], math.inf)[::-1])[-2::-1]
    return table[:, table[0] < lowest_after]


def mean_series(rows: Sequence[Row], counter: str, key: str) -> np.ndarray:
    """As :func:`series`, the mean over the parts of a phase; those that have no value yet do not count."""
    parts: dict[str, list[Row]] = {}
    for row in rows:
        parts.setdefault(row["phase"], []).append(row)
    curves = [curve for part in parts.values() if (curve := series(part, counter, key)).size]
    if len(curves) < 2:
        return curves[0] if curves else np.zeros((2, 0))
    counters, values = align(curves)
    return np.stack([counters, values.mean(0)])


def align(curves: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Bring curves that were recorded at different frames onto the same ones.

    Each is interpolated linearly at the frames of all of them, within the range that all of them cover. Nothing is
    extrapolated, so the shortest curve ends the common one; curves that do not overlap have no frames in common. Of
    more than 300 frames, 300 are kept.

    Args:
        curves: ``[2, n]`` each, rising frames and values.

    Returns:
        The frames ``[m]`` and the values ``[curves, m]``.
    """
    frames = np.unique(np.concatenate([curve[0] for curve in curves]))
    first, last = max(curve[0, 0] for curve in curves), min(curve[0, -1] for curve in curves)
    frames = frames[(frames >= first) & (frames <= last)]
    if len(frames) > POINTS:
        frames = frames[np.linspace(0, len(frames) - 1, POINTS).round().astype(int)]
    return frames, np.array([np.interp(frames, *curve) for curve in curves])


def number(cell: str | None) -> float:
    """A cell as a number; NaN if it is empty."""
    return float(cell) if cell else math.nan


def _runs_below(place: Path, skip: Skip) -> list[RecordedRun]:
    if not place.is_dir():
        raise InputError(f"{place} is no folder; give runs, or folders that hold some")
    runs, skipped = [], False
    for folder, below, files in os.walk(place):
        if "config.yaml" not in files:
            continue
        with skip():
            run = _read_run(Path(folder))
            if run is not None:
                runs.append(run)
                below.clear()  # checkpoints may be many
            continue
        skipped = True
    if not runs and not skipped:
        if (place / "config.yaml").exists():
            _read_run(place, given=True)  # says what is wrong with it
        raise InputError(f"no run at {place} or below it; a run's folder holds a config.yaml")
    return runs


def _read_run(folder: Path, given: bool = False) -> RecordedRun | None:
    """The run in a folder; None if its config.yaml is something else's, unless the user has given that very folder."""
    from lightning_skills.config_tree import WHOLE_COPY, flatten, read_run_tree

    config = folder / "config.yaml"
    with advised(WHOLE_COPY):
        try:
            options = flatten(read_run_tree(config))
            if not describes_run(options):
                raise DamagedError(f"{config} is damaged (it does not name method, env, task, name and seed)")
        except DamagedError:
            if given or any((folder / name).exists() for name in OF_A_RUN):
                raise
            return None
    rows = _rows(folder / METRICS, COUNTERS)
    summary = read_summary(folder)
    final = summary if _is_final(summary, rows) else None
    return RecordedRun(str(folder), options, rows, final, _rows(folder / "episodes.csv", ("episode", "return")))


def _is_final(summary: Mapping[str, Any] | None, rows: Sequence[Row]) -> bool:
    """Whether the run stopped where its summary was written, rather than going on with, or repeating, a phase."""
    if summary is None or not rows:
        return False
    phase, updates = summary.get("phase"), summary.get("updates")
    if tasks := summary.get("tasks"):
        last = list(tasks)[-1]
        phase, updates = f"{phase}/{last}", tasks[last].get("updates")
    return (rows[-1]["phase"], number(rows[-1]["updates"])) == (phase, updates)


def _rows(path: Path, first: Sequence[str]) -> list[dict[str, str]]:
    """What is written of a table so far."""
    with advised("take a whole copy, or delete it to do without"):
        return read_rows(path, ("phase", *first))
