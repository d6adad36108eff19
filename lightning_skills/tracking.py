"""A run in MLflow: a parent run, in it one for each phase, and what the store is still owed.

Everything here is for rank zero alone; the other ranks hold no tracker.
"""

import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lightning_skills.mlflow_ledger import Account, Ledger
from lightning_skills.mlflow_store import ARTIFACTS, database, locate, make_database, reached
from lightning_skills.mlflow_writer import Status, Store, now
from lightning_skills.phase_logger import PhaseLogger
from lightning_skills.system_metrics import SystemMetrics

HINT = "start it, give another tracking URI, or set logging.mlflow=false"
PACKAGES = ("torch", "torchrl", "lightning", "mujoco")
Model = tuple[str, Callable[[Path], None]]
"""A model's name, and what writes its files into an empty folder, once for each attempt."""


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
    if _is_there(uri):
        with reached(uri, HINT):
            from mlflow.tracking import MlflowClient

            MlflowClient(uri).get_experiment_by_name(experiment)


class MLflowTracker:
    """The MLflow runs of one training run: a parent, and nested in it one run per phase.

    Made by :meth:`open`. What the store is to get is noted in the run's :class:`~lightning_skills.mlflow_ledger.Ledger`
    until it has it, and sent when a phase begins, when one ends and at the end; rows are sent while a phase trains too.
    A store that fails is reported once on stderr and never stops training; what it is owed then is sent with the next
    of these occasions, or when the run is opened again.
    """

    def __init__(
        self,
        store: Store,
        ledger: Ledger,
        account: Account,
        run_dir: Path,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
        system: SystemMetrics | None = None,
    ) -> None:
        self._store, self._ledger, self._account, self._run_dir = store, ledger, account, run_dir
        self._params, self._tags, self._system = params, tags, system
        self._loggers: dict[str, PhaseLogger] = {}
        self._models: dict[str, Model] = {}

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
        finished: bool = False,
    ) -> "MLflowTracker":
        """Start the parent run, or open it again.

        Args:
            run_dir: Folder of the training run.
            runs_dir: Folder of all training runs; holds the default database ``mlflow.db`` and ``mlartifacts/``.
            tracking_uri: Where to track; None takes ``MLFLOW_TRACKING_URI`` or the default database.
            experiment: MLflow experiment, made if it is not there.
            run_name: Shown name of the parent run.
            params: The resolved config, nested or flat.
            tags: Tags of the parent and its phases; versions and the git commit are added.
            system_metrics: Whether the phases also log how busy the machine is.
            finished: Whether there is nothing left to train. Then a run that the store knows is not running again, and
                one that it does not know is not begun.

        Raises:
            InputError: if MLflow cannot be used there, or ``mlflow.json`` is damaged.
        """
        uri, ledger, tags = locate(tracking_uri, runs_dir), Ledger(run_dir), {**tags, **_surroundings()}
        with reached(uri, HINT):
            known = ledger.accounts if _is_there(uri) else []
            if not finished:
                make_database(uri)
            store = Store(uri, experiment, runs_dir.absolute() / ARTIFACTS)
            system = SystemMetrics() if system_metrics else None
            account = next((each for each in known if store.has(each.parent)), None)
            if account is None and not finished:
                account = Account(parent=store.begin(run_name, tags).info.run_id)
                ledger.accounts.append(account)
            elif account is not None and not finished:
                store.go_on(account.parent)
        tracker = cls(store, ledger, account or Account(), run_dir, params, tags, system)
        if not finished:
            tracker._owe({"params": True, "status": None})
        return tracker

    def owed(self, phase: str) -> bool:
        """Whether the store lacks anything of a phase that it knows."""
        return not {f"phase {phase}", f"model {phase}"}.isdisjoint(self._account.owed)

    def phase(self, name: str) -> PhaseLogger:
        """The logger of one phase, whose run is running from now on; the phase before it is finished."""
        self._end_phases("FINISHED")
        self._owe({f"phase {name}": None})
        self.settle()
        logger = self._loggers[name] = self._logger(name, lambda: self._go_on(name))
        self._store.attempt(logger.open)
        return logger

    def finished(self, phase: str, model: Model | None = None) -> None:
        """A phase, of which :meth:`owed` holds, has handed on what it learned.

        Args:
            phase: Its run is finished.
            model: What it handed on, to be registered as the next version of that model, once; None if it is not to be.
        """
        if self._is_to_end(f"phase {phase}", "FINISHED"):
            self._owe({f"phase {phase}": ("FINISHED", now()), **({f"model {phase}": True} if model else {})})
        if model is not None:
            self._models[phase] = model
        elif self._account.owed.pop(f"model {phase}", None) is not None:  # of a start that was to register it
            self._ledger.save()

    def log_artifact(self, path: Path) -> None:
        """Copy a file of the run's folder to the parent run."""
        self._owe({f"file {path.relative_to(self._run_dir)}": True})

    def log_dataset(self, path: Path, digest: str) -> None:
        """Note on the parent run which data set it was trained on."""
        self._owe({"dataset": {"path": str(path), "digest": digest}})

    def close(self, status: Status) -> None:
        """Send what is left and set the outcome of the parent and of the phase under way; tells what could not be."""
        self._end_phases(status)
        if self._is_to_end("status", status):
            self._owe({"status": (status, now())})
        self.settle()
        if left := [debt for debt in self._account.owed if self._can_pay(debt)]:
            again = "the same command tries again, of a finished run too"
            print(f"not in MLflow: {', '.join(left)}; {again}", file=sys.stderr)

    def _owe(self, debts: Mapping[str, Any]) -> None:
        """Note what the store is to get; of what it is owed already, the latest holds."""
        for debt, details in debts.items():
            self._account.owed.pop(debt, None)
            self._account.owed[debt] = details
        self._ledger.save()

    def settle(self) -> None:
        """Send what is owed, in order. What the store does not take holds up nothing else, unless it is away."""
        self._store.forgive()
        for debt in [debt for debt in self._account.owed if self._can_pay(debt)]:
            if self._store.attempt(partial(self._pay, debt)):
                del self._account.owed[debt]
                self._ledger.save()
            elif not self._store.answers():
                break

    def _can_pay(self, debt: str) -> bool:
        """Whether all is known: a phase and the run have ended, and the model of a phase can be written."""
        kind, _, name = debt.partition(" ")
        return name in self._models if kind == "model" else self._account.owed[debt] is not None

    def _pay(self, debt: str) -> None:
        kind, _, name = debt.partition(" ")
        details = self._account.owed[debt]
        match kind:
            case "params":
                self._store.log_params(self._account.parent, self._params)
            case "dataset":
                self._store.log_dataset(self._account.parent, **details)
            case "phase":
                logger = self._loggers.get(name) or self._logger(name, lambda: self._run_of(name))
                logger.end(*details)
                self._loggers.pop(name, None)
            case "model":
                known = self._account.models.get(name)
                place = self._store.register(self._run_of(name), *self._models[name], known)
                self._account.models[name] = place
                print(f"registered  {place}", flush=True)
            case "file":
                self._store.log_file(self._account.parent, self._run_dir / name)
            case "status":
                self._store.end(self._account.parent, *details)

    def _is_to_end(self, debt: str, status: Status) -> bool:
        """Whether that a run has ended like this is owed, and not noted yet."""
        owed = self._account.owed
        return debt in owed and (owed[debt] is None or owed[debt][0] != status)

    def _end_phases(self, status: Status) -> None:
        """Those under way in this process, of which there is one at most."""
        under_way = [f"phase {name}" for name in self._loggers]
        self._owe({debt: (status, now()) for debt in under_way if self._account.owed[debt] is None})

    def _logger(self, name: str, open_run: Callable[[], str]) -> PhaseLogger:
        return PhaseLogger(self._store, open_run, self._run_dir, name, self._system)

    def _go_on(self, name: str) -> str:
        """The run of a phase that is trained now."""
        known = self._account.phases.get(name)
        return known if known and self._store.go_on(known) else self._begin(name)

    def _run_of(self, name: str) -> str:
        """The run of a phase that was trained before."""
        known = self._account.phases.get(name)
        return known if known and self._store.has(known) else self._begin(name)

    def _begin(self, name: str) -> str:
        parent = self._account.parent
        run = self._store.begin(name, {**self._tags, "phase": name, "mlflow.parentRunId": parent}, beside=parent)
        self._account.phases[name] = run.info.run_id
        self._ledger.save()
        return run.info.run_id


def _is_there(uri: str) -> bool:
    """Whether this is a server's, or a database's that has been made."""
    file = database(uri)
    return file is None or file.exists()


def _surroundings() -> dict[str, str]:
    tags = {f"{package}_version": version(package) for package in PACKAGES}
    root = Path(__file__).parents[1]
    if (root / ".git").exists():
        git = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=False)
        if git.returncode == 0:
            tags["mlflow.source.git.commit"] = git.stdout.strip()
    return tags
