"""Tables of a run that grow row by row and lose nothing: ``metrics.csv`` and ``episodes.csv``."""

import csv
import io
import os
import sys
from collections.abc import Mapping, Sequence
from itertools import compress
from numbers import Integral
from pathlib import Path

from lightning_skills import files

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

    Raises:
        InputError: if the file is damaged.

    Attributes:
        rows: Data rows on disk.
    """

    def __init__(self, path: Path, first: Sequence[str]) -> None:
        self._path, self._first = path, first
        self.rows = len(self.read())
        content = path.read_bytes() if path.exists() else b""
        ended = content.rfind(b"\n") + 1
        if ended < len(content):
            os.truncate(path, ended)
        self._columns = next(csv.reader([content[:ended].partition(b"\n")[0].decode()]), [])

    def append(self, row: Mapping[str, Cell]) -> None:
        """Add a row; columns it does not name stay empty. Floats read back exactly.

        Raises:
            InputError: if it cannot be written; the rows before it are whole.
        """
        new = [key for key in (*self._first, *row) if key not in self._columns]
        if new:
            self._widen([*self._columns, *dict.fromkeys(new)])
        self._add(_csv_line([_cell(row.get(key, "")) for key in self._columns]))
        self.rows += 1

    def _add(self, line: bytes) -> None:
        with files.writing(self._path), self._path.open("ab", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            try:
                while line:  # a disk that is almost full takes a part
                    line = line[file.write(line) :]
            except OSError:
                file.truncate(size)
                raise

    def read(self) -> list[dict[str, str]]:
        """All rows; cells that a row does not name are empty.

        Raises:
            InputError: if the file is damaged.
        """
        with files.advised("put a whole copy there, or delete it to go on without the rows so far"):
            return files.read_rows(self._path, self._first)

    def truncate(self, rows: int, phase: str) -> None:
        """Drop the rows of a phase after the first ``rows`` of all, which it is about to write again.

        Those of the phases after it stay: they are there if it ended before, and only hands on anew what was lost.

        Raises:
            InputError: if it cannot be written.
        """
        if rows > self.rows:
            print(f"{self._path} lost rows: {self.rows} are left of {rows}", file=sys.stderr)
        if rows >= self.rows:
            return
        head, *lines = self._path.read_bytes().splitlines(keepends=True)
        kept = [index < rows or row["phase"] != phase for index, row in enumerate(self.read())]
        files.write(self._path, head + b"".join(compress(lines, kept)))
        self.rows = sum(kept)

    def _widen(self, columns: list[str]) -> None:
        lines = [[row.get(column, "") for column in columns] for row in self.read()]
        files.write(self._path, b"".join(map(_csv_line, [columns, *lines])))
        self._columns = columns


def _cell(value: Cell) -> str:
    if isinstance(value, str):
        return " ".join(value.splitlines())
    return str(int(value)) if isinstance(value, Integral) else repr(float(value))


def _csv_line(cells: list[str]) -> bytes:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue().encode()
