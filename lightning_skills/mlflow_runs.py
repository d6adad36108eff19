"""Recorded runs read from MLflow, as :mod:`lightning_skills.tracking` wrote them."""

import ast
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from lightning_skills.errors import InputError
from lightning_skills.files import advised, read_json
from lightning_skills.mlflow_store import RUNS_DIR, client, locate, reached
from lightning_skills.recorded import SUMMARY, RecordedRun, Row, describes_run

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

PREFIX = "mlflow:"
"""``mlflow:EXPERIMENT`` stands for the runs of an experiment."""
HINT = "start it, or give another uri="
PHASE, PARENT = "phase", "mlflow.parentRunId"
"""Tags of a phase's run."""
OFFLINE = "time/updates_per_s"
"""Logged with every row of an offline phase, and by no other: there a step is an update, elsewhere an env frame."""
PAGE = 1000
"""Runs asked for at once."""
OLDEST_FIRST = "attributes.start_time ASC"
PLAIN = (bool, int, float, list, tuple, dict, type(None))


def find_mlflow_runs(experiments: Sequence[str], uri: str | None = None) -> list[RecordedRun]:
    """Read the runs of experiments, each once, in the order in which they were started.

    A run is what :class:`~lightning_skills.tracking.MLflowTracker` writes: a parent with the config as its parameters
    and ``summary.json`` as an artifact, and a nested run with the metrics of each phase. Others are left out. A row
    holds what was logged at one time and step. The final evaluation holds if MLflow calls the run finished.

    Args:
        experiments: Names of experiments.
        uri: Tracking URI; None takes ``MLFLOW_TRACKING_URI``, or else the database in ``runs``.

    Raises:
        InputError: if MLflow cannot be used there, or it has no such experiment or no run in it.
    """
    uri = locate(uri, RUNS_DIR)
    with reached(uri, HINT):
        store = client(uri, "uri=")
        return [run for name in dict.fromkeys(experiments) for run in _read_experiment(store, uri, name)]


def option(text: str) -> Any:
    """The value that was written as this parameter.

    Only what would be written the same way is taken for a number, a list or None, so that a run named ``1e5`` keeps
    its name.
    """
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
    return value if isinstance(value, PLAIN) and str(value) == text else text


def _read_experiment(client: "MlflowClient", uri: str, name: str) -> list[RecordedRun]:
    experiment = client.get_experiment_by_name(name) if name else None
    if experiment is None or experiment.lifecycle_stage == "deleted":
        there = ", ".join(sorted(found.name for found in client.search_experiments()))
        raise InputError(f"no experiment {name!r} at {uri}; write {PREFIX}NAME, there is {there or 'none'}")
    parents: list[Run] = []
    phases: dict[str, list[Run]] = {}
    for run in _runs_of(client, experiment.experiment_id):
        if PARENT not in run.data.tags:
            parents.append(run)
        elif PHASE in run.data.tags:
            phases.setdefault(run.data.tags[PARENT], []).append(run)
    found = [
        RecordedRun(f"{PREFIX}{name}/{run.info.run_id}", options, rows, _summary(client, run))
        for run in parents
        if describes_run(options := {key: option(text) for key, text in run.data.params.items()})
        for rows in [_rows(client, phases.get(run.info.run_id, []))]
    ]
    if not found:
        raise InputError(
            f"no run in experiment {name!r} at {uri}; train.py writes there with logging.experiment={name}"
        )
    return found


def _runs_of(client: "MlflowClient", experiment: str) -> "list[Run]":
    runs: list[Run] = []
    token: str | None = None
    while True:
        found = client.search_runs([experiment], max_results=PAGE, order_by=[OLDEST_FIRST], page_token=token)
        runs += found
        token = found.token
        if not token:
            return runs


def _rows(client: "MlflowClient", phases: "Sequence[Run]") -> list[Row]:
    """What was logged, in the order in which it was; as in ``metrics.csv``, every row has all columns."""
    columns = ["phase", "env_frames", "updates", "wall_s"]
    blank = dict.fromkeys([*columns, *sorted({key for phase in phases for key in phase.data.metrics})], "")
    rows: list[Row] = []
    for phase in phases:
        counter = "updates" if OFFLINE in phase.data.metrics else "env_frames"
        head = {**blank, "phase": phase.data.tags[PHASE], "env_frames": "0"}
        found: dict[tuple[int, int], dict[str, str]] = {}
        for key in phase.data.metrics:
            for point in client.get_metric_history(phase.info.run_id, key):
                cells = {**head, counter: str(point.step), "wall_s": repr(point.timestamp / 1000)}
                found.setdefault((point.timestamp, point.step), cells)[key] = _cell(key, point.value)
        rows += [found[place] for place in sorted(found)]
    return rows


def _cell(key: str, value: float) -> str:
    if key == "updates":
        return str(int(value))
    # A database cannot hold an infinite value; MLflow writes the largest in its stead.
    return repr(math.copysign(math.inf, value) if abs(value) == sys.float_info.max else value)


def _summary(client: "MlflowClient", run: "Run") -> dict[str, Any] | None:
    """The final evaluation; None if there is none, or the run goes on."""
    files = [item.path for item in client.list_artifacts(run.info.run_id)] if run.info.status == "FINISHED" else []
    if SUMMARY not in files:
        return None
    with TemporaryDirectory() as folder:
        file = Path(client.download_artifacts(run.info.run_id, SUMMARY, folder))
        with advised(f"it is {SUMMARY} of the MLflow run {run.info.run_id}"):
            return read_json(file)
