"""The one on-disk format of offline data, and the cache that makes a data set once.

A data set is a folder: ``dataset.json`` and one ``.npy`` per key. Step keys hold all trajectories end to end,
``[N, ...]``; row ``t`` of a trajectory is the state ``s_t`` and the action taken there, and the last row's action is
never trained on.
``lengths.npy`` has the rows of each trajectory; keys that start with ``episode/`` hold one row per trajectory.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from lightning_skills.errors import InputError
from lightning_skills.files import advised, read_json, reading, whole

FORMAT = 1
MANIFEST = "dataset.json"
AGAIN = "generate or copy the data set again, after deleting it"
EPISODE = "episode/"
TOLERANCE = 1e-6
"""By so much may actions leave [-1, 1]."""
Trajectory = Mapping[str, np.ndarray]
Summarise = Callable[[Mapping[str, np.ndarray]], Mapping[str, Any]]


def file_name(key: str) -> str:
    """The file that holds a key."""
    return key.replace("/", ".") + ".npy"


@dataclass(frozen=True)
class Dataset:
    """A data set on disk, memory-mapped.

    Args:
        path: Its folder.
        recipe: What determined the data.
        digest: SHA-256 over the contents of all arrays.
        lengths: Rows of each trajectory ``[M]``.
        steps: Step keys ``[N, ...]``; ``observation`` and ``action`` are always there.
        episodes: Per-trajectory keys ``[M, ...]``.
        summary: What is told of how they came out, as JSON values.
    """

    path: Path
    recipe: Mapping[str, Any]
    digest: str
    lengths: np.ndarray
    steps: Mapping[str, np.ndarray]
    episodes: Mapping[str, np.ndarray]
    summary: Mapping[str, Any] = field(default_factory=dict)

    @property
    def starts(self) -> np.ndarray:
        """First row of each trajectory ``[M]``."""
        return np.concatenate(([0], np.cumsum(self.lengths)[:-1]))


def content_digest(arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 over names, types, shapes and bytes."""
    digest = hashlib.sha256()
    for key in sorted(arrays):
        array = np.ascontiguousarray(arrays[key])
        digest.update(f"{key} {array.dtype.str} {array.shape}".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def write(
    path: Path, recipe: Mapping[str, Any], trajectories: Iterable[Trajectory], summarise: Summarise | None = None
) -> Dataset:
    """Write a data set; the folder ``path`` appears whole or not at all.

    Args:
        path: The folder.
        recipe: What determined the data.
        trajectories: Each with the same keys.
        summarise: What to tell of all arrays, by key.

    Raises:
        InputError: if there is no trajectory or they are mis-shaped, ``path`` exists, or the disk is full or not
            writable.
    """
    if path.exists():
        raise InputError(f"{path} exists already; give the data set another place")
    pieces = list(trajectories)
    if not pieces:
        raise InputError(f"no trajectory to write to {path}")
    if any(piece.keys() != pieces[0].keys() for piece in pieces):
        raise InputError(f"data set {path}: trajectories differ in their keys")
    try:
        arrays = {
            key: np.stack([piece[key] for piece in pieces])
            if key.startswith(EPISODE)
            else np.concatenate([piece[key] for piece in pieces])
            for key in pieces[0]
        }
    except ValueError as error:
        raise InputError(f"data set {path}: trajectories differ in their shapes: {error}") from None
    arrays["lengths"] = np.array([len(piece.get("observation", ())) for piece in pieces], dtype=np.int64)
    _split(path, arrays)
    with whole(path) as beside:
        beside.mkdir()
        for key, array in arrays.items():
            np.save(beside / file_name(key), array)
        description = {"format": FORMAT, "recipe": recipe, "digest": content_digest(arrays), "keys": sorted(arrays)}
        if summarise:
            description["summary"] = summarise(arrays)
        (beside / MANIFEST).write_text(json.dumps(description, indent=2))
    return load(path)


def load(path: Path) -> Dataset:
    """Open a data set and check that it is whole and well-shaped.

    Raises:
        InputError: if it is missing, truncated, mis-shaped or of another format.
    """
    if not (path / MANIFEST).exists():
        raise InputError(f"no data set at {path}: it is no folder with a {MANIFEST}")
    with advised(AGAIN):
        description = read_json(path / MANIFEST)
        if description.get("format") != FORMAT:
            raise InputError(f"data set {path}: {MANIFEST} is not of format {FORMAT}")
        with reading(path / MANIFEST):
            keys, digest = [str(key) for key in description["keys"]], str(description["digest"])
            recipe, summary = dict(description["recipe"]), dict(description.get("summary", {}))
        arrays = {key: _open(path, key) for key in keys}
    return Dataset(path, recipe, digest, *_split(path, arrays), summary)


def _open(path: Path, key: str) -> np.ndarray:
    file = path / file_name(key)
    with reading(file):
        array = np.load(file, mmap_mode="r", allow_pickle=False)
        if not array.ndim:
            raise ValueError("it holds a single number")
    return array


def _split(path: Path, arrays: Mapping[str, np.ndarray]) -> tuple[np.ndarray, Trajectory, Trajectory]:
    """Lengths, step keys and per-trajectory keys; raises InputError if one is missing or mis-shaped."""
    missing = {"observation", "action", "lengths"} - arrays.keys()
    if missing:
        raise InputError(f"data set {path} lacks {', '.join(sorted(missing))}")
    lengths = np.asarray(arrays["lengths"])
    episodes = {key: array for key, array in arrays.items() if key.startswith(EPISODE)}
    steps = {key: array for key, array in arrays.items() if key not in episodes and key != "lengths"}
    _check_shapes(path, lengths, steps, episodes)
    return lengths, steps, episodes


def _check_shapes(
    path: Path, lengths: np.ndarray, steps: Mapping[str, np.ndarray], episodes: Mapping[str, np.ndarray]
) -> None:
    if lengths.ndim != 1 or not len(lengths) or lengths.dtype.kind not in "iu" or (lengths < 1).any():
        raise InputError(f"data set {path}: lengths must be a vector of positive numbers")
    rows = int(lengths.sum())
    for key, array in steps.items():
        if len(array) != rows:
            raise InputError(f"data set {path}: {key} has {len(array)} rows, lengths add up to {rows}")
    for key, array in episodes.items():
        if len(array) != len(lengths):
            raise InputError(f"data set {path}: {key} has {len(array)} rows for {len(lengths)} trajectories")
    for key in ("observation", "action"):
        if steps[key].ndim != 2 or not np.issubdtype(steps[key].dtype, np.floating):
            raise InputError(
                f"data set {path}: {key} must be a float matrix, not {steps[key].dtype} {steps[key].shape}"
            )


def first_not_finite(array: np.ndarray) -> int | None:
    """The first row of an array ``[N, ...]`` with a number that is not finite as float32 (networks' type), if any."""
    if not np.issubdtype(array.dtype, np.floating):
        return None
    with np.errstate(over="ignore"):
        array = array.astype(np.float32, copy=False)
    if np.isfinite(array).all():
        return None
    return int(np.flatnonzero(~np.isfinite(array).reshape(len(array), -1).all(axis=1))[0])


def validate(dataset: Dataset) -> None:
    """Read every value.

    Raises:
        InputError: if a value is not finite, an action lies outside [-1, 1], or the contents do not match the digest.
    """
    for key, array in {**dataset.steps, **dataset.episodes}.items():
        row = first_not_finite(array)
        if row is not None:
            raise InputError(f"data set {dataset.path}: {key} is not finite at row {row}")
    if np.abs(dataset.steps["action"]).max() > 1 + TOLERANCE:
        raise InputError(f"data set {dataset.path}: actions leave [-1, 1]; rescale them")
    if content_digest({**dataset.steps, **dataset.episodes, "lengths": dataset.lengths}) != dataset.digest:
        raise InputError(f"data set {dataset.path}: contents do not match the digest; generate or copy it again")


def describe(dataset: Dataset) -> list[tuple[str, str]]:
    """What is in it, as rows of a two-column table."""
    lengths = dataset.lengths
    rows = [
        ("path", str(dataset.path)),
        ("digest", dataset.digest[:16]),
        ("trajectories", f"{len(lengths)}"),
        ("rows", f"{lengths.sum()}"),
        ("rows per trajectory", f"{lengths.min()} to {lengths.max()}, mean {lengths.mean():.1f}"),
    ]
    rows += [(f"recipe: {key}", json.dumps(value)) for key, value in dataset.recipe.items()]
    rows += [(f"summary: {key}", json.dumps(value)) for key, value in dataset.summary.items()]
    for key, array in {**dataset.steps, **dataset.episodes}.items():
        span = f", {array.min():.3g} to {array.max():.3g}" if np.issubdtype(array.dtype, np.number) else ""
        rows.append((key, f"{array.dtype} {list(array.shape)}{span}"))
    return rows


def cache_path(data_dir: Path, env: str, recipe: Mapping[str, Any]) -> Path:
    """Where the data set of a recipe is kept."""
    digest = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:12]
    return data_dir / env / digest


def cached(
    data_dir: Path,
    env: str,
    recipe: Mapping[str, Any],
    generate: Callable[[], Iterable[Trajectory]],
    summarise: Summarise | None = None,
) -> Dataset:
    """The data set of a recipe, generated on first use; a second process waits for the first.

    Raises:
        InputError: if it cannot be written, or what is there is damaged.
    """
    path = cache_path(data_dir, env, recipe)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_suffix(".lock"))
        with lock:
            return load(path) if (path / MANIFEST).exists() else write(path, recipe, generate(), summarise)
    except OSError as error:
        raise InputError(f"cannot use the data folder {data_dir}: {error.strerror or error}") from None
