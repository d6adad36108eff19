"""Rows of transitions in immutable files of a fixed number each, which checkpoints share by hard links.

Beside them lies what they hold together, so that a file that is missing or another one is noticed.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from tensordict import TensorDict, TensorDictBase
from torch import Tensor

from lightning_skills.files import DamagedError, link, read_json, reading

SEGMENT = 4096
CONTENTS = "segments.json"


def save(
    folder: Path, previous: Path | None, length: int, changed: set[int], rows: Callable[[slice], TensorDictBase]
) -> None:
    """Write rows in segments; those unchanged since an earlier :func:`save` are hard-linked from there.

    Args:
        folder: New folder.
        previous: Folder of the earlier one.
        length: How many rows there are.
        changed: Which segments have been written to since, or did not exist.
        rows: Gives some of the rows.
    """
    folder.mkdir(parents=True)
    for first in range(0, length, SEGMENT):
        file = _file(folder, first)
        if previous is not None and first // SEGMENT not in changed:
            link(previous / file.name, file)
            continue
        flat = rows(slice(first, min(first + SEGMENT, length))).flatten_keys("/")
        save_file({key: value.contiguous() for key, value in flat.items()}, file)
    columns = _columns(dict(rows(slice(0, 1)).flatten_keys("/").items())) if length else {}
    (folder / CONTENTS).write_text(json.dumps({"rows": length, "columns": columns}))


def load(folder: Path, length: int | None = None) -> Iterator[TensorDict]:
    """The rows ``[n]`` of one segment after another, in their order.

    Args:
        folder: Written by :func:`save`.
        length: How many rows there must be, if that is known.

    Raises:
        DamagedError: if a file is missing, cannot be read or holds something else.
    """
    contents = read_json(folder / CONTENTS)
    with reading(folder / CONTENTS):
        there, columns = int(contents["rows"]), dict(contents["columns"])
    if length not in (None, there):
        raise DamagedError(f"{folder} is damaged (it holds {there} transitions of {length})")
    for first in range(0, there, SEGMENT):
        file, rows = _file(folder, first), min(SEGMENT, there - first)
        with reading(file):
            flat = load_file(file)
            if _columns(flat) != columns:
                raise ValueError("it holds other columns than its neighbours")
            if wrong := [key for key, value in flat.items() if len(value) != rows]:
                raise ValueError(f"{wrong[0]} has {len(flat[wrong[0]])} rows, not {rows}")
        yield TensorDict(flat, batch_size=[rows]).unflatten_keys("/")


def _file(folder: Path, first: int) -> Path:
    return folder / f"segment_{first:09d}.safetensors"


def _columns(flat: Mapping[str, Tensor]) -> dict[str, list[Any]]:
    """Type and shape of a row, by key."""
    return {key: [str(value.dtype), *value.shape[1:]] for key, value in flat.items()}
