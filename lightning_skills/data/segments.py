"""Rows of transitions in immutable files of a fixed number each, which checkpoints share by hard links."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from safetensors.torch import load_file, save_file
from tensordict import TensorDict, TensorDictBase

SEGMENT = 4096


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
        name = f"segment_{first:09d}.safetensors"
        if previous is not None and first // SEGMENT not in changed:
            os.link(previous / name, folder / name)
            continue
        flat = rows(slice(first, min(first + SEGMENT, length))).flatten_keys("/")
        save_file({key: value.contiguous() for key, value in flat.items()}, folder / name)


def load(folder: Path) -> Iterator[TensorDict]:
    """The rows ``[n]`` of one segment after another, in their order."""
    for file in sorted(folder.glob("segment_*.safetensors")):
        flat = load_file(file)
        yield TensorDict(flat, batch_size=[len(next(iter(flat.values())))]).unflatten_keys("/")
