"""What a finished run says: what happened, and what to run next."""

import shlex
import shutil
import sys

import pytest

from lightning_skills import closing, config


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Skills alone, in a folder whose name has a space, with their last row."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    run = config.load(["method=spirl", "env=maze", "phase=skills", f"runs_dir={tmp_path / 'my runs'}", "name=a b"])
    run.directory.mkdir(parents=True)
    rows = "phase,env_frames,updates,wall_s,loss\nskills,0,100,0.5,3.0\nskills,0,1200,0.5,1.23456\n"
    (run.directory / "metrics.csv").write_text(rows)
    return run


def test_what_can_be_copied_into_a_shell_is_quoted_for_it(run):
    rows = dict(closing._table(run, {}, []))
    assert shlex.split(rows["next"])[-len(run.words) - 1 :] == [*run.words, "seed=1"]
    assert shlex.split(rows["where it leads"])[-1] == str(run.directory)
    assert shlex.split(rows["compare runs"])[-1] == f"sqlite:///{run.config.runs_dir}/mlflow.db"


def test_skills_that_no_phase_can_explore_with_name_no_such_command(run):
    other = config.load(["method=simpl", "env=maze", "phase=skills", f"runs_dir={run.config.runs_dir}", "name=a b"])
    shutil.copytree(run.directory, other.directory)
    assert "where it leads" in dict(closing._table(run, {}, []))
    assert "where it leads" not in dict(closing._table(other, {}, []))


@pytest.mark.parametrize(
    ("program", "again"),
    [
        ("train.py", "python train.py method"),
        ("../code/train.py", "python ../code/train.py method"),
        ("/venv/bin/lightning-skills-train", "lightning-skills-train method"),
        ("/code/lightning_skills/__main__.py", "python -m lightning_skills train method"),
    ],
)
def test_the_next_run_is_started_as_this_one_was(run, monkeypatch, program, again):
    monkeypatch.setattr(sys, "argv", [program, *run.words])
    assert dict(closing._table(run, {}, []))["next"].startswith(again)


def test_a_run_without_evaluation_says_its_loss(run):
    rows = dict(closing._table(run, {}, []))
    assert (rows["updates"], rows["loss"]) == ("1,200", "1.235")
