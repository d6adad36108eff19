"""Runs and data sets that somebody else has changed: nothing in them is run, and the user reads one line."""

import html
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from lightning_skills import __main__ as main
from lightning_skills import config
from lightning_skills.checkpoint import newest
from lightning_skills.command import train
from lightning_skills.testing import interrupted_when
from tests.recorded_runs import write_run


class Trap:
    """Leaves a file where it is unpickled."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


@pytest.fixture
def trap(tmp_path):
    """One that is known to work, and has not been sprung since."""
    file = tmp_path / "sprung"
    pickle.loads(pickle.dumps(Trap(file)))
    file.unlink()
    return Trap(file)


def as_pickle(file, trap):
    file.write_bytes(pickle.dumps(trap))


def as_checkpoint(file, trap):
    """All that was in it, and the trap beside."""
    torch.save({**torch.load(file, weights_only=True), "more": trap}, file)


def as_array(file, trap):
    """In an array of objects."""
    array = np.empty(len(np.load(file)), dtype=object)
    array[:] = [trap] * len(array)
    np.save(file, array, allow_pickle=True)


def refused(capsys, file):
    error = capsys.readouterr().err
    assert file in error
    assert error.count("\n") == 1
    assert error.startswith("error: ")
    return True


def words(folder):
    return ["method=sac", "env=maze", "debug=smoke", "logging=csv", "logging.progress=false", f"runs_dir={folder}"]


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """Runs with one that was stopped in the middle."""
    folder = tmp_path_factory.mktemp("runs")
    with interrupted_when(lambda module: module.updates == 3):
        assert train(words(folder)) == 143
    return folder


@pytest.mark.parametrize(
    ("file", "plant"),
    [
        ("model.ckpt", as_pickle),
        ("model.ckpt", as_checkpoint),
        ("owner.json", as_pickle),
        ("rank_0/state.json", as_pickle),
        ("rank_0/state.safetensors", as_pickle),
        ("rank_0/replay/segment_000000000.safetensors", as_pickle),
    ],
)
def test_a_checkpoint(file, plant, stopped, tmp_path, trap, capsys):
    shutil.copytree(stopped, tmp_path / "runs")
    checkpoint = newest(next((tmp_path / "runs").rglob("checkpoints")) / "rl")
    plant(checkpoint / file, trap)
    assert train(words(tmp_path / "runs")) == 2
    assert refused(capsys, str(checkpoint))
    assert not trap.file.exists()


def test_a_checkpoint_that_nobody_changed_goes_on(stopped, tmp_path):
    shutil.copytree(stopped, tmp_path / "runs")
    assert train(words(tmp_path / "runs")) == 0


@pytest.mark.parametrize(
    ("file", "plant"),
    [
        ("action.npy", as_pickle),
        ("action.npy", as_array),
        ("lengths.npy", as_array),
        ("dataset.json", as_pickle),
    ],
)
def test_a_data_set(file, plant, point_data, tmp_path, trap, capsys):
    dataset = point_data()
    plant(dataset.path / file, trap)
    told = ["method=spirl", "env=maze", "debug=smoke", "logging=csv", f"runs_dir={tmp_path}", f"data={dataset.path}"]
    assert train(told) == 2
    assert refused(capsys, file)
    assert not trap.file.exists()


@pytest.fixture
def plant_config(tmp_path):
    """Makes the folder of a finished run in gymnasium, with what is put into its config."""
    run = config.load(["method=sac", "env=gymnasium", "debug=smoke", f"runs_dir={tmp_path}"])
    (run.directory / "artefacts" / "rl").mkdir(parents=True)

    def plant(text="", **changes):
        (run.directory / "config.yaml").write_text(yaml.safe_dump({**run.resolved(), **changes}) + text)
        return run.directory

    return plant


READERS = ["evaluate", "export", "explore"]


@pytest.mark.parametrize("command", READERS)
def test_a_task_of_a_run_imports_no_module(command, plant_config, tmp_path, capsys, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / f"planted_{command}.py").write_text(f"open({str(tmp_path / 'sprung')!r}, 'w')")
    task = f"planted_{command}:Thing-v0"
    folder = plant_config(env={"name": "gymnasium", "task": task, "horizon": None})
    words = [command, str(folder), f"out={tmp_path / 'out'}"]
    assert main.main(words) == 2
    assert refused(capsys, f"{folder} has a task that imports a module, {task!r}; say env.task= yourself")
    assert not (tmp_path / "sprung").exists()
    assert main.main([*words, f"env.task={task}"]) == 2
    assert refused(capsys, f"unknown gymnasium id {task!r}")
    assert (tmp_path / "sprung").exists()


@pytest.mark.parametrize("command", [*READERS, "report"])
def test_a_config_is_read_as_plain_values(command, plant_config, tmp_path, capsys):
    text = f"!!python/object/apply:os.mkdir [{tmp_path / 'sprung'}]"
    folder = plant_config(f"more: {text}\n")
    assert main.main([command, str(folder), f"out={tmp_path / 'out'}"]) == 2
    assert refused(capsys, str(folder))
    assert not (tmp_path / "sprung").exists()
    yaml.unsafe_load(text)
    assert (tmp_path / "sprung").exists()


@pytest.mark.parametrize("command", READERS)
@pytest.mark.parametrize("opening", ["${", r"\x24{"])
def test_a_config_learns_nothing_of_the_environment(command, opening, plant_config, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("SECRET", "swordfish")
    folder = plant_config(data_dir="DOLLAR{oc.env:SECRET}")
    file = folder / "config.yaml"
    file.write_text(file.read_text().replace("DOLLAR{oc.env:SECRET}", f'"{opening}oc.env:SECRET}}"'))
    assert main.main([command, str(folder), f"out={tmp_path / 'out'}"]) == 2
    assert refused(capsys, f"{folder}/config.yaml is damaged (it holds an interpolation")


HOSTILE = r"../--></svg><script>alert(1)</script><img src=x onerror=alert(1)> $\frac{$"


def test_a_report_shows_what_a_config_says_as_text(tmp_path):
    keys = ("method.name", "env.name", "env.task", "name", "method.rl.lr")
    curve = {"evaluations": [(100, 1, 0), (200, 2, 1)], "final": (2, 1)}
    write_run(tmp_path / "runs", "sac", **curve, **{key: f"{key} {HOSTILE}" for key in keys})
    write_run(tmp_path / "runs", "spirl", **curve)
    out = tmp_path / "out" / "report"
    assert main.main(["report", str(tmp_path / "runs"), f"out={out}"]) == 0
    for file in ("report.html", "curves.svg"):
        text = (out / file).read_text()
        assert "<script" not in text
        assert "<img" not in text
    for key in keys:
        assert html.escape(f"{key} {HOSTILE}") in (out / "report.html").read_text()
    assert {path.name for path in tmp_path.iterdir()} == {"runs", "out"}
    assert {path.name for path in out.parent.iterdir()} == {"report"}
