"""Files of a run: written whole, or not at all; read so that what is damaged is one line.

What is written is written beside its place, forced to disk and renamed, so that a kill, a full disk or a power cut
leaves the old file or the new one. Of a folder that takes the place of another, the old one is gone first.
"""

import csv
import errno
import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import BadZipFile

from safetensors import SafetensorError
from yaml import YAMLError

from lightning_skills.errors import InputError

DAMAGED = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    EOFError,
    OSError,
    RuntimeError,
    BadZipFile,
    SafetensorError,
    UnpicklingError,
    csv.Error,
    YAMLError,
)
"""What reading a file that is not as it was written may raise."""
NOT_OF_THE_FILE = {errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM}
"""What keeps a file that may be whole from being read."""
TEXT_COLUMN = "phase"
"""The only column of a table whose cells are not numbers."""


class DamagedError(InputError):
    """A file is not there, or not as it was written; who knows what to do about it says so by :func:`advised`."""


@contextmanager
def reading(file: object) -> Iterator[None]:
    """What goes wrong inside, where a file is read, is said of that file.

    Raises:
        DamagedError: names the file; another InputError if there is no right or no room to read it.
    """
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        raise DamagedError(f"{file} is missing") from None
    except DAMAGED as error:
        if isinstance(error, OSError) and error.errno in NOT_OF_THE_FILE:
            raise InputError(f"cannot read {file}: {in_short(error)}") from None
        raise DamagedError(f"{file} is damaged ({in_short(error)})") from None


@contextmanager
def advised(advice: str) -> Iterator[None]:
    """Adds to whatever is said of a damaged file inside what to do about it.

    Raises:
        InputError: instead of a :class:`DamagedError`.
    """
    try:
        yield
    except DamagedError as error:
        raise InputError(f"{error}; {advice}") from None


@contextmanager
def writing(what: object) -> Iterator[None]:
    """What goes wrong inside, where something is written, is one line.

    Raises:
        InputError: the disk is full or read-only, say.
    """
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise InputError(f"cannot write {what}: {in_short(error)}") from None


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Where to write what is to be ``path``, a file or a folder; it is put there at the end, whole and on disk.

    It takes the place of what was there.

    Raises:
        InputError: if it cannot be written; nothing is left, and what was there before stays.
    """
    beside = path.with_name(path.name + ".tmp")
    with writing(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _remove(beside)
            yield beside
            flush(beside)
            if path.is_dir():
                shutil.rmtree(path)
            beside.replace(path)
            flush_one(path.parent)
        except BaseException:
            _remove(beside)
            raise


def write(path: Path, content: bytes | str) -> None:
    """Give a file this content.

    Raises:
        InputError: as :func:`whole`.
    """
    with whole(path) as beside:
        beside.write_bytes(content.encode() if isinstance(content, str) else content)


def flush(path: Path) -> None:
    """Force a file, or a folder with all that is in it, to disk; what is linked from elsewhere is there."""
    for each in [path, *path.rglob("*")]:
        if not (each.is_file() and each.stat().st_nlink > 1):
            flush_one(each)


def flush_one(path: Path) -> None:
    """Force a file, or the names in a folder, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def link(file: Path, path: Path) -> None:
    """Give a file a second place; where the file system knows no hard links, or no more of them, as a copy."""
    try:
        os.link(file, path)
    except OSError:
        shutil.copyfile(file, path)


def read_json(file: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        DamagedError: if there is none.
    """
    with reading(file):
        content = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise TypeError("it holds no object")
    return content


def read_rows(file: Path, first: Sequence[str] = ()) -> list[dict[str, str]]:
    """The rows of a CSV file, none if there is no file; what comes after the last line end is not written yet.

    Args:
        file: All cells but those of the phase are numbers, or empty.
        first: Columns that it has, with numbers in every row.

    Raises:
        DamagedError: if it is not such a table.
    """
    if not file.is_file():
        return []
    with reading(file):
        content = file.read_bytes()
        lines = content[: content.rfind(b"\n") + 1].decode().split("\n")[:-1]
        table = csv.reader(lines, strict=True)
        columns = next(table, [*first])
        if missing := [column for column in first if column not in columns]:
            raise ValueError(f"it has no column {missing[0]}")
        return [_row(columns, cells, line, first) for line, cells in enumerate(table, 2)]


def _row(columns: Sequence[str], cells: Sequence[str], line: int, first: Sequence[str]) -> dict[str, str]:
    if len(cells) != len(columns):
        raise ValueError(f"line {line} has {len(cells)} cells for {len(columns)} columns")
    row = dict(zip(columns, cells, strict=True))
    for column, cell in row.items():
        if column != TEXT_COLUMN and (cell or column in first) and not _is_number(cell):
            raise ValueError(f"line {line}: {column} is no number")
    return row


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def in_short(error: BaseException) -> str:
    """The reason in a few words, on one line."""
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    if re.fullmatch(r"\d+ requested and \d+ written", said):
        said = f"no room is left: {said}"  # numpy's words where a disk is full
    return " ".join((said or type(error).__name__).split("\n")[0].split())[:120]
