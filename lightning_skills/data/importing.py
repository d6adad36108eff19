"""Trajectories that were recorded elsewhere: what their readers hand over, checked and written in our format."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lightning_skills.data import trajectories
from lightning_skills.data.trajectories import Dataset, Trajectory
from lightning_skills.errors import InputError
from lightning_skills.words import read_options


@dataclass(frozen=True)
class ImportOptions:
    """What the user says about a source.

    Args:
        observation: Which of the source's arrays, side by side, become ours; empty takes the usual one.
        columns: Ranges of these arrays' columns that are kept, in this order, each from its first to before its last;
            empty keeps all.
        horizon: A trajectory ends after this many rows, if nothing has ended it before.
        action_scale: Actions are divided by it.
    """

    observation: tuple[str, ...] = ()
    columns: tuple[tuple[int, int], ...] = ()
    horizon: int | None = None
    action_scale: float = 1.0


@dataclass(frozen=True)
class Recording:
    """An opened source.

    Args:
        name: What messages call it.
        recipe: Where the data are from; goes into ``dataset.json``.
        total: Number of trajectories.
        trajectories: The trajectories in our keys, read one by one.
    """

    name: str
    recipe: Mapping[str, Any]
    total: int
    trajectories: Iterable[Trajectory]


def parse(words: Sequence[str]) -> ImportOptions:
    """Options from ``key=value`` words.

    Raises:
        InputError: if an option is unknown or its value cannot be read.
    """
    read: dict[str, Any] = {}
    for key, value in read_options(words, READERS).items():
        try:
            read[key] = READERS[key](value)
        except ValueError:
            kind = "ranges such as 0:9,18:39" if key == "columns" else "a number"
            raise InputError(f"option {key!r} must be {kind}, not {value!r}") from None
        if key in ("horizon", "action_scale") and not 0 < read[key] < np.inf:
            raise InputError(f"option {key!r} must be above 0 and finite, not {value}")
    return ImportOptions(**read)


def _keys(value: str) -> tuple[str, ...]:
    return tuple(filter(None, value.split(",")))


def _ranges(value: str) -> tuple[tuple[int, int], ...]:
    ranges = []
    for word in value.split(","):
        first, last = map(int, word.split(":"))
        if not 0 <= first < last:
            raise ValueError
        ranges.append((first, last))
    return tuple(ranges)


READERS: Mapping[str, Callable[[str], Any]] = {
    "observation": _keys,
    "columns": _ranges,
    "horizon": int,
    "action_scale": float,
}
"""The options, and what makes their values of words."""


@contextmanager
def one_line(what: str) -> Iterator[None]:
    """Turn whatever is raised into an InputError: other libraries raise many types on a damaged file."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{what} ({type(error).__name__}: {' '.join(str(error).split())})") from None


def check_vectors(name: str, key: str, array: Any) -> None:
    """Raise InputError unless the array (anything with dtype and shape) holds a vector of floats per row."""
    dtype, shape = getattr(array, "dtype", None), getattr(array, "shape", None)
    if dtype is None or not np.issubdtype(dtype, np.floating) or len(shape or ()) != 2:
        held = type(array).__name__ if dtype is None else f"{dtype} {list(shape or ())}"
        raise InputError(f"{name}: {key} must be a float matrix, one vector per row, not {held}")


def column(name: str, key: str, array: Any, rows: int) -> np.ndarray:
    """A number per row, ``[rows]``; some writers store ``[rows, 1]``. Raises InputError for anything else."""
    array = np.asarray(array)
    if array.dtype.kind not in "fiub" or array.size != rows:
        raise InputError(
            f"{name}: {key} must be one number for each of {rows} rows, not {array.dtype} {[*array.shape]}"
        )
    return array.reshape(rows)


def save(recording: Recording, path: Path, options: ImportOptions) -> Dataset:
    """Write a recording as a data set; the folder ``path`` appears whole or not at all.

    Args:
        recording: What to write.
        path: The new folder.
        options: How it was read; kept in the recipe.

    Raises:
        InputError: if a value is not finite, actions leave [-1, 1], trajectories differ in width, there are none, or
            the folder exists or cannot be written; or ``columns`` go beyond the observations.
    """
    from tqdm import tqdm

    # disable=None: a bar in a terminal only.
    pieces = tqdm(recording.trajectories, "import", recording.total, unit=" trajectories", disable=None, leave=False)
    recipe = {**recording.recipe, **asdict(options)}
    chosen = (_columns(recording.name, piece, options.columns) for piece in pieces)
    return trajectories.write(path, recipe, _checked(recording.name, chosen, options.action_scale))


def _columns(name: str, piece: Trajectory, ranges: Sequence[tuple[int, int]]) -> Trajectory:
    if not ranges:
        return piece
    states = piece["observation"]
    width, last = states.shape[1], max(last for _, last in ranges)
    if last > width:
        raise InputError(f"{name}: columns end at {last}, and observations have {width}")
    return {**piece, "observation": np.concatenate([states[:, slice(*ends)] for ends in ranges], axis=1)}


def _checked(name: str, pieces: Iterable[Trajectory], action_scale: float) -> Iterator[Trajectory]:
    low = high = 0.0
    widths: dict[str, tuple[int, ...]] = {}
    for index, piece in enumerate(pieces):
        for key, array in piece.items():
            row = trajectories.first_not_finite(array)
            if row is not None:
                raise InputError(f"{name}: {key} is not finite at row {row} of trajectory {index}")
            if widths.setdefault(key, array.shape[1:]) != array.shape[1:]:
                raise InputError(
                    f"{name}: {key} has width {list(array.shape[1:])} in trajectory {index}, {list(widths[key])} before"
                )
        low, high = min(low, float(piece["action"].min())), max(high, float(piece["action"].max()))
        yield {**piece, "action": piece["action"] / action_scale}
    # Only now is the whole range known; the trajectories are in memory, and nothing has been written.
    bound = max(-low, high)
    if bound > action_scale * (1 + trajectories.TOLERANCE):
        raise InputError(
            f"{name}: actions lie in [{low:.6g}, {high:.6g}], beyond [-{action_scale:g}, {action_scale:g}]; "
            f"action_scale=NUMBER divides them: give the largest action that the env takes, {bound:.6g} or more"
        )
