import csv
import math
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from lightning_skills.csv_file import FIRST_COLUMNS, CsvFile

HEAD = {"phase": "rl", "env_frames": 10, "updates": 1, "wall_s": 0.5}


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


class TestCsvFile:
    def test_floats_read_back_exactly(self, tmp_path):
        values = [0.1, math.pi * 1e-30, 1 / 3, -0.0, 1e308, 5e-324, float(np.float32(0.1)), math.inf]
        metrics = CsvFile(tmp_path / "metrics.csv", FIRST_COLUMNS)
        for value in values:
            metrics.append({**HEAD, "loss": value})
        metrics.append({**HEAD, "loss": np.float32(0.1)})
        metrics.append({**HEAD, "loss": torch.tensor(0.1)})
        metrics.append({**HEAD, "loss": math.nan})
        found = [float(row["loss"]) for row in read(tmp_path / "metrics.csv")]
        assert found[:-1] == [*values, np.float32(0.1), np.float32(0.1)]
        assert math.isnan(found[-1])

    def test_integers_stay_integers(self, tmp_path):
        metrics = CsvFile(tmp_path / "metrics.csv", FIRST_COLUMNS)
        metrics.append({**HEAD, "env_frames": np.int64(2**53 + 1)})
        assert read(tmp_path / "metrics.csv")[0]["env_frames"] == str(2**53 + 1)

    def test_first_columns_come_first_and_the_header_widens(self, tmp_path):
        path = tmp_path / "run" / "metrics.csv"
        metrics = CsvFile(path, FIRST_COLUMNS)
        metrics.append({"loss": 1.0, **HEAD})
        metrics.append({**HEAD, "phase": "r,l", "eval/return": 2.0})
        metrics.append(HEAD)
        assert path.read_text().splitlines() == [
            "phase,env_frames,updates,wall_s,loss,eval/return",
            "rl,10,1,0.5,1.0,",
            '"r,l",10,1,0.5,,2.0',
            "rl,10,1,0.5,,",
        ]
        assert metrics.rows == 3
        assert [item.name for item in path.parent.iterdir()] == ["metrics.csv"]

    def test_line_breaks_in_text_do_not_break_rows(self, tmp_path):
        metrics = CsvFile(tmp_path / "metrics.csv", FIRST_COLUMNS)
        metrics.append({**HEAD, "phase": "two\nlines"})
        assert read(tmp_path / "metrics.csv")[0]["phase"] == "two lines"
        assert CsvFile(tmp_path / "metrics.csv", FIRST_COLUMNS).rows == 1

    def test_goes_on_where_it_was(self, tmp_path):
        path = tmp_path / "metrics.csv"
        CsvFile(path, FIRST_COLUMNS).append({**HEAD, "a": 1.0})
        again = CsvFile(path, FIRST_COLUMNS)
        assert again.rows == 1
        again.append({**HEAD, "b": 2.0, "a": 3.0})
        assert [(row["a"], row["b"]) for row in read(path)] == [("1.0", ""), ("3.0", "2.0")]

    @pytest.mark.parametrize("half", ["rl,11", "rl,11,2,0.5,1.0"])
    def test_half_a_last_line_is_dropped(self, tmp_path, half):
        path = tmp_path / "metrics.csv"
        CsvFile(path, FIRST_COLUMNS).append({**HEAD, "loss": 1.0})
        whole = path.read_bytes()
        path.write_bytes(whole + half.encode())
        metrics = CsvFile(path, FIRST_COLUMNS)
        assert path.read_bytes() == whole
        assert metrics.rows == 1
        metrics.append({**HEAD, "loss": 2.0})
        assert [row["loss"] for row in read(path)] == ["1.0", "2.0"]

    def test_half_a_header_is_dropped(self, tmp_path):
        path = tmp_path / "metrics.csv"
        path.write_text("phase,env_fr")
        CsvFile(path, FIRST_COLUMNS).append(HEAD)
        assert read(path) == [{"phase": "rl", "env_frames": "10", "updates": "1", "wall_s": "0.5"}]

    def test_truncate(self, tmp_path, capsys):
        path = tmp_path / "metrics.csv"
        metrics = CsvFile(path, FIRST_COLUMNS)
        for loss in range(5):
            metrics.append({**HEAD, "loss": loss})
        metrics.truncate(3, "rl")
        metrics.append({**HEAD, "loss": 30})
        assert [row["loss"] for row in read(path)] == ["0", "1", "2", "30"]
        assert metrics.rows == CsvFile(path, FIRST_COLUMNS).rows == 4
        metrics.truncate(4, "rl")
        assert metrics.rows == 4
        assert not capsys.readouterr().err
        metrics.truncate(9, "rl")
        assert metrics.rows == 4
        assert "4 are left of 9" in capsys.readouterr().err
        metrics.truncate(0, "rl")
        assert read(path) == []
        assert metrics.rows == 0

    def test_rows_of_later_phases_stay(self, tmp_path):
        metrics = CsvFile(tmp_path / "metrics.csv", FIRST_COLUMNS)
        for phase, updates in (("skills", 1), ("skills", 2), ("skills", 3), ("rl", 1), ("rl", 2)):
            metrics.append({**HEAD, "phase": phase, "updates": updates})
        metrics.truncate(2, "skills")
        left = [(row["phase"], row["updates"]) for row in read(tmp_path / "metrics.csv")]
        assert left == [("skills", "1"), ("skills", "2"), ("rl", "1"), ("rl", "2")]
        assert metrics.rows == CsvFile(tmp_path / "metrics.csv", FIRST_COLUMNS).rows == 4

    def test_a_kill_while_the_header_widens_leaves_the_old_file(self, tmp_path, monkeypatch):
        path = tmp_path / "metrics.csv"
        metrics = CsvFile(path, FIRST_COLUMNS)
        metrics.append(HEAD)
        before = path.read_bytes()

        def killed(*_):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", killed)
            with pytest.raises(KeyboardInterrupt):
                metrics.append({**HEAD, "loss": 1.0})
        assert path.read_bytes() == before
        CsvFile(path, FIRST_COLUMNS).append({**HEAD, "loss": 2.0})
        assert [row["loss"] for row in read(path)] == ["", "2.0"]

    @pytest.mark.parametrize("columns", [1, 10_000])
    def test_a_kill_leaves_whole_rows(self, tmp_path, columns):
        """Killed while it appends rows and, with many columns, while it widens the header again and again."""
        path = tmp_path / "metrics.csv"
        child = os.fork()
        if child == 0:
            metrics = CsvFile(path, FIRST_COLUMNS)
            for index in range(10**9):
                metrics.append({**HEAD, "env_frames": index, f"metric{index % columns}": index / 7})
        while not path.exists() or path.read_bytes().count(b"\n") < 40:
            time.sleep(0.01)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        metrics = CsvFile(path, FIRST_COLUMNS)
        rows = read(path)
        assert metrics.rows == len(rows) > 20
        for index, row in enumerate(rows):
            assert row["env_frames"] == str(index)
            assert float(row[f"metric{index % columns}"]) == index / 7
            assert None not in row
