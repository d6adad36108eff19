"""Pictures of how meta-learners adapt."""

import dataclasses
import json

import numpy as np
import pytest

from envs.maze.config import MazeConfig
from envs.maze.env import make
from lightning_skills import __main__ as main
from lightning_skills import task_pictures
from lightning_skills.command import train
from lightning_skills.evaluation.adaptation import Adaptation


def test_the_plane_is_that_in_which_points_differ_most():
    flat = np.array([[0.0, 0.0], [6.0, 0.0], [0.0, 2.0], [6.0, 2.0]])
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(5, 5)))[0]
    plane = task_pictures.principal_plane(flat @ turn[:2] + turn[2])
    assert np.abs(plane).round(6).tolist() == [[3.0, 1.0]] * 4
    assert len({tuple(point) for point in plane.round(6)}) == 4
    assert task_pictures.principal_plane(np.array([[1.0], [3.0]])).tolist() in ([[-1, 0], [1, 0]], [[1, 0], [-1, 0]])


def test_embeddings_that_are_all_one_are_no_picture(tmp_path):
    out = tmp_path / "embeddings.png"
    for known in ({}, {name: [[0.1, 0.7]] * 3 for name in ("maze-1-2", "maze-3-4", "maze-5-6")}):
        assert not task_pictures.embeddings(known, out)
    assert not out.exists()


def test_a_point_carries_the_name_of_its_task(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(task_pictures, "save_png", lambda figure, out: figures.append(figure))
    known = {"maze-1-2": [[0.0, 0.0], [2.0, 0.0]], "maze-1-4": [[0.0, 9.0], [2.0, 9.0]]}
    assert task_pictures.embeddings(known, tmp_path / "embeddings.png")
    axes = figures[0].axes[0]
    assert [text.get_text() for text in axes.texts] == ["2", "4"]
    drawn = [points.get_offsets().tolist() for points in axes.collections]
    assert sorted(abs(first) for each in drawn for first, _ in each) == [4.5] * 4
    assert len({first for first, _ in drawn[0]}) == 1


def test_ways_are_drawn_with_the_goal_of_their_task(tmp_path, monkeypatch):
    env = make(MazeConfig(task="simpl20-train10"), [0])
    names, indices = env.info.tasks.test[1:3], env.info.tasks.test_indices[1:3]
    paths = [np.full((3, 4), place) for place in range(8)]
    result = Adaptation(
        returns=np.zeros(4),
        success=np.zeros(4, dtype=bool),
        frames=np.zeros(4),
        trajectories=paths[4:],
        explored=True,
        tasks=names,
        curves=np.zeros((2, 4)),
        first=2,
        before=paths[:4],
        embeddings={},
    )
    drawn, figures = [], []
    monkeypatch.setattr(env, "draw", lambda axes, episodes, task: drawn.append((task, episodes)) or True)
    monkeypatch.setattr("lightning_skills.report.save_png", lambda figure, out: figures.append(figure))
    assert task_pictures.adaptation(env, result, tmp_path / "adaptation.png")
    assert drawn == [
        (indices[0], paths[:2]),
        (indices[1], paths[2:4]),
        (indices[0], paths[4:6]),
        (indices[1], paths[6:]),
    ]
    titles = [axes.get_title(loc="left") for axes in figures[0].axes]
    assert titles == [f"{name}, {stage}" for stage in ("before", "after") for name in names]
    drawn.clear()
    assert task_pictures.adaptation(env, dataclasses.replace(result, before=[]), tmp_path / "adaptation.png")
    assert drawn == [(indices[0], paths[4:6]), (indices[1], paths[6:])]


@pytest.fixture(scope="module")
def meta_run(tmp_path_factory):
    runs = tmp_path_factory.mktemp("runs")
    words = ["method=pearl", "env=locomotion", "env.task=sparse-point-robot", "debug=smoke", "logging=csv"]
    assert train([*words, "logging.progress=false", f"runs_dir={runs}"]) == 0
    return next(runs.glob("pearl/*/smoke/seed0"))


def test_a_run_and_its_evaluation_show_what_is_known_of_tasks(meta_run, tmp_path, capsys):
    known = json.loads((meta_run / "summary.json").read_text())["embeddings"]
    assert all(name.startswith("sparse-point-robot-") for name in known)
    assert len({tuple(point) for points in known.values() for point in points}) > 1
    assert (meta_run / "embeddings.png").stat().st_size > 5000
    capsys.readouterr()
    assert main.main(["evaluate", str(meta_run), f"out={tmp_path}"]) == 0
    said = capsys.readouterr().out
    for name in ("adaptation.png", "embeddings.png"):
        assert str(tmp_path / name) in said
        assert (tmp_path / name).stat().st_size > 5000
    assert json.loads((tmp_path / "evaluation.json").read_text())["embeddings"] == known


def test_a_meta_learner_has_its_own_number_of_episodes(meta_run, tmp_path, capsys):
    assert main.main(["evaluate", str(meta_run), "episodes=3", f"out={tmp_path / 'out'}"]) == 2
    assert "in as many episodes as its own options say; leave out episodes" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_so_does_a_run_that_goes_on_in_the_tasks_to_test_on(tmp_path):
    words = ["method=pearl_ft", "env=locomotion", "env.task=sparse-point-robot", "debug=smoke", "logging=csv"]
    assert train([*words, "logging.progress=false", "evaluation.tasks=2", f"runs_dir={tmp_path}"]) == 0
    (folder,) = tmp_path.glob("pearl_ft/*/smoke/seed0")
    assert json.loads((folder / "summary.json").read_text())["phase"] == "adapt"
    assert (folder / "embeddings.png").stat().st_size > 5000
