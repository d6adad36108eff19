import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_hex
from PIL import Image

from lightning_skills import __main__ as cli
from lightning_skills import comparison, recorded
from lightning_skills.comparison import draw
from lightning_skills.evaluation.statistics import describe_curves
from lightning_skills.groups import group_runs
from lightning_skills.recorded import align, find_runs
from lightning_skills.report import new_figure
from tests.logged_runs import log_run
from tests.recorded_runs import HEADER, write_run

ROOT = Path(__file__).parent.parent
FILES = ["curves.png", "curves.svg", "report.html", "table.csv", "table.md"]


def groups(root):
    return group_runs(find_runs([root]))


@pytest.fixture
def drawn(tmp_path):
    """Draws the runs below ``tmp_path``; returns panels as ``{(task, title): axes}`` and the figure."""

    def make(keys):
        with new_figure(8, 6, tmp_path / "out" / "x.png") as figure:
            draw(figure, groups(tmp_path), keys)
            figure.draw_without_rendering()
        blocks = {block._suptitle.get_text(): block for block in figure.subfigs}
        return {(task, axes.get_title("left")): axes for task, block in blocks.items() for axes in block.axes}, figure

    return make


def lines(axes, bold):
    """Data of the bold or of the thin lines, ``[x, y]`` by colour."""
    chosen = [line for line in axes.lines if (line.get_linewidth() > 1) == bold]
    return [(to_hex(line.get_color()), np.array(line.get_data()).tolist()) for line in chosen]


def test_align_by_hand():
    frames, values = align([np.array([[0.0, 10, 20], [0, 10, 0]]), np.array([[5.0, 15, 40], [1, 3, 8]])])
    assert frames.tolist() == [5, 10, 15, 20]
    np.testing.assert_allclose(values, [[5, 10, 5, 0], [1, 2, 3, 4]])


def test_align_does_not_extrapolate():
    frames, values = align([np.array([[0.0, 10], [0, 1]]), np.array([[20.0, 30], [0, 1]])])
    assert frames.shape == (0,)
    assert values.shape == (2, 0)


def test_align_thins_long_curves_and_keeps_their_ends():
    curve = np.stack([np.arange(1000.0), np.arange(1000.0) * 2])
    frames, values = align([curve, curve + 0.5])
    assert len(frames) == recorded.POINTS == len(set(frames))
    assert (frames[0], frames[-1]) == (0.5, 999)
    np.testing.assert_allclose(values[0], 2 * frames)


def test_few_seeds_are_a_mean_and_thin_lines(tmp_path, drawn):
    write_run(tmp_path, "sac", seed=0, evaluations=[(100, 0.0, 0.0), (300, 4.0, 1.0)], final=(4.0, 1.0))
    write_run(tmp_path, "sac", seed=1, evaluations=[(200, 6.0, 0.0), (300, 8.0, 0.0)], final=(8.0, 0.0))
    write_run(tmp_path, "spirl", seed=0, evaluations=[(50, 1.0, 1.0), (60, 2.0, 1.0)], final=(2.0, 1.0))
    panels, figure = drawn(["eval/return", "eval/success"])
    assert list(panels) == [("maze-small20", "evaluation return"), ("maze-small20", "evaluation success")]
    axes = panels["maze-small20", "evaluation return"]
    first, second = comparison.COLOURS[:2]
    assert lines(axes, bold=True) == [(first, [[200, 300], [4, 6]]), (second, [[50, 60], [1, 2]])]
    assert lines(axes, bold=False) == [(first, [[100, 300], [0, 4]]), (first, [[200, 300], [6, 8]])]
    assert not axes.collections
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["sac", "spirl"]
    assert [to_hex(line.get_color()) for line in legend.get_lines()] == [first, second]
    assert "mean" in figure.get_supxlabel()
    assert "interquartile" not in figure.get_supxlabel()


def write_five(root, last=None):
    for seed, value in enumerate([0.0, 1.0, 2.0, 3.0, 50.0]):
        evaluations = [(100, value, 0.0), (200, 2 * value, 0.0)]
        write_run(root, seed=seed, evaluations=evaluations, final=None if seed == last else (value, 0.0))


def test_five_seeds_are_an_interquartile_mean_and_a_band(tmp_path, drawn):
    write_five(tmp_path)
    panels, figure = drawn(["eval/return"])
    axes = panels["maze-small20", "evaluation return"]
    assert lines(axes, bold=True) == [(comparison.COLOURS[0], [[100, 200], [2, 4]])]
    assert lines(axes, bold=False) == []
    (band,) = axes.collections
    _, ends = describe_curves(np.array([[0.0, 0], [1, 2], [2, 4], [3, 6], [50, 100]]))
    corners = {(x, y) for x, y in band.get_paths()[0].vertices}
    assert {(100, ends[0, 0]), (100, ends[1, 0]), (200, ends[0, 1]), (200, ends[1, 1])} <= corners
    assert figure.get_supxlabel() == "from 5 seeds on: interquartile mean and 95 % bootstrap interval"


def test_seeds_are_drawn_while_one_is_unfinished(tmp_path, drawn):
    write_five(tmp_path, last=4)
    panels, _ = drawn(["eval/return"])
    axes = panels["maze-small20", "evaluation return"]
    assert len(lines(axes, bold=False)) == 5
    assert len(axes.collections) == 1


def test_tasks_have_panels_of_their_own_and_methods_keep_their_colour(tmp_path, drawn):
    evaluations = [(100, 1.0, 0.0), (200, 2.0, 0.5)]
    write_run(tmp_path, "sac", task="b", evaluations=evaluations)
    write_run(tmp_path, "spirl", task="b", evaluations=evaluations)
    with (write_run(tmp_path, "spirl", task="a", evaluations=[(1000, 3.0, 0.5)]) / "metrics.csv").open("a") as file:
        file.write("rl,1500,20,0.0,,1.0,,,\n")
    panels, _ = drawn(["eval/return", "train/return"])
    assert [task for task, _ in panels] == ["maze-a", "maze-a", "maze-b", "maze-b"]
    (spirl,) = lines(panels["maze-a", "evaluation return"], bold=True)
    assert spirl[1] == [[1000], [3]]
    both = lines(panels["maze-b", "evaluation return"], bold=True)
    assert len({colour for colour, _ in both}) == 2
    assert both[1] == (spirl[0], [[100, 200], [1, 2]])
    for task, last in (("a", 1500), ("b", 200)):
        for kind in ("evaluation", "training"):
            assert panels[f"maze-{task}", f"{kind} return"].get_xlim() == pytest.approx((-0.03 * last, 1.03 * last))


def test_many_groups_differ_in_colour_or_dashes(tmp_path, drawn):
    for number in range(9):
        write_run(tmp_path, name=f"n{number}", evaluations=[(100, 1.0, 0.0), (200, 1.0, 0.0)])
    panels, _ = drawn(["eval/return"])
    looks = [(line.get_color(), line.get_linestyle()) for line in panels["maze-small20", "evaluation return"].lines]
    assert len(set(looks)) == len(looks) == 9


def test_a_metric_that_a_task_has_not_leaves_its_place_empty(tmp_path, drawn):
    write_run(tmp_path, task="a", evaluations=[(100, 1.0, 0.0)])
    write_run(tmp_path, task="b", evaluations=[(100, 1.0, "")])
    panels, _ = drawn(["eval/return", "eval/success"])
    empty = [task for (task, title), axes in panels.items() if not axes.axison and not title]
    assert empty == ["maze-b"]


def run_command(capsys, *words):
    status = cli.main(["report", *map(str, words)])
    return status, capsys.readouterr()


def test_command(tmp_path, capsys):
    for seed in (0, 1):
        for method in ("sac", "spirl"):
            folder = write_run(
                tmp_path / "runs", method, seed, evaluations=[(100, 1.0, 0.0), (200, 1 / 3, 0.5)], final=(1 / 3, 0.5)
            )
    write_run(tmp_path / "runs", seed=2, evaluations=[(100, 1.0, 0.0)])
    before = {path: path.read_bytes() for path in (tmp_path / "runs").rglob("*") if path.is_file()}
    out = tmp_path / "new" / "report"
    status, printed = run_command(capsys, tmp_path / "runs", f"out={out}")
    assert (status, printed.err) == (0, "")
    assert sorted(path.name for path in out.iterdir()) == FILES
    table = (out / "table.md").read_text().strip()
    assert printed.out.startswith(table)
    assert all(str(out / name) in printed.out for name in FILES)
    with (out / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["method"], row["seed"]) for row in rows] == [
        ("sac", "0"),
        ("sac", "1"),
        ("spirl", "0"),
        ("spirl", "1"),
    ]
    assert rows[-1] == {
        "task": "maze-small20",
        "method": "spirl",
        "name": "default",
        "seed": "1",
        "phase": "rl",
        "episodes": "50",
        "env_frames": "200",
        "updates": "20",
        "eval/return": repr(1 / 3),
        "eval/success": "0.5",
        "run": str(folder),
    }
    with Image.open(out / "curves.png") as image:
        assert image.width > 1200
        assert (np.asarray(image.convert("L")) < 200).mean() > 0.005
    svg = (out / "curves.svg").read_text()
    assert svg.rstrip().endswith("</svg>")
    assert comparison.COLOURS[0] in svg
    assert {path: path.read_bytes() for path in before} == before
    pictures = {name: (out / name).read_bytes() for name in FILES}
    assert run_command(capsys, tmp_path / "runs", f"out={out}")[0] == 0
    assert {name: (out / name).read_bytes() for name in FILES} == pictures


def titles(svg):
    """Panels named in the SVG's comments, which matplotlib writes beside a text drawn as paths."""
    names = ("evaluation return", "evaluation success", "training return", "training success", "critic loss")
    return [name for name in names if f"<!-- {name} -->" in svg.read_text()]


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("metric=", ["evaluation return", "evaluation success", "training return", "training success"]),
        ("metric=success", ["evaluation success", "training success"]),
        ("metric=eval/return", ["evaluation return"]),
        ("metric=critic_loss,eval/return", ["evaluation return", "critic loss"]),
    ],
)
def test_choice_of_metrics(tmp_path, capsys, word, expected):
    write_run(tmp_path / "runs", evaluations=[(100, 1.0, 0.0)])
    assert run_command(capsys, tmp_path / "runs", f"out={tmp_path}", word)[0] == 0
    assert titles(tmp_path / "curves.svg") == expected


def test_evaluations_come_before_training(tmp_path):
    write_run(tmp_path, evaluations=[(100, 1.0, 0.0)])
    keys = comparison._columns(groups(tmp_path), ["critic_loss", "success", "return"])
    assert keys == ["eval/success", "eval/return", "train/success", "train/return", "critic_loss"]


def test_by(tmp_path, capsys):
    for name in ("a", "b"):
        write_run(tmp_path / "runs", name=name, evaluations=[(100, 1.0, 0.0)], final=(1.0, 0.0))
    _, apart = run_command(capsys, tmp_path / "runs", f"out={tmp_path}")
    _, together = run_command(capsys, tmp_path / "runs", f"out={tmp_path}", "by=method")
    assert apart.out.count("\n| maze-small20") == 2
    assert together.out.count("\n| maze-small20") == 1
    assert "1 (1, 1)" in together.out


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ([], "give a run"),
        (["RUNS/empty"], "empty"),
        (["RUNS/missing"], "missing is no folder"),
        (["RUNS/good", "metric=sucess"], "no run has 'sucess' over env frames; there is critic_loss, return, success"),
        (["RUNS/good", "by=metod"], "did you mean method"),
        (["RUNS/good", "metrics=success"], "unknown option 'metrics'; there is metric"),
        (["RUNS/started"], "small20/default/seed0 has no rows yet"),
        (["RUNS/skills"], "no run has stepped its environment yet"),
        (["RUNS/other"], "there is critic_loss"),
        (["RUNS/good", "uri=sqlite:///RUNS/none.db"], "uri= says where mlflow:EXPERIMENT is"),
        (["mlflow:x", "uri=sqlite:///RUNS/none.db"], "no MLflow database at"),
        (["RUNS/good", "out=RUNS/file"], "cannot write to"),
        (["RUNS/good", "out=RUNS/file/below"], "cannot write to"),
        (["RUNS/good", "out=/proc/below"], "cannot write to"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(tmp_path, capsys, words, named):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    write_run(tmp_path / "good", evaluations=[(100, 1.0, 0.0)])
    write_run(tmp_path / "started")
    (write_run(tmp_path / "skills") / "metrics.csv").write_text(f"{HEADER}\nskills,0,100,0.0,1.0,,,,\n")
    (write_run(tmp_path / "other") / "metrics.csv").write_text(f"{HEADER}\nrl,100,10,0.0,1.0,,,,\n")
    words = [word.replace("RUNS", str(tmp_path)) for word in words]
    out = [] if any(word.startswith("out=") for word in words) else [f"out={tmp_path / 'report'}"]
    status, printed = run_command(capsys, *words, *out)
    assert status == 2
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert named in printed.err
    assert not (tmp_path / "report").exists()


def test_smoke_runs_are_left_out_where_there_are_others(tmp_path, capsys):
    for name in ("smoke", "default"):
        for seed in (0, 1):
            write_run(tmp_path, seed=seed, name=name, evaluations=[(100, 1.0, 0.0)], final=(7.0, 0.5))
    assert cli.main(["report", str(tmp_path), f"out={tmp_path / 'out'}"]) == 0
    assert capsys.readouterr().err == "left out: runs with debug=smoke, 2 of 4\n"
    assert "/smoke/" not in (tmp_path / "out" / "table.csv").read_text()
    alone = tmp_path / "spirl" / "maze-small20" / "smoke"
    assert cli.main(["report", str(alone), f"out={tmp_path / 'out'}"]) == 0
    assert capsys.readouterr().err == ""


def test_runs_without_rows_do_not_keep_the_others_from_being_shown(tmp_path, capsys):
    write_run(tmp_path / "runs", "sac", task="other")
    write_run(tmp_path / "runs", "spirl", evaluations=[(100, 1.0, 0.0)])
    status, printed = run_command(capsys, tmp_path / "runs", f"out={tmp_path}")
    assert status == 0
    assert "no rows yet" in printed.out
    assert "<!-- maze-other -->" not in (tmp_path / "curves.svg").read_text()


@pytest.fixture
def tracked(tmp_path, monkeypatch):
    """Two seeds of two methods in folders, and all but one of these runs in a tracking store."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for seed in (0, 1):
        for method in ("sac", "spirl"):
            evaluations = [(100, 1.0, 0.0), (200, 1 / (3 + seed), 0.5)]
            folder = write_run(tmp_path / "files", method, seed, evaluations=evaluations, final=(1 / 3, 0.5))
            if (method, seed) != ("spirl", 1):
                log_run(folder, tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    return folder


def test_from_mlflow_and_from_folders_together(tracked, tmp_path, capsys):
    """The files are the same wherever a run is read from, but for its place."""
    places = sorted(tmp_path.rglob("*"))
    assert run_command(capsys, "files", "out=files_report")[0] == 0
    status, printed = run_command(capsys, "mlflow:skills", tracked.relative_to(tmp_path), "out=mixed_report")
    assert (status, printed.err) == (0, "")
    rows = {}
    for out in ("files_report", "mixed_report"):
        with (tmp_path / out / "table.csv").open() as file:
            rows[out] = list(csv.DictReader(file))
    found = [row.pop("run").startswith("mlflow:skills/") for row in rows["mixed_report"]]
    assert found == [True, True, True, False]
    assert [row.pop("run") for row in rows["files_report"]][3] == str(tracked.relative_to(tmp_path))
    assert rows["mixed_report"] == rows["files_report"]
    for name in ("curves.png", "curves.svg", "table.md"):
        assert (tmp_path / "mixed_report" / name).read_bytes() == (tmp_path / "files_report" / name).read_bytes()
    made = {path for path in tmp_path.rglob("*") if path not in places}
    assert {path.relative_to(tmp_path).parts[0] for path in made} == {"files_report", "mixed_report"}


def test_a_run_in_a_folder_and_in_mlflow_is_one_run(tracked, tmp_path, capsys):
    status, printed = run_command(capsys, "files", "mlflow:skills", f"uri=sqlite:///{tmp_path}/runs/mlflow.db")
    assert status == 2
    assert printed.err.startswith("error: files/sac/maze-small20/default/seed0 and mlflow:skills/")
    assert printed.err.endswith("have the same config and seed; give one of them\n")
    assert not (tmp_path / "report").exists()


def test_a_report_from_mlflow_loads_no_torch(tracked, tmp_path):
    code = (
        "import sys; from lightning_skills.__main__ import main; main(['report', 'mlflow:skills']);"
        "print([m for m in ('torch', 'mujoco', 'lightning') if m in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    output = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path, env=environment)
    assert output.stdout.splitlines()[-1] == "[]"
    assert output.stderr == ""


def test_the_command_line_loads_nothing_that_only_a_report_needs():
    code = (
        "import sys; from lightning_skills.__main__ import main; main(['methods']);"
        "heavy = ('torch', 'mujoco', 'mlflow', 'matplotlib', 'lightning', 'hydra', 'numpy');"
        "print([m for m in heavy if m in sys.modules])"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert output.stdout.splitlines()[-1] == "[]"


def test_a_report_loads_no_torch(tmp_path):
    write_run(tmp_path, evaluations=[(100, 1.0, 0.0)])
    code = (
        "import sys; from lightning_skills.__main__ import main;"
        f"main(['report', {str(tmp_path)!r}, 'out={tmp_path}/report']);"
        "print([m for m in ('torch', 'mujoco', 'lightning', 'mlflow') if m in sys.modules])"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert output.stdout.splitlines()[-1] == "[]"


def test_a_bad_folder_is_named_and_the_others_are_compared(tmp_path, capsys):
    good = write_run(tmp_path, seed=0, evaluations=[(100, 1.0, 0.0)], final=(1.0, 0.0))
    assert cli.main(["report", str(tmp_path / "none"), str(good), f"out={tmp_path / 'out'}"]) == 2
    captured = capsys.readouterr()
    assert captured.err == f"error: {tmp_path / 'none'} is no folder; give runs, or folders that hold some\n"
    assert "| spirl" in captured.out
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == FILES
