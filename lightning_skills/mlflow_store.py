"""Where MLflow keeps runs and how it is reached: what those who write runs there and those who read them share."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from lightning_skills.errors import InputError

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

RUNS_DIR = Path("runs")
"""Where the database is unless told otherwise, as for ``train.py``."""
DATABASE = "sqlite:///"
"""What the tracking URI of a database file begins with."""
ARTIFACTS = "mlartifacts"
"""Beside it, the folder of the files that go with it."""
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # MLflow's own defaults stop training for minutes at every call to a server that is away.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}


def locate(uri: str | None, runs_dir: Path) -> str:
    """The tracking URI: the one given, else ``MLFLOW_TRACKING_URI``, else the database in the folder of all runs."""
    return uri or os.environ.get("MLFLOW_TRACKING_URI") or f"{DATABASE}{runs_dir.absolute() / 'mlflow.db'}"


def database(uri: str) -> Path | None:
    """The file of a database; None if the URI is a server's."""
    return Path(uri.removeprefix(DATABASE)) if uri.startswith(DATABASE) else None


def make_database(uri: str) -> None:
    """Make the database of a URI unless it is there, once however many jobs of a sweep want it.

    MLflow takes seconds for that, and does not know how to go on with half a one. So it is made beside its place.
    """
    file = database(uri)
    if file is None or file.exists():
        return
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(file.with_name(file.name + ".lock")):
        if file.exists():
            return
        beside = file.with_name(file.name + ".tmp")
        for left in file.parent.glob(f"{beside.name}*"):  # by a kill, its journal too
            left.unlink()
        store = SqlAlchemyStore(f"{DATABASE}{beside}", (file.parent / ARTIFACTS).as_uri())
        store.engine.dispose()
        beside.rename(file)


def client(uri: str, give: str) -> "MlflowClient":
    """A client for reading.

    Args:
        uri: The tracking URI.
        give: How another one is given, for the error.

    Raises:
        InputError: if the URI is that of a database which is not there; MLflow would make one.
    """
    file = database(uri)
    if file is not None and not file.is_file():
        raise InputError(f"no MLflow database at {file}; give {give}, or set MLFLOW_TRACKING_URI")
    from mlflow.tracking import MlflowClient

    return MlflowClient(uri)


@contextmanager
def reached(uri: str, hint: str) -> Iterator[None]:
    """MLflow is loaded, with fewer words than it has; what it fails with inside becomes one line.

    Args:
        uri: The tracking URI, for that line.
        hint: What to mend.

    Raises:
        InputError: if MLflow cannot be used there.
    """
    for key, value in ENVIRONMENT.items():
        os.environ.setdefault(key, value)
    import mlflow  # noqa: F401 (it reads them)

    for name in ("mlflow", "alembic", "urllib3"):  # MLflow also logs whole tracebacks of what it raises
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # of MLflow, a database, a driver that is not installed, a plug-in: each its own
        full = "disk is full" in str(error)
        raise InputError(f"MLflow cannot be used at {uri}: {'make room' if full else hint} ({reason(error)})") from None


def reason(error: Exception) -> str:
    """What a store failed with, in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
