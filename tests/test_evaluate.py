"""Trained policies built again from what their runs left, and evaluated."""

import csv
import dataclasses
import json
import shutil

import numpy as np
import pytest

from lightning_skills import __main__ as main
from lightning_skills import evaluate
from lightning_skills.command import train
from lightning_skills.evaluation import protocol


def trained(method, env, folder):
    words = [f"method={method}", f"env={env}", "debug=smoke", "logging=csv", "logging.progress=false"]
    assert train([*words, f"runs_dir={folder}", f"data_dir={folder / 'data'}"]) == 0
    return next(folder.glob(f"{method}/*/smoke/seed0"))


@pytest.fixture(scope="module")
def cheetah(tmp_path_factory):
    """A run whose returns differ from episode to episode."""
    return trained("sac", "gymnasium", tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def maze(tmp_path_factory):
    return trained("sac", "maze", tmp_path_factory.mktemp("runs"))


def evaluated(place, out, *words):
    assert main.main(["evaluate", str(place), f"out={out}", "overwrite=true", *words]) == 0
    return json.loads((out / "evaluation.json").read_text())


def test_it_repeats_the_final_evaluation_exactly(cheetah, tmp_path, capsys):
    summary = json.loads((cheetah / "summary.json").read_text())
    capsys.readouterr()
    numbers = evaluated(cheetah, tmp_path / "out")
    assert len(set(summary["returns"])) == 2
    assert {key: numbers[key] for key in summary.keys() & numbers.keys()} == {
        key: value for key, value in summary.items() if key not in ("env_frames", "updates")
    }
    assert f"{summary['eval/return']:.2f}" in capsys.readouterr().out
    rows = list(csv.DictReader((tmp_path / "out" / "episodes.csv").open()))
    assert [float(row["return"]) for row in rows] == summary["returns"]
    assert [row["frames"] for row in rows] == ["20", "20"]


@pytest.mark.parametrize("place", ["seed0_old", "far/away/and/deep/within/seed0"])
def test_a_run_that_was_copied_to_another_path_is_evaluated_there(cheetah, tmp_path, place):
    copy = shutil.copytree(cheetah, tmp_path / place)
    numbers = evaluated(copy, tmp_path / "out")
    assert numbers["policy"] == str(copy)
    assert numbers["returns"] == evaluated(cheetah, tmp_path / "out")["returns"]


def test_wrong_words_are_said_before_an_evaluation_that_is_there(tmp_path, capsys):
    (tmp_path / "evaluation.json").write_text("{}")
    assert main.main(["evaluate", str(tmp_path / "none"), f"out={tmp_path}"]) == 2
    assert "none is no run" in capsys.readouterr().err


def test_its_options_are_those_of_the_evaluation_and_of_the_env(cheetah, tmp_path):
    usual = evaluated(cheetah, tmp_path)["returns"]
    assert len(evaluated(cheetah, tmp_path, "episodes=3")["returns"]) == 3
    assert evaluated(cheetah, tmp_path, "seed=5")["returns"] != usual
    mode = evaluated(cheetah, tmp_path, "explore=false")
    assert mode["explore"] is False
    assert mode["returns"] != usual
    assert mode["returns"] == evaluated(cheetah, tmp_path, "explore=false")["returns"]
    short = evaluated(cheetah, tmp_path, "env.horizon=7")
    assert short["env"]["horizon"] == short["eval/episode_frames"] == 7


def test_the_best_episode_is_filmed(maze, tmp_path, monkeypatch):
    done, filmed = [], []

    def two_good_ones(*given):
        done.append(protocol.final(*given))
        return dataclasses.replace(done[0], returns=np.array([0.0, 3.0, 1.0]))

    monkeypatch.setattr(evaluate, "final", two_good_ones)
    monkeypatch.setattr(evaluate.report, "film", lambda env, states, out: filmed.append(states))
    evaluated(maze, tmp_path / "out", "record_video=true", "episodes=3")
    assert filmed[0] is done[0].trajectories[1]


def test_what_the_env_reports_is_recorded_beside_return_and_success(maze, tmp_path, monkeypatch, capsys):
    def reported(*given):
        return dataclasses.replace(protocol.final(*given), info={"final_height": np.array([1.0, 2.5])})

    monkeypatch.setattr(evaluate, "final", reported)
    numbers = evaluated(maze, tmp_path / "out", "episodes=2")
    assert numbers["eval/final_height"] == 1.75
    assert numbers["final_height"] == [1.0, 2.5]
    rows = list(csv.DictReader((tmp_path / "out" / "episodes.csv").open()))
    assert [row["final_height"] for row in rows] == ["1.0", "2.5"]
    assert "final height    1.75" in capsys.readouterr().out


def test_a_film_lies_where_it_is_wanted(maze, tmp_path):
    evaluated(maze, tmp_path / "out", "record_video=true", "episodes=1")
    assert (tmp_path / "out" / "film.gif").read_bytes().startswith(b"GIF8")
    evaluated(maze, tmp_path / "out", f"record_video={tmp_path / 'there' / 'mine.gif'}", "episodes=1")
    assert (tmp_path / "there" / "mine.gif").read_bytes().startswith(b"GIF8")


def test_no_film_unless_it_is_asked_for(maze, tmp_path):
    evaluated(maze, tmp_path / "out", "episodes=1")
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["episodes.csv", "evaluation.json"]


def test_an_evaluation_is_overwritten_only_where_that_is_wanted(maze, tmp_path, capsys):
    words = ["evaluate", str(maze), f"out={tmp_path}", "episodes=1"]
    assert main.main(words) == 0
    before = (tmp_path / "evaluation.json").read_bytes()
    capsys.readouterr()
    assert main.main([*words, "seed=3"]) == 2
    assert "holds evaluation.json already; give out=FOLDER, or overwrite=true" in capsys.readouterr().err
    assert (tmp_path / "evaluation.json").read_bytes() == before
    assert main.main([*words, "seed=3", "overwrite=true"]) == 0
    assert json.loads((tmp_path / "evaluation.json").read_text())["seed"] == 3


def test_a_run_stays_as_it_was(maze, tmp_path):
    before = {file: file.stat().st_mtime_ns for file in maze.rglob("*")}
    evaluated(maze, tmp_path / "out", "env.task=spirl40", "episodes=1")
    assert {file: file.stat().st_mtime_ns for file in maze.rglob("*")} == before


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["episodes=0"], "evaluation.episodes"),
        (["episodes=many"], "evaluation.episodes"),
        (["seed=1,2"], "evaluation.seed=1,2: give one value"),
        (["explore=maybe"], "evaluation.explore"),
        (["episode=3"], "episodes"),
        (["env.task=nowhere"], "has no task 'nowhere'"),
        (["env.radios=1"], "env.radius"),
        (["record_video=film.mp4"], ".gif"),
        (["there=1"], "there"),
        (["overwrite=yes"], "overwrite=yes: write true or false"),
        (["somewhere"], "one run"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(words, named, maze, tmp_path, capsys):
    assert main.main(["evaluate", str(maze), *words, f"out={tmp_path / 'out'}"]) == 2
    error = capsys.readouterr().err
    assert named in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_an_env_without_film_and_other_networks_are_refused_before_anything_is_written(cheetah, tmp_path, capsys):
    out = tmp_path / "out"
    assert main.main(["evaluate", str(cheetah), "record_video=true", f"out={out}"]) == 2
    assert "cannot be filmed" in capsys.readouterr().err
    assert main.main(["evaluate", str(cheetah), "env.task=Hopper-v5", f"out={out}"]) == 2
    assert "other networks" in capsys.readouterr().err
    assert not out.exists()


def test_a_policy_that_is_not_there_is_named(maze, tmp_path, capsys):
    assert main.main(["evaluate", str(tmp_path)]) == 2
    assert "is no run" in capsys.readouterr().err
    copy = tmp_path / maze.relative_to(maze.parents[3])
    shutil.copytree(maze, copy)
    shutil.rmtree(copy / "artefacts")
    assert main.main(["evaluate", str(copy)]) == 2
    assert "phase 'rl' is not finished" in capsys.readouterr().err


@pytest.fixture(scope="module")
def long_cheetah(tmp_path_factory):
    """A run with several interim evaluations, the best of which is not the last."""
    folder = tmp_path_factory.mktemp("runs")
    words = ["method=sac", "env=gymnasium", "seed=2", "debug=smoke", "logging=csv", "logging.progress=false"]
    assert train([*words, "evaluation.interim_every=8", f"runs_dir={folder}"]) == 0
    return next(folder.glob("sac/*/smoke/seed2"))


def interim_returns(run):
    """By update."""
    rows = csv.DictReader((run / "metrics.csv").open())
    return {int(row["updates"]): float(row["eval/return"]) for row in rows if row["eval/return"]}


def test_the_newest_and_the_best_checkpoint_are_kept(long_cheetah):
    returns = interim_returns(long_cheetah)
    at_best = max(returns, key=lambda updates: returns[updates])
    assert len(returns) > 1
    assert at_best < max(returns)
    names = sorted(path.name for path in (long_cheetah / "checkpoints" / "rl").iterdir())
    assert [int(name.split("_")[1]) for name in names] == [at_best, 24]


def test_a_checkpoint_is_evaluated_too(long_cheetah, tmp_path):
    returns = interim_returns(long_cheetah)
    # The interim evaluations' worlds: the final ones have the next seed.
    words = ["episodes=1", "seed=999999"]
    newest = evaluated(long_cheetah, tmp_path, *words, "checkpoint=newest")
    assert newest["returns"] == evaluated(long_cheetah, tmp_path, *words)["returns"]
    best = evaluated(long_cheetah, tmp_path, *words, "checkpoint=best")
    assert best["returns"] == [max(returns.values())]
    assert best["returns"] != newest["returns"]


def test_each_acting_phase_has_a_policy(tmp_path, capsys):
    words = ["method=pearl_ft", "env=locomotion", "env.task=point-robot", "debug=smoke", "logging=csv"]
    assert train([*words, "logging.progress=false", f"runs_dir={tmp_path}"]) == 0
    run = next(tmp_path.glob("pearl_ft/*/smoke/seed0"))
    recorded = json.loads((run / "evaluations" / "meta" / "summary.json").read_text())
    numbers = evaluated(run, tmp_path / "meta", "phase=meta")
    assert numbers["phase"] == "meta"
    assert numbers["returns"] == recorded["returns"]
    assert (tmp_path / "meta" / "adaptation.png").exists()
    rows = list(csv.DictReader((tmp_path / "meta" / "episodes.csv").open()))
    last = {
        task: returns[-len(rows) // len(recorded["adaptation"]) :] for task, returns in recorded["adaptation"].items()
    }
    assert [(row["task"], float(row["return"])) for row in rows] == [(t, r) for t, own in last.items() for r in own]
    assert main.main(["evaluate", str(run), "phase=skills", f"out={tmp_path / 'other'}"]) == 2
    assert "phase=skills: of method 'pearl_ft' there are policies of meta, adapt" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def test_training_may_go_without_evaluations(tmp_path):
    words = ["method=sac", "env=gymnasium", "debug=smoke", "logging=csv", "logging.progress=false"]
    assert train([*words, "evaluation.interim_every=null", f"runs_dir={tmp_path}"]) == 0
    run = next(tmp_path.glob("sac/*/smoke/seed0"))
    assert "eval/return" not in (run / "metrics.csv").read_text()
    assert "eval/return" in json.loads((run / "summary.json").read_text())


def test_a_checkpoint_that_is_not_there_is_named(long_cheetah, tmp_path, capsys):
    copy = tmp_path / long_cheetah.relative_to(long_cheetah.parents[3])
    shutil.copytree(long_cheetah, copy)
    shutil.rmtree(copy / "artefacts")
    evaluated(copy, tmp_path / "out", "checkpoint=newest")
    shutil.rmtree(copy / "checkpoints" / "rl")
    for which in ("best", "newest"):
        assert main.main(["evaluate", str(copy), f"checkpoint={which}"]) == 2
        assert f"no {which} checkpoint" in capsys.readouterr().err
    assert main.main(["evaluate", str(copy), "checkpoint=first"]) == 2
    assert "best, newest" in capsys.readouterr().err


def test_the_final_evaluation_has_other_worlds_than_the_interim_ones(monkeypatch):
    from lightning_skills.run_options import EvaluationOptions

    monkeypatch.setattr(protocol, "rollout", lambda *given: given)
    assert protocol.final(None, None, EvaluationOptions(seed=5, episodes=3)) == (None, None, 3, 6, True)
