"""HDF5 files in the layout of D4RL as recordings.

Fu et al., D4RL: Datasets for Deep Data-Driven Reinforcement Learning (arXiv:2004.07219). One array per quantity holds
all steps end to end: ``observations`` ``[N, S]``, ``actions`` ``[N, A]``, ``rewards``, ``terminals`` and ``timeouts``
``[N]``, anything else below ``infos/``. Row ``t`` is a state, the action taken in it and what that step returned, as in
our format, so rows are taken over as they are.

Difference from D4RL's own reader: the rows after the last end are kept, as a trajectory that the record cut short.
"""

import hashlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lightning_skills.data.importing import ImportOptions, Recording, check_vectors, column, one_line
from lightning_skills.data.trajectories import Trajectory
from lightning_skills.errors import InputError

FLAGS = {"terminals": "terminated", "timeouts": "truncated"}


def read(path: Path, options: ImportOptions) -> Recording:
    """The trajectories of a file, split after every row that ``terminals`` or ``timeouts`` marks.

    Args:
        path: The file.
        options: ``observation`` names arrays of the file (default ``observations``); with ``horizon`` a trajectory
            ends after that many rows too.

    Raises:
        InputError: if the file is missing or damaged, an array is missing or mis-shaped, there are no rows, or nothing
            tells where trajectories end.
    """
    import h5py

    name = f"file {path}"
    if not path.is_file():
        raise InputError(f"no file {path}; for a Minari data set write minari:ID")
    with one_line(f"{name} is no HDF5 file, or damaged"), path.open("rb") as raw, h5py.File(path, "r") as file:
        digest = hashlib.file_digest(raw, "sha256").hexdigest()
        steps = _steps(name, file, options.observation or ("observations",))
    bounds = _bounds(name, steps, options.horizon)
    recipe = {"source": "d4rl", "id": path.name, "digest": digest}
    return Recording(name, recipe, len(bounds) - 1, _split(steps, bounds))


def _steps(name: str, file: Any, observation: tuple[str, ...]) -> dict[str, np.ndarray]:
    """All rows in our keys, each ``[N, ...]``."""
    first, *others = (_matrix(name, file, key) for key in (*observation, "actions"))
    rows = len(first)
    if not rows:
        raise InputError(f"{name} is empty: {observation[0]} has no rows")
    for key, array in zip((*observation[1:], "actions"), others, strict=True):
        if len(array) != rows:
            raise InputError(f"{name}: {key} has {len(array)} rows, {observation[0]} has {rows}")
    steps = {"observation": np.concatenate([first, *others[:-1]], axis=1), "action": others[-1]}
    if "rewards" in file:
        steps["reward"] = column(name, "rewards", file["rewards"], rows)
    for theirs, ours in FLAGS.items():
        if theirs in file:
            steps[ours] = column(name, theirs, file[theirs], rows).astype(bool)
    return steps


def _matrix(name: str, file: Any, key: str) -> np.ndarray:
    if key not in file:
        raise InputError(f"{name} lacks {key!r}; it has {', '.join(sorted(file))}")
    check_vectors(name, key, file[key])
    return file[key][()]


def _bounds(name: str, steps: dict[str, np.ndarray], horizon: int | None) -> np.ndarray:
    """First rows of the trajectories and, last, the number of rows: ``[M + 1]``."""
    rows = len(steps["observation"])
    ends = np.zeros(rows, dtype=bool)
    for key in FLAGS.values():
        ends |= steps.get(key, False)
    if not ends.any() and horizon is None:
        raise InputError(
            f"{name}: neither terminals nor timeouts mark the end of a trajectory; "
            f"give horizon=ROWS, the rows of each (horizon={rows} if all is one trajectory)"
        )
    marked = np.unique([0, *(np.flatnonzero(ends) + 1), rows])
    if horizon is None:
        return marked
    starts = [np.arange(first, last, horizon) for first, last in itertools.pairwise(marked)]
    return np.append(np.concatenate(starts), rows)


def _split(steps: dict[str, np.ndarray], bounds: np.ndarray) -> Iterator[Trajectory]:
    for first, last in itertools.pairwise(bounds):
        yield {key: array[first:last] for key, array in steps.items()}
