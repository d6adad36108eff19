import csv
import dataclasses
import shutil

import numpy as np
import pytest

from envs.maze.config import MazeConfig
from envs.maze.env import make
from lightning_skills import __main__ as main
from lightning_skills import command, config
from lightning_skills.config_tree import write_tree
from lightning_skills.errors import InputError
from lightning_skills.evaluation.rollouts import Rollouts
from lightning_skills.exploration import Exploration, Visits, explore, online_phase, per_seed, summarise, visits
from lightning_skills.trained import changed


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
    total = int((~env.layout).sum())
    elsewhere = path + np.array([0, 1, 0, 0])
    beside = int(~env.layout[6, 15]) + int(~env.layout[7, 15])
    assert beside
    assert visits(env, [path, path[:1]]) == Visits(1, 1.0, total)
    assert visits(env, [path, elsewhere, path]) == Visits(1 + beside, (2 + beside) / 3, total)


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


def test_what_is_older_is_not_taken_for_another_run(runs, tmp_path):
    folder = runs / "spirl" / "maze-small20" / "smoke" / "seed0"
    copy = tmp_path / "deep" / "enough" / "for" / "seed0_old"
    copy.mkdir(parents=True)
    text = (folder / "config.yaml").read_text()
    (copy / "config.yaml").write_text(text)
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


def test_priors_act_with_other_options_than_they_were_trained_with(runs, tmp_path, capsys):
    run = run_of(runs, "spirl")
    words = [str(run.directory), "frames=80", f"out={tmp_path / 'out'}"]
    assert main.main(["explore", *words, "env.horizon=40"]) == 0
    rows = list(csv.DictReader((tmp_path / "out" / "table.csv").open()))
    assert [row["env frames"] for row in rows] == ["80", "80"]  # two episodes; of 60 steps there would be one
    unbounded = changed(run, online_phase(run), "run", run.directory, ["method.rl.bound=null"])
    (bounded, *_), (free, *_) = explore(run, 60), explore(unbounded, 60)
    assert not np.array_equal(bounded.rollouts.trajectories[0], free.rollouts.trajectories[0])
    capsys.readouterr()
    assert main.main(["explore", *words, "env.task=spirl40"]) == 0, "skills are still found in their run"
    assert main.main(["explore", *words, "method.rl.bond=1"]) == 2
    assert "bond" in capsys.readouterr().err


def test_runs_that_differ_by_an_option_which_is_given_are_one_group(runs, tmp_path):
    run = run_of(runs, "spirl").directory
    other = shutil.copytree(run, tmp_path / run.relative_to(runs).with_name("seed1"))
    text = (run / "config.yaml").read_text()
    for old, new in (("seed: 0\nname", "seed: 1\nname"), ("bound: 2.0", "bound: 3.0")):
        assert old in text
        text = text.replace(old, new)
    (other / "config.yaml").write_text(text)
    words = [str(run), str(other), "frames=60", f"out={tmp_path / 'out'}"]

    def explorers():
        return {row["explorer"] for row in csv.DictReader((tmp_path / "out" / "table.csv").open())}

    assert main.main(["explore", *words]) == 0
    assert len(explorers()) == 4
    assert main.main(["explore", *words, "method.rl.bound=1.5"]) == 0
    assert explorers() == {"spirl: skill prior", "spirl: uniform skills"}


def explored(label, seed, returns, visits, **info):
    solved, frames = np.array(returns) > 2.5, np.full(len(returns), 10 + seed)
    rollouts = Rollouts(
        np.array(returns), solved, frames, [], explored=True, info={key: np.array(n) for key, n in info.items()}
    )
    return Exploration(label, seed, rollouts, visits)


def test_a_row_tells_of_an_explorer_and_its_seeds():
    found = [explored("prior", 0, [1.0, 3.0], Visits(5, 2.5, 9)), explored("prior", 2, [4.0, 4.0], Visits(7, 3.5, 9))]
    assert [per_seed(each) for each in found] == [
        {"explorer": "prior", "seed": 0, "env frames": 20}
        | {"visited": 5, "an episode": 2.5, "places": 9, "return": 2.0, "success": 0.5},
        {"explorer": "prior", "seed": 2, "env frames": 24}
        | {"visited": 7, "an episode": 3.5, "places": 9, "return": 4.0, "success": 1.0},
    ]
    assert summarise([*found, explored("random", 0, [0.0], Visits(1, 1.0, 9))]) == [
        {
            "explorer": "prior",
            "seeds": "2",
            "env frames": "22",
            "visited": "6 (5, 7)",
            "an episode": "3 (2.5, 3.5)",
            "of": "9",
            "return": "3 (2, 4)",
            "success": "0.75 (0.5, 1)",
        },
        {"explorer": "random", "seeds": "1", "env frames": "10"}
        | {"visited": "1", "an episode": "1", "of": "9", "return": "0", "success": "0"},
    ]


def test_where_there_are_no_places_a_row_has_what_the_env_reports():
    found = explored("prior", 0, [1.0, 3.0], None, final_height=[0.0, 2.0])
    rest = {"env frames": 20, "return": 2.0, "success": 0.5, "final height": 1.0}
    assert per_seed(found) == {"explorer": "prior", "seed": 0, **rest}
    rest = {"env frames": "20", "return": "2", "success": "0.5", "final height": "1"}
    assert summarise([found]) == [{"explorer": "prior", "seeds": "1", **rest}]


def test_an_env_without_places_is_explored(tmp_path, capsys):
    words = ["method=flat_prior", "env=blocks", "debug=smoke", "logging=csv", "phase=prior"]
    assert command.train([*words, f"runs_dir={tmp_path}", f"data_dir={tmp_path / 'data'}"]) == 0
    assert main.main(["explore", str(tmp_path), "frames=120", f"out={tmp_path / 'out'}"]) == 0
    rows = list(csv.DictReader((tmp_path / "out" / "table.csv").open()))
    assert [row["explorer"] for row in rows] == ["flat_prior: action prior", "flat_prior: random actions"]
    assert all(row["env frames"] == "120" and "return" in row and "visited" not in row for row in rows)
    assert "final height" in capsys.readouterr().out
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


def test_a_run_that_cannot_be_explored_leaves_no_folder(tmp_path, capsys):
    run = config.load(["method=pearl", "env=locomotion", f"runs_dir={tmp_path / 'runs'}"])
    run.directory.mkdir(parents=True)
    write_tree(run.directory / "config.yaml", run)
    assert main.main(["explore", str(run.directory), f"out={tmp_path / 'out'}"]) == 2
    assert "method 'pearl' has no online phase to explore with" in capsys.readouterr().err
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
