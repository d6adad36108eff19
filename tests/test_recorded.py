import json
from contextlib import contextmanager

import numpy as np
import pytest

from lightning_skills.errors import InputError
from lightning_skills.recorded import find_runs, read_metrics, series
from tests.recorded_runs import HEADER, write_run

EVALUATIONS = [(100, 1.0, 0.0), (200, 3.0, 1.0)]


def only(folder):
    (run,) = find_runs([folder])
    return run


def rewrite_summary(folder, **changes):
    path = folder / "summary.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_finished_run(tmp_path):
    folder = write_run(tmp_path, seed=3, evaluations=EVALUATIONS, final=(7.0, 0.5))
    run = only(folder)
    assert run.place == str(folder)
    assert (run.folder, run.method, run.task, run.name, run.seed) == (folder, "spirl", "maze-small20", "default", 3)
    assert run.options["method.rl.lr"] == 3e-4
    assert run.summary is not None
    assert run.summary["eval/return"] == 7.0
    np.testing.assert_array_equal(run.curve("rl", "eval/return"), [[100, 200], [1, 3]])


def test_runs_are_found_once_at_and_below_folders(tmp_path):
    for seed in (0, 1):
        write_run(tmp_path / "here", seed=seed)
    other = write_run(tmp_path / "there", "sac")
    (other / "checkpoints").mkdir()
    (other / "checkpoints" / "config.yaml").write_text((other / "config.yaml").read_text())
    found = find_runs([tmp_path / "here", tmp_path / "here" / "spirl" / "maze-small20" / ".." / "maze-small20", other])
    assert [run.folder.name for run in found] == ["seed0", "seed1", "seed0"]
    assert [run.method for run in found] == ["spirl", "spirl", "sac"]


def test_a_config_of_something_else_is_no_run_but_may_lie_above_one(tmp_path):
    (tmp_path / "config.yaml").write_text("method: {name: spirl}\n")
    (tmp_path / "list").mkdir()
    (tmp_path / "list" / "config.yaml").write_text("[1, 2]\n")
    folder = write_run(tmp_path / "runs")
    assert only(tmp_path).folder == folder


def test_no_run(tmp_path):
    (tmp_path / "empty").mkdir()
    write_run(tmp_path / "runs")
    with pytest.raises(InputError, match="empty or below"):
        find_runs([tmp_path / "runs", tmp_path / "empty"])
    with pytest.raises(InputError, match="away is no folder"):
        find_runs([tmp_path / "away"])


@pytest.mark.parametrize(("file", "content"), [("config.yaml", "method: ["), ("summary.json", "{")])
def test_a_damaged_run_is_named_in_one_line(tmp_path, file, content):
    folder = write_run(tmp_path)
    (folder / file).write_text(content)
    with pytest.raises(InputError, match="seed0") as error:
        find_runs([tmp_path])
    assert "\n" not in str(error.value)


def test_what_is_bad_may_be_skipped(tmp_path):
    said = []

    @contextmanager
    def skip():
        try:
            yield
        except InputError as error:
            said.append(str(error))

    good, damaged = write_run(tmp_path / "runs", seed=0), write_run(tmp_path / "runs", seed=1)
    alone = write_run(tmp_path / "alone")
    for folder in (damaged, alone):
        (folder / "config.yaml").write_text("method: [")
    found = find_runs([tmp_path / "away", tmp_path / "runs", alone], skip)
    assert [run.folder for run in found] == [good]
    assert len(said) == 3
    assert all(str(place) in text for place, text in zip((tmp_path / "away", damaged, alone), said, strict=True))


def test_a_summary_holds_if_the_run_stopped_there(tmp_path):
    folder = write_run(tmp_path, evaluations=EVALUATIONS, final=(7.0, 0.5))
    assert only(folder).summary is not None
    rewrite_summary(folder, phase="meta")  # another online phase comes after it
    assert only(folder).summary is None
    rewrite_summary(folder, phase="rl", updates=30)  # the phase is done again
    assert only(folder).summary is None
    rewrite_summary(folder, updates=20)
    assert only(folder).summary is not None


def test_a_run_that_is_being_written(tmp_path):
    folder = write_run(tmp_path, evaluations=EVALUATIONS)
    before = len(only(folder).rows)
    with (folder / "metrics.csv").open("a") as file:
        file.write("rl,300,2")
    assert len(only(folder).rows) == before
    (folder / "metrics.csv").unlink()
    assert only(folder).rows == []


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ("", "no rows yet"),
        ("skills,0,100,0.0,,,,,\n", "skills, 100 of 500 updates"),
        ("skills,0,500,0.0,,,,,\nrl,1200,7,0.0,,,,,\n", "rl, 1,200 of 4,000 env frames"),
        ("adapt,1200,7,0.0,,,,,\n", "adapt, 1,200 env frames"),
    ],
)
def test_progress(tmp_path, rows, text):
    folder = write_run(tmp_path)
    (folder / "metrics.csv").write_text(f"{HEADER}\n{rows}")
    assert only(folder).progress() == text


def test_curves_of_a_phase(tmp_path):
    folder = write_run(tmp_path)
    rows = "skills,0,9,0.0,5.0,,,,\nmeta,10,1,0.0,1.0,,,,\nmeta,20,2,0.0,2.0,,,,\nadapt,5,1,0.0,3.0,,,,\n"
    (folder / "metrics.csv").write_text(f"{HEADER}\n{rows}")
    run = only(folder)
    assert run.online_phases == ("meta", "adapt")
    np.testing.assert_array_equal(run.curve("meta", "critic_loss"), [[10, 20], [1, 2]])
    np.testing.assert_array_equal(run.curve("adapt", "critic_loss"), [[5], [3]])
    assert run.curve("adapt", "nothing").shape == (2, 0)


def test_rows_of_a_second_try_replace_those_of_the_first():
    rows = [{"n": str(n), "x": str(x)} for n, x in [(10, 1.0), (20, 2.0), (30, 3.0), (15, 4.0), (20, 5.0), (20, 6.0)]]
    np.testing.assert_array_equal(series(rows, "n", "x"), [[10, 15, 20], [1, 4, 6]])


def test_values_that_are_not_finite_are_left_out():
    rows = [{"n": "1", "x": "nan"}, {"n": "2", "x": "4"}, {"n": "3", "x": ""}, {"n": "4", "x": "-inf"}]
    np.testing.assert_array_equal(series(rows, "n", "x"), [[2], [4]])


def test_read_metrics_says_what_is_missing(tmp_path):
    path = tmp_path / "metrics.csv"
    with pytest.raises(InputError, match="is missing"):
        read_metrics(path)
    path.write_text(HEADER)
    with pytest.raises(InputError, match="no rows yet"):
        read_metrics(path)
