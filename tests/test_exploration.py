import csv
import dataclasses

import numpy as np
import pytest

from envs.maze.config import MazeConfig
from envs.maze.env import make
from lightning_skills import __main__ as main
from lightning_skills import command, config
from lightning_skills.errors import InputError
from lightning_skills.exploration import explore


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A smoke run of the skills of SPiRL and of the prior of the flat prior, no RL."""
    folder = tmp_path_factory.mktemp("runs")
    words = ["env=maze", "debug=smoke", "logging=csv", f"runs_dir={folder}", f"data_dir={folder / 'data'}"]
    for method, phase in (("spirl", "skills"), ("flat_prior", "prior")):
        assert command.train([f"method={method}", *words, f"phase={phase}"]) == 0
    return folder


def run_of(runs, method):
    return config.restore(runs / method / "maze-small20" / "smoke" / "seed0")


def test_visited_cells_are_counted_once_and_walls_never():
    env = make(MazeConfig(task="small20"), [0])
    path = np.zeros((5, 4))
    path[:, :2] = [[6.0, 14.0], [6.2, 14.1], [6.31, 14.0], [7.0, 14.0], [6.0, 14.0]]  # cells end 0.3 above their index
    assert env.layout[7, 14]
    assert not env.layout[[6, 7], [14, 14]].all()
    cells, total = env.visited([path, path])
    assert (cells, total) == (1, int((~env.layout).sum()))
    elsewhere = path + np.array([0, 1, 0, 0])
    assert env.visited([path, elsewhere])[0] == 1 + int(~env.layout[6, 15]) + int(~env.layout[7, 15])


def test_a_run_is_restored_as_it_was_composed(runs):
    run = run_of(runs, "spirl")
    again = config.load(["method=spirl", "env=maze", "debug=smoke", "logging=csv", f"runs_dir={runs}"])
    same = {"phase": None, "data_dir": "", "runs_dir": ""}
    assert dataclasses.replace(run.config, **same) == dataclasses.replace(again.config, **same)
    assert run.directory.resolve() == again.directory.resolve()


def test_what_cannot_be_restored_says_so(tmp_path):
    with pytest.raises(InputError, match="no run"):
        config.restore(tmp_path)
    (tmp_path / "config.yaml").write_text("method: {name: spirl, gone: 1}\nenv: {name: maze}\n")
    with pytest.raises(InputError, match="another version"):
        config.restore(tmp_path)
    (tmp_path / "config.yaml").write_text("method: [")
    with pytest.raises(InputError, match="damaged"):
        config.restore(tmp_path)


def test_what_was_renamed_or_is_older_is_not_taken_for_another_run(runs, tmp_path):
    folder = runs / "spirl" / "maze-small20" / "smoke" / "seed0"
    copy = tmp_path / "deep" / "enough" / "for" / "seed0_old"
    copy.mkdir(parents=True)
    text = (folder / "config.yaml").read_text()
    (copy / "config.yaml").write_text(text)
    with pytest.raises(InputError, match="renamed"):
        config.restore(copy)
    (copy / "config.yaml").write_text(text.replace("  interim_every:", "  gone:"))
    with pytest.raises(InputError, match="another version"):
        config.restore(copy)
    (copy / "config.yaml").write_text("".join(line for line in text.splitlines(True) if "interim_every" not in line))
    with pytest.raises(InputError, match=r"lacks evaluation.interim_every"):
        config.restore(copy)


@pytest.mark.parametrize(("option", "tasks"), [("system_metrics", 2), ("tasks", None)])
def test_a_run_that_is_older_than_an_option_which_may_change_or_be_null_is_restored(runs, tmp_path, option, tasks):
    run = run_of(runs, "spirl")
    copy = tmp_path / run.directory.relative_to(runs)
    copy.mkdir(parents=True)
    lines = (run.directory / "config.yaml").read_text().splitlines(True)
    (copy / "config.yaml").write_text("".join(line for line in lines if f"  {option}:" not in line))
    assert len((copy / "config.yaml").read_text().splitlines()) == len(lines) - 1
    restored = config.restore(copy).config
    assert restored.logging == run.config.logging
    assert restored.evaluation == dataclasses.replace(run.config.evaluation, tasks=tasks)
    assert restored.method == run.config.method


def test_prior_and_uniform_skills_act_in_the_same_worlds(runs):
    prior, uniform = explore(run_of(runs, "spirl"), frames=180)
    assert (prior.label, uniform.label) == ("skill prior", "uniform skills")
    assert len(prior.rollouts.frames) == 3  # episodes of 60 steps
    for ours, theirs in zip(prior.rollouts.trajectories, uniform.rollouts.trajectories, strict=True):
        np.testing.assert_array_equal(ours[0], theirs[0])
        assert not np.array_equal(ours, theirs)
    again, _ = explore(run_of(runs, "spirl"), frames=180)
    np.testing.assert_array_equal(again.rollouts.trajectories[2], prior.rollouts.trajectories[2])


def test_the_command_writes_tables_and_a_picture(runs, tmp_path, capsys):
    assert main.main(["explore", str(runs), "frames=120", f"out={tmp_path / 'out'}"]) == 0
    rows = list(csv.DictReader((tmp_path / "out" / "table.csv").open()))
    names = ("spirl: skill prior", "spirl: uniform skills", "flat_prior: action prior", "flat_prior: random actions")
    assert sorted(row["explorer"] for row in rows) == sorted(names)
    assert all(0 < int(row["visited"]) < int(row["places"]) and row["env frames"] == "120" for row in rows)
    assert "skill prior" in capsys.readouterr().out
    assert (tmp_path / "out" / "paths.png").stat().st_size > 10_000


def test_a_bad_run_is_named_and_the_others_are_explored(runs, tmp_path, capsys):
    good = runs / "spirl" / "maze-small20" / "smoke" / "seed0"
    untrained = tmp_path / "runs" / good.relative_to(runs)
    untrained.mkdir(parents=True)
    config_yaml = (good / "config.yaml").read_text()
    (untrained / "config.yaml").write_text(config_yaml.replace("seed: 0\nname", "seed: 1\nname"))
    untrained = untrained.rename(untrained.with_name("seed1"))
    words = [str(tmp_path / "none"), str(untrained), str(good), "frames=60", f"out={tmp_path / 'out'}"]
    assert main.main(["explore", *words]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert f"{tmp_path / 'none'} is no folder" in first
    assert f"there is none at {untrained}" in second
    rows = list(csv.DictReader((tmp_path / "out" / "table.csv").open()))
    assert [row["seed"] for row in rows] == ["0", "0"]
    assert (tmp_path / "out" / "paths.png").exists()


def test_runs_of_several_tasks_are_refused(runs, tmp_path, capsys):
    other = tmp_path / "spirl" / "maze-spirl40" / "smoke" / "seed0"
    other.mkdir(parents=True)
    config_yaml = (runs / "spirl" / "maze-small20" / "smoke" / "seed0" / "config.yaml").read_text()
    (other / "config.yaml").write_text(config_yaml.replace("task: small20", "task: spirl40"))
    assert main.main(["explore", str(runs), str(tmp_path), f"out={tmp_path / 'out'}"]) == 2
    assert "maze-small20, maze-spirl40" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_is_refused_before_anything_runs(runs, tmp_path, capsys):
    (tmp_path / "out").write_text("")
    assert main.main(["explore", str(runs), "frames=999999999999", f"out={tmp_path / 'out'}"]) == 2
    assert "cannot write" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "named"),
    [(["frames=0"], "frames"), (["frames=²"], "frames"), (["frame=10"], "frames"), ([], "no run")],
)
def test_bad_input_is_one_line(words, named, tmp_path, capsys):
    assert main.main(["explore", str(tmp_path), *words]) == 2
    error = capsys.readouterr().err
    assert named in error
    assert error.count("\n") == 1
