"""Calls that write to a tracking store, each of which may be made again, and what becomes of those that fail."""

import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

from lightning_skills.config_tree import flatten
from lightning_skills.mlflow_store import DATABASE, reason

if TYPE_CHECKING:
    from mlflow.entities import Metric, Run
    from mlflow.tracking import MlflowClient

Status = Literal["FINISHED", "FAILED", "KILLED"]

PARAMS_PER_CALL, PARAM_LENGTH, DIGEST_LENGTH = 100, 6000, 36
"""Limits of MLflow."""
FIRST_PAUSE, LONGEST_PAUSE = 10.0, 300.0
"""Seconds between two attempts to reach a store that is away."""
MODEL = "model"
"""Folder among a run's artifacts."""


def now() -> int:
    """Milliseconds of Unix time, as MLflow counts."""
    return time.time_ns() // 1_000_000


class Store:
    """A tracking server or database.

    Args:
        uri: Its tracking URI.
        experiment: Name of the experiment of new runs, made if it is not there.
        artifacts: Folder for artifacts of a new experiment if ``uri`` is a database; a server has its own.

    All methods but :meth:`attempt` and :meth:`answers` raise whatever MLflow does.
    """

    def __init__(self, uri: str, experiment: str, artifacts: Path) -> None:
        self.uri = uri
        self._experiment = experiment
        self._location = artifacts.as_uri() if uri.startswith(DATABASE) else None
        self._warned = False
        self.forgive()

    @cached_property
    def client(self) -> "MlflowClient":
        """MLflow's own; of a database that is not there, it would make one."""
        from mlflow.tracking import MlflowClient

        return MlflowClient(self.uri)

    def forgive(self) -> None:
        """Let the next attempt go out at once, however lately one failed."""
        self._pause, self._retry_at = FIRST_PAUSE, 0.0

    def attempt(self, call: Callable[[], object]) -> bool:
        """Make a call that may fail; after a failure, calls are skipped for a while that doubles each time.

        The first failure is told on stderr, whatever it is: a store that is away, an artifact store whose package is
        not installed, a plug-in with an error of its own. None of them is worth a run.

        Returns:
            Whether the call was made and succeeded.
        """
        if time.monotonic() < self._retry_at:
            return False
        try:
            call()
        except Exception as error:
            self._retry_at = time.monotonic() + self._pause
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
            self._warn(error)
            return False
        self.forgive()
        return True

    def answers(self) -> bool:
        """Whether it is there, however lately a call failed: if so, that call failed for reasons of its own."""
        pause, retry_at = self._pause, self._retry_at
        self.forgive()
        if self.attempt(lambda: self.client.search_experiments(max_results=1)):
            return True
        self._pause, self._retry_at = pause, retry_at
        return False

    def has(self, run_id: str) -> bool:
        """Whether it has this run, and it is not deleted."""
        return self._find(run_id) is not None

    def go_on(self, run_id: str) -> "Run | None":
        """A run that is running again; None if it is not there."""
        run = self._find(run_id)
        if run is not None:
            self.client.update_run(run_id, status="RUNNING")
            self.client.set_tag(run_id, "resume_count", int(run.data.tags.get("resume_count", 0)) + 1)
        return run

    def begin(self, name: str, tags: Mapping[str, str], beside: str | None = None) -> "Run":
        """A new run, in the experiment of another one if one is given."""
        if beside is None:
            experiment = self._find_experiment(self._experiment)
        else:
            experiment = self.client.get_run(beside).info.experiment_id
        return self.client.create_run(experiment, tags={**tags, "resume_count": "0"}, run_name=name)

    def end(self, run_id: str, status: Status, when: int) -> None:
        """Set the outcome of a run, and when that was."""
        self.client.set_terminated(run_id, status, end_time=when)

    def log_params(self, run_id: str, params: Mapping[str, Any]) -> None:
        """Write parameters, nested or flat, that the run has not got; a value longer than 6000 characters is cut."""
        from mlflow.entities import Param

        there = self.client.get_run(run_id).data.params
        new = [Param(key, str(value)[:PARAM_LENGTH]) for key, value in flatten(params).items() if key not in there]
        for start in range(0, len(new), PARAMS_PER_CALL):
            self.client.log_batch(run_id, params=new[start : start + PARAMS_PER_CALL])

    def log_metrics(self, run_id: str, metrics: "Sequence[Metric]") -> None:
        """Write up to 1000 values."""
        self.client.log_batch(run_id, metrics=metrics)

    def logged(self, run_id: str) -> Counter[tuple[str, int]]:
        """How many values the run has of each metric at each step."""
        keys = self.client.get_run(run_id).data.metrics
        return Counter((key, point.step) for key in keys for point in self.client.get_metric_history(run_id, key))

    def log_dataset(self, run_id: str, path: str, digest: str) -> None:
        """Note what the run was trained on."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        source = json.dumps({"uri": path})
        dataset = Dataset(name=Path(path).name, digest=digest[:DIGEST_LENGTH], source_type="local", source=source)
        self.client.log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])

    def log_file(self, run_id: str, path: Path) -> None:
        """Copy a file to the run, if it is still there."""
        if path.exists():
            self.client.log_artifact(run_id, str(path))

    def register(self, run_id: str, name: str, write: Callable[[Path], None], known: str | None) -> str:
        """Copy a model to the run, and register that as the next version unless it is one; returns its place.

        Args:
            run_id: The run that keeps it.
            name: Of the model; made if it is not there.
            write: Writes the model's files into an empty folder.
            known: The place of the run's last version, if that was of an earlier model.
        """
        with TemporaryDirectory() as folder:
            write(Path(folder))
            self.client.log_artifacts(run_id, folder, MODEL)
        self._make_model(name)
        found = self.client.search_model_versions(f"name = '{name}' and run_id = '{run_id}'")
        version = max((int(each.version) for each in found), default=None)
        place = f"models:/{name}/{version}"
        if version is None or place == known:
            source = f"{self.client.get_run(run_id).info.artifact_uri}/{MODEL}"
            made = self.client.create_model_version(name, source, run_id, await_creation_for=0)
            place = f"models:/{name}/{made.version}"
        return place

    def _make_model(self, name: str) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self.client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _find_experiment(self, name: str) -> str:
        from mlflow.exceptions import MlflowException

        found = self.client.get_experiment_by_name(name)
        if found is None:
            try:
                return self.client.create_experiment(name, artifact_location=self._location)
            except MlflowException:  # another job of a sweep was faster
                found = self.client.get_experiment_by_name(name)
                if found is None:
                    raise
        if found.lifecycle_stage == "deleted":
            raise MlflowException(f"experiment {name!r} is deleted; restore it or choose another logging.experiment")
        return found.experiment_id

    def _find(self, run_id: str) -> "Run | None":
        from mlflow.exceptions import MlflowException

        try:
            run = self.client.get_run(run_id)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None
        return run if run.info.lifecycle_stage == "active" else None

    def _warn(self, error: Exception) -> None:
        if not self._warned:
            print(
                f"MLflow at {self.uri} fails, training goes on, metrics.csv has it all: {reason(error)}",
                file=sys.stderr,
            )
        self._warned = True
