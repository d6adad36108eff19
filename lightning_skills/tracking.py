"""What a run records while it trains: a CSV file that loses nothing, and MLflow runs beside it.

Everything here is for rank zero alone; the other ranks hold no tracker and append no rows.
"""

import csv
import io
import json
import os
import re
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from importlib.metadata import version
from itertools import islice
from numbers import Integral
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

from filelock import FileLock
from lightning.pytorch.loggers import MLFlowLogger
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from lightning_skills.config import flatten
from lightning_skills.errors import InputError
from lightning_skills.mlflow_store import database, locate, reached
from lightning_skills.run_folder import MLFLOW_FILE, read_ids
from lightning_skills.system_metrics import SystemMetrics

if TYPE_CHECKING:
    from mlflow.entities import Run

Status = Literal["FINISHED", "FAILED", "KILLED"]
Cell = float | int | str

FIRST_COLUMNS = ("phase", "env_frames", "updates", "wall_s")
METRICS_PER_CALL, PARAMS_PER_CALL = 1000, 100
PARAM_LENGTH, DIGEST_LENGTH = 6000, 36
"""Limits of MLflow."""
HINT = "start it, give another tracking URI, or set logging.mlflow=false"
BUFFERED_METRICS = 100_000
"""Values kept while the server is away; the oldest go first, and all of them are in the CSV."""
LONGEST_PAUSE = 300.0
"""Seconds between two attempts to reach a server that is away."""
MODEL = "model"
"""Folder among a run's artifacts."""
PACKAGES = ("torch", "torchrl", "lightning", "mujoco")


class CsvFile:
    """A table that grows row by row, such as the metrics of all phases of a run.

    Columns grow when a row brings new ones. Every row is handed to the operating system before ``append`` returns, and
    opening the file drops a last line that a killed process left unfinished.

    Args:
        path: The file; made with the first row.
        first: Columns that come before all others.

    Attributes:
        rows: Data rows on disk.
    """

    def __init__(self, path: Path, first: Sequence[str]) -> None:
        self._path, self._first = path, first
        content = path.read_bytes() if path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            os.truncate(path, len(whole))
        lines = whole.decode().splitlines()
        self._columns = next(csv.reader(lines[:1]), [])
        self.rows = max(len(lines) - 1, 0)

    def append(self, row: Mapping[str, Cell]) -> None:
        """Add a row; columns it does not name stay empty. Floats read back exactly."""
        new = [key for key in (*self._first, *row) if key not in self._columns]
        if new:
            self._widen([*self._columns, *dict.fromkeys(new)])
        line = _csv_line([_cell(row.get(key, "")) for key in self._columns])
        with self._path.open("ab", buffering=0) as file:
            file.write(line)
        self.rows += 1

    def read(self) -> list[dict[str, str]]:
        """All rows; cells that a row does not name are empty."""
        return list(csv.DictReader(io.StringIO(self._path.read_text()))) if self.rows else []

    def truncate(self, rows: int) -> None:
        """Drop the rows after the first ``rows``, those that a resumed run is about to write again."""
        if rows > self.rows:
            print(f"{self._path} lost rows: {self.rows} are left of {rows}", file=sys.stderr)
        if rows >= self.rows:
            return
        lines = self._path.read_bytes().splitlines(keepends=True)
        os.truncate(self._path, sum(map(len, lines[: rows + 1])))
        self.rows = rows

    def _widen(self, columns: list[str]) -> None:
        lines = self._path.read_text().splitlines() if self.rows else []
        content = _csv_line(columns) + b"".join(
            _csv_line([*cells, *[""] * (len(columns) - len(cells))]) for cells in csv.reader(lines[1:])
        )
        _replace(self._path, content)
        self._columns = columns


def _cell(value: Cell) -> str:
    if isinstance(value, str):
        return " ".join(value.splitlines())
    return str(int(value)) if isinstance(value, Integral) else repr(float(value))


def _csv_line(cells: list[str]) -> bytes:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue().encode()


def _replace(path: Path, content: bytes) -> None:
    """Give ``path`` new content; a kill leaves the old or the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".tmp")
    beside.write_bytes(content)
    beside.replace(path)


def check(tracking_uri: str | None, experiment: str, runs_dir: Path) -> None:
    """Make sure that MLflow can be used, before a run is begun; a database that is not there yet is the run's to make.

    Args:
        tracking_uri: As for :meth:`MLflowTracker.open`, like the others.
        experiment: MLflow experiment.
        runs_dir: Folder of all training runs.

    Raises:
        InputError: if it cannot.
    """
    uri = locate(tracking_uri, runs_dir)
    file = database(uri)
    if file is None or file.is_file():
        with reached(uri, HINT), _database_lock(uri):
            from mlflow.tracking import MlflowClient

            MlflowClient(uri).get_experiment_by_name(experiment)


class MLflowTracker:
    """The MLflow runs of one training run: a parent, and nested in it one run per phase.

    Made by :meth:`open`. Their ids lie in ``<run_dir>/mlflow.json``; the same folder opens the same runs again. Once
    open, a server that fails is reported once on stderr and never stops training: metrics and models are kept and sent
    later.
    """

    def __init__(
        self, server: "_Server", run_dir: Path, tags: Mapping[str, str], system: SystemMetrics | None = None
    ) -> None:
        self._server, self._tags, self._run_dir, self._system = server, dict(tags), run_dir, system
        self._file = run_dir / MLFLOW_FILE
        self._phase_ids: dict[str, str] = {}
        self._models: dict[str, str | None] = {}
        self._unregistered: dict[str, tuple[str, Callable[[Path], None]]] = {}
        self._phase: PhaseLogger | None = None
        self._unsettled: list[tuple[PhaseLogger, Status]] = []
        self._run_id = ""

    @classmethod
    def open(
        cls,
        run_dir: Path,
        runs_dir: Path,
        tracking_uri: str | None,
        experiment: str,
        run_name: str,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
        system_metrics: bool = False,
    ) -> "MLflowTracker":
        """Start the parent run, or open it again.

        Args:
            run_dir: Folder of the training run.
            runs_dir: Folder of all training runs; holds the default database ``mlflow.db`` and ``mlartifacts/``.
            tracking_uri: Where to track; None takes ``MLFLOW_TRACKING_URI`` or the default database.
            experiment: MLflow experiment, made if it is not there.
            run_name: Shown name of the parent run.
            params: The resolved config, nested or flat; written when the run is new.
            tags: Tags of the parent and its phases; versions and the git commit are added.
            system_metrics: Whether the phases also log how busy the machine is.

        Raises:
            InputError: if MLflow cannot be used there.
        """
        uri = locate(tracking_uri, runs_dir)
        with reached(uri, HINT):
            with _database_lock(uri):
                server = _Server(uri, experiment, runs_dir.absolute() / "mlartifacts")
            system = SystemMetrics() if system_metrics else None
            tracker = cls(server, run_dir, {**tags, **_surroundings()}, system)
            tracker._open_parent(run_name, params)
        return tracker

    def phase(self, name: str) -> "PhaseLogger":
        """The logger of one phase, which owes a model from now on; the phase before it is finished."""
        self._end_phase("FINISHED")
        self._register_models()
        self._models[name] = None
        self._save_ids()
        self._phase = PhaseLogger(self._server, lambda: self._open_phase(name), self._run_dir, name, self._system)
        return self._phase

    def log_artifact(self, path: Path) -> None:
        """Copy a file to the parent run."""
        self._server.attempt(lambda: self._server.client.log_artifact(self._run_id, str(path)))

    def register(self, phase: str, name: str, write: Callable[[Path], None]) -> None:
        """Register the next version of a model when the phase ends, and again at the end of each phase until it is.

        Args:
            phase: The phase whose run keeps it.
            name: Of the model; made if it is not there.
            write: Writes the model's files into an empty folder; called once for each attempt.
        """
        self._unregistered[phase] = (name, write)

    def log_dataset(self, path: Path, digest: str) -> None:
        """Note on the parent run which data set it was trained on."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        source = json.dumps({"uri": str(path)})
        dataset = Dataset(name=path.name, digest=digest[:DIGEST_LENGTH], source_type="local", source=source)
        used = DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])
        self._server.attempt(lambda: self._server.client.log_inputs(self._run_id, [used]))

    def close(self, status: Status) -> None:
        """Send what is left and set the outcome of the parent and of the phase under way."""
        self._server.forgive()
        self._end_phase(status)
        self._server.attempt(lambda: self._server.client.set_terminated(self._run_id, status))
        self._register_models()
        for name, _ in self._unregistered.values():
            print(f"not registered: model {name}; the same command tries again, of a finished run too", file=sys.stderr)

    def _open_parent(self, run_name: str, params: Mapping[str, Any]) -> None:
        known = read_ids(self._file)
        run = self._server.open_run(known["parent"], run_name, self._tags)
        self._run_id = run.info.run_id
        # Runs that were deleted, or are on another server, are begun anew with all their phases.
        if self._run_id == known["parent"]:
            self._phase_ids, self._models = known["phases"], known["models"]
        self._save_ids()
        if not run.data.params:
            self._server.log_params(self._run_id, params)

    def _open_phase(self, name: str) -> "Run":
        tags = {**self._tags, "phase": name, "mlflow.parentRunId": self._run_id}
        run = self._server.open_run(self._phase_ids.get(name), name, tags)
        self._phase_ids[name] = run.info.run_id
        self._save_ids()
        return run

    def _end_phase(self, status: Status) -> None:
        if self._phase is not None:
            self._unsettled.append((self._phase, status))
        self._phase = None
        # A phase that ended while the server was away is tried again with the next one.
        self._unsettled = [(phase, outcome) for phase, outcome in self._unsettled if not phase.end(outcome)]

    def _register_models(self) -> None:
        for phase, (name, write) in list(self._unregistered.items()):
            self._server.forgive()  # tried at once, however lately another call failed
            if self._server.attempt(partial(self._register, phase, name, write)):
                del self._unregistered[phase]

    def _register(self, phase: str, name: str, write: Callable[[Path], None]) -> None:
        run_id = self._phase_ids.get(phase, self._run_id)
        with TemporaryDirectory() as folder:
            write(Path(folder))
            self._server.client.log_artifacts(run_id, folder, MODEL)
        self._models[phase] = f"models:/{name}/{self._server.add_version(name, run_id)}"
        self._save_ids()
        print(f"registered  {self._models[phase]}", flush=True)

    def _save_ids(self) -> None:
        ids = {"parent": self._run_id, "phases": self._phase_ids, "models": self._models}
        _replace(self._file, json.dumps(ids, indent=2).encode())


class PhaseLogger(MLFlowLogger):
    """The MLflow run of one phase, made by :meth:`MLflowTracker.phase`.

    Metrics are buffered and sent in batches. What the server already had when the run was opened is not sent again, so
    that a resumed phase may log the same steps once more.

    Args:
        server: Where the run is.
        open_run: Starts the run or opens it again.
        run_dir: Folder of the training run.
        phase: Name of the phase.
        system: Measured once between two sendings, if given.
        flush_seconds: Time between two sendings.
    """

    def __init__(
        self,
        server: "_Server",
        open_run: Callable[[], "Run"],
        run_dir: Path,
        phase: str,
        system: SystemMetrics | None = None,
        flush_seconds: float = 10.0,
    ) -> None:
        super().__init__(tracking_uri=server.uri)
        self._initialized = True  # the run is opened here, so that Lightning need not reach the server
        self._server, self._open_run, self._run_dir, self._phase = server, open_run, run_dir, phase
        self._system, self._flush_seconds = system, flush_seconds
        self._due = time.monotonic() + flush_seconds
        self._buffer: deque[tuple[str, float, int, int]] = deque(maxlen=BUFFERED_METRICS)
        self._last_steps: dict[str, int] = {}
        server.attempt(self._open)

    @property
    def name(self) -> str:
        """Name of the phase."""
        return self._phase

    @property
    def version(self) -> str | None:
        """Id of the run; None while the server has not been reached."""
        return self._run_id

    @property
    def save_dir(self) -> str:
        """Folder of the training run."""
        return str(self._run_dir)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Buffer metrics.

        Args:
            metrics: Values by name.
            step: Env frames for an online phase, updates for an offline one.
        """
        due = time.monotonic() >= self._due
        now = time.time_ns() // 1_000_000
        for key, value in {**metrics, **(self._system.measure() if due and self._system else {})}.items():
            self._buffer.append((re.sub(r"[^\w/. :-]", "_", key), float(value), now, step or 0))
        if due:
            self.save()

    @rank_zero_only
    def log_hyperparams(self, params: Mapping[str, Any]) -> None:  # type: ignore[override]
        """Write parameters, nested or flat, to the phase's run if it has none."""
        self._server.attempt(lambda: self._log_params(params))

    def save(self) -> None:
        """Send what is buffered."""
        self._due = time.monotonic() + self._flush_seconds
        self._server.attempt(self._send)

    def finalize(self, status: str = "success") -> None:
        """Lightning's hook; the outcome is the tracker's to set, which knows a signal from an error."""
        self.save()

    def end(self, status: Status) -> bool:
        """Send what is left and set the outcome; returns whether the server took it."""
        return self._server.attempt(lambda: self._finish(status))

    def _open(self) -> str:
        if self._run_id is None:
            run = self._open_run()
            self._run_id, self._experiment_id = run.info.run_id, run.info.experiment_id
            self._last_steps = {metric.key: metric.step for metric in run.data.to_proto().metrics}
        return self._run_id

    def _send(self) -> None:
        from mlflow.entities import Metric

        run_id = self._open()
        while self._buffer:
            batch = list(islice(self._buffer, METRICS_PER_CALL))
            new = [Metric(*point) for point in batch if point[3] > self._last_steps.get(point[0], -1)]
            if new:
                self._server.client.log_batch(run_id, metrics=new)
            for _ in batch:
                self._buffer.popleft()

    def _finish(self, status: Status) -> None:
        self._send()
        self._server.client.set_terminated(self._open(), status)

    def _log_params(self, params: Mapping[str, Any]) -> None:
        run_id = self._open()
        if not self._server.client.get_run(run_id).data.params:
            self._server.log_params(run_id, params)


class _Server:
    """A tracking server or database.

    Args:
        uri: Its tracking URI.
        experiment: Name of the experiment, made if it is not there.
        artifacts: Folder for artifacts of a new experiment if ``uri`` is a database; a server has its own.

    Raises:
        MlflowException: if it cannot be used.
    """

    def __init__(self, uri: str, experiment: str, artifacts: Path) -> None:
        from mlflow.tracking import MlflowClient

        self.uri = uri
        self.client: MlflowClient = MlflowClient(uri)
        self._location = artifacts.as_uri() if uri.startswith("sqlite:") else None
        self._experiment_id = self._find_experiment(experiment)
        self._warned = False
        self.forgive()

    def forgive(self) -> None:
        """Let the next attempt go out at once, however lately one failed."""
        self._pause, self._retry_at = 5.0, 0.0

    def attempt(self, call: Callable[[], object]) -> bool:
        """Make a call that may fail; after a failure, calls are skipped for a while that doubles each time.

        Returns:
            Whether the call was made and succeeded.
        """
        from mlflow.exceptions import MlflowException

        if time.monotonic() < self._retry_at:
            return False
        try:
            call()
        except (MlflowException, OSError, InputError) as error:  # the last one from the files of a model
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
            self._retry_at = time.monotonic() + self._pause
            self._warn(error)
            return False
        self.forgive()
        return True

    def open_run(self, run_id: str | None, name: str, tags: Mapping[str, str]) -> "Run":
        """The run of that id, running again; a new one if there is none."""
        run = self._find_run(run_id) if run_id else None
        if run is None:
            return self.client.create_run(self._experiment_id, tags={**tags, "resume_count": "0"}, run_name=name)
        self._experiment_id = run.info.experiment_id
        self.client.update_run(run.info.run_id, status="RUNNING")
        self.client.set_tag(run.info.run_id, "resume_count", int(run.data.tags.get("resume_count", 0)) + 1)
        return run

    def log_params(self, run_id: str, params: Mapping[str, Any]) -> None:
        """Write parameters, nested or flat; a value longer than MLflow's 6000 characters is cut."""
        from mlflow.entities import Param

        entities = [Param(key, str(value)[:PARAM_LENGTH]) for key, value in flatten(params).items()]
        for start in range(0, len(entities), PARAMS_PER_CALL):
            self.client.log_batch(run_id, params=entities[start : start + PARAMS_PER_CALL])

    def add_version(self, name: str, run_id: str) -> str:
        """Register what a run has in its folder ``model`` as the next version of a model; returns the number."""
        from mlflow.exceptions import MlflowException

        try:
            self.client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        source = f"{self.client.get_run(run_id).info.artifact_uri}/{MODEL}"
        return str(self.client.create_model_version(name, source, run_id, await_creation_for=0).version)

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

    def _find_run(self, run_id: str) -> "Run | None":
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
            reason = " ".join(str(error).split())[:200]
            print(f"MLflow at {self.uri} fails, training goes on, metrics.csv has it all: {reason}", file=sys.stderr)
        self._warned = True


def _database_lock(uri: str) -> AbstractContextManager[object]:
    """Keeps the jobs of a sweep from making the same database at once."""
    file = database(uri)
    if file is None:
        return nullcontext()
    file.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(file.with_name(file.name + ".lock"))


def _surroundings() -> dict[str, str]:
    tags = {f"{package}_version": version(package) for package in PACKAGES}
    root = Path(__file__).parents[1]
    if (root / ".git").exists():
        git = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=False)
        if git.returncode == 0:
            tags["mlflow.source.git.commit"] = git.stdout.strip()
    return tags
