"""Tables of a run that grow row by row and lose nothing: ``metrics.csv`` and ``episodes.csv``."""

import csv
import io
import os
import sys
from collections.abc import Mapping, Sequence
from numbers import Integral
from pathlib import Path

Cell = float | int | str

METRICS = "metrics.csv"
FIRST_COLUMNS = ("phase", "env_frames", "updates", "wall_s")


class CsvFile:
    """A table that grows row by row, such as the metrics of all phases of a run.

    Columns grow when a row brings new ones. Every row is handed to the operating system before ``append`` returns, and
    opening the file drops a last line that a killed process left unfinished.

    Args:
        path: The file; made with the first row.
        first: Columns that come before all others.

    Attributes:
        rows: Data rows on disk.
    """

    def __init__(self, path: Path, first: Sequence[str]) -> None:
        self._path, self._first = path, first
        content = path.read_bytes() if path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            os.truncate(path, len(whole))
        lines = whole.decode().splitlines()
        self._columns = next(csv.reader(lines[:1]), [])
        self.rows = max(len(lines) - 1, 0)

    def append(self, row: Mapping[str, Cell]) -> None:
        """Add a row; columns it does not name stay empty. Floats read back exactly."""
        new = [key for key in (*self._first, *row) if key not in self._columns]
        if new:
            self._widen([*self._columns, *dict.fromkeys(new)])
        line = _csv_line([_cell(row.get(key, "")) for key in self._columns])
        with self._path.open("ab", buffering=0) as file:
            file.write(line)
        self.rows += 1

    def truncate(self, rows: int) -> None:
        """Drop the rows after the first ``rows``, those that a resumed run is about to write again."""
        if rows > self.rows:
            print(f"{self._path} lost rows: {self.rows} are left of {rows}", file=sys.stderr)
        if rows >= self.rows:
            return
        lines = self._path.read_bytes().splitlines(keepends=True)
        os.truncate(self._path, sum(map(len, lines[: rows + 1])))
        self.rows = rows

    def _widen(self, columns: list[str]) -> None:
        lines = self._path.read_text().splitlines() if self.rows else []
        content = _csv_line(columns) + b"".join(
            _csv_line([*cells, *[""] * (len(columns) - len(cells))]) for cells in csv.reader(lines[1:])
        )
        replace(self._path, content)
        self._columns = columns


def _cell(value: Cell) -> str:
    if isinstance(value, str):
        return " ".join(value.splitlines())
    return str(int(value)) if isinstance(value, Integral) else repr(float(value))


def _csv_line(cells: list[str]) -> bytes:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue().encode()


def read_rows(path: Path) -> list[dict[str, str]]:
    """Rows up to the last line end: what comes after it is not written yet. None if there is no such file."""
    text = path.read_text() if path.is_file() else ""
    return list(csv.DictReader(text[: text.rfind("\n") + 1].splitlines()))


def replace(path: Path, content: bytes) -> None:
    """Give ``path`` new content; a kill leaves the old or the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".tmp")
    beside.write_bytes(content)
    beside.replace(path)
