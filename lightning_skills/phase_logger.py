"""The MLflow run of one phase, as a logger of Lightning's."""

import re
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch.loggers import MLFlowLogger
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from lightning_skills.csv_file import FIRST_COLUMNS, METRICS
from lightning_skills.files import read_rows
from lightning_skills.mlflow_writer import Status, Store, now
from lightning_skills.system_metrics import SystemMetrics

if TYPE_CHECKING:
    from mlflow.entities import Metric

COUNTERS = frozenset(FIRST_COLUMNS[1:])
METRICS_PER_CALL = 1000
"""A limit of MLflow."""
BUFFERED_METRICS = 100_000
"""Values that are in no file, kept while the store is away; the oldest go first."""


class PhaseLogger(MLFlowLogger):
    """The run of one phase, made by :class:`~lightning_skills.tracking.MLflowTracker`.

    Rows of ``metrics.csv`` are buffered and sent in batches. Before the first batch, and again once one has failed, the
    logger is *behind*: it asks the store what it has, and sends the rows of the file that are missing there. So what a
    run that was killed had not sent is sent, what a resumed phase logs once more is not, and nothing need be kept while
    the store is away. A value is known by its metric and its step; of several at one step, as many as there are in the
    file arrive, each at the time at which its row was written, so that the later one is the later one there too.

    Args:
        store: Where the run is.
        open_run: Starts the run, or finds it; returns its id.
        run_dir: Folder of the training run.
        phase: Name of the phase.
        system: Measured once between two sendings, if given.
        flush_seconds: Time between two sendings.
    """

    def __init__(
        self,
        store: Store,
        open_run: Callable[[], str],
        run_dir: Path,
        phase: str,
        system: SystemMetrics | None = None,
        flush_seconds: float = 10.0,
    ) -> None:
        super().__init__(tracking_uri=store.uri)
        self._initialized = True  # the run is opened here, so that Lightning need not reach the store
        self._store, self._open_run, self._run_dir, self._phase = store, open_run, run_dir, phase
        self._system, self._flush_seconds = system, flush_seconds
        self._due = time.monotonic() + flush_seconds
        self._behind, self._told = True, 0.0
        self._there: Counter[tuple[str, int]] = Counter()
        self._rows: list[Metric] = []
        self._others: deque[Metric] = deque(maxlen=BUFFERED_METRICS)

    @property
    def name(self) -> str:
        """Name of the phase."""
        return self._phase

    @property
    def version(self) -> str | None:
        """Id of the run; None while the store has not been reached."""
        return self._run_id

    @property
    def save_dir(self) -> str:
        """Folder of the training run."""
        return str(self._run_dir)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Buffer metrics.

        Args:
            metrics: Values by name; with a row's counters they are a row of ``metrics.csv``, which may be read there.
            step: Of what is no such row.
        """
        if metrics.keys() >= COUNTERS:
            step, when = _place(metrics)
            if not self._behind:
                self._rows.extend(self._row(metrics))
        else:
            step, when = step or 0, now()
            self._others.extend(_values(metrics, step, when))
        if time.monotonic() >= self._due:
            self._others.extend(_values(self._system.measure() if self._system else {}, step, when))
            self.save()

    @rank_zero_only
    def log_hyperparams(self, params: Mapping[str, Any]) -> None:  # type: ignore[override]
        """Write parameters, nested or flat, that the phase's run has not got."""
        self._store.attempt(lambda: self._store.log_params(self.open(), params))

    def save(self) -> None:
        """Send what is buffered."""
        self._due = time.monotonic() + self._flush_seconds
        self._store.attempt(self._send)

    def finalize(self, status: str = "success") -> None:
        """Lightning's hook; the outcome is the tracker's to set, which knows a signal from an error."""
        self.save()

    def open(self) -> str:
        """Start or find the run; returns its id. Like :meth:`end`, raises whatever the store does."""
        if self._run_id is None:
            self._run_id = self._open_run()
        return self._run_id

    def end(self, status: Status, when: int) -> None:
        """Send what is left and set the outcome."""
        self._send()
        self._store.end(self.open(), status, when)

    def _send(self) -> None:
        run_id = self.open()
        rows: Iterable[Metric] = self._rows
        if self._behind:
            self._there, self._told, rows = self._store.logged(run_id), 0.0, self._recorded()
        self._behind, self._rows = True, []  # unless all of it gets there
        new = (value for value in chain(rows, tuple(self._others)) if self._is_new(value))
        while batch := list(islice(new, METRICS_PER_CALL)):
            self._store.log_metrics(run_id, batch)
        self._behind = False
        self._others.clear()

    def _is_new(self, value: "Metric") -> bool:
        point = (value.key, value.step)
        if self._there[point] == 0:
            return True
        self._there[point] -= 1
        return False

    def _recorded(self) -> "Iterator[Metric]":
        for row in read_rows(self._run_dir / METRICS):
            if row.pop("phase") == self._phase:
                yield from self._row({key: float(cell) for key, cell in row.items() if cell})

    def _row(self, row: Mapping[str, float]) -> "Iterator[Metric]":
        metrics = {key: value for key, value in row.items() if key not in COUNTERS}
        if row["env_frames"] and row["updates"] != self._told:  # offline, they are the step
            self._told = row["updates"]
            metrics = {"updates": self._told, **metrics}
        return _values(metrics, *_place(row))


def _place(row: Mapping[str, float]) -> tuple[int, int]:
    """The step of a row, env frames or, in an offline phase, updates, and when it was written."""
    return int(row["env_frames"] or row["updates"]), int(1000 * row["wall_s"])


def _values(metrics: Mapping[str, float], step: int, when: int) -> "Iterator[Metric]":
    from mlflow.entities import Metric

    for key, value in metrics.items():
        yield Metric(re.sub(r"[^\w/. :-]", "_", key), float(value), when, step)
