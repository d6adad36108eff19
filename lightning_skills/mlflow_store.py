"""Where MLflow keeps runs and how it is reached: what those who write runs there and those who read them share."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lightning_skills.errors import InputError

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

RUNS_DIR = Path("runs")
"""Where the database is unless told otherwise, as for ``train.py``."""
DATABASE = "sqlite:///"
"""What the tracking URI of a database file begins with."""
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
    import sqlalchemy.exc
    from mlflow.exceptions import MlflowException

    for name in ("mlflow", "alembic", "urllib3"):
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        yield
    except (MlflowException, sqlalchemy.exc.SQLAlchemyError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"MLflow cannot be used at {uri}: {hint} ({reason})") from None
