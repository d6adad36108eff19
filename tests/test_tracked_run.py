"""A whole run with MLflow on: what people find in the tracking store afterwards."""

import csv
import os
import signal
import sys

import pytest
from mlflow.tracking import MlflowClient

from lightning_skills import pipeline
from lightning_skills.artefacts import Artefact
from lightning_skills.command import train
from lightning_skills.phase_logger import PhaseLogger
from lightning_skills.pipeline import Pipeline
from lightning_skills.testing import Kill, run_forked
from lightning_skills.tracking import MLflowTracker


def test_curves_pictures_and_summary_are_in_mlflow(tmp_path):
    words = ["method=spirl", "env=maze", "debug=smoke", "logging.progress=false", "evaluation.interim_every=100"]
    assert train([*words, f"runs_dir={tmp_path}", f"data_dir={tmp_path / 'data'}"]) == 0
    folder = tmp_path / "spirl" / "maze-small20" / "smoke" / "seed0"
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    experiment = client.get_experiment_by_name("lightning_skills_smoke")
    runs = client.search_runs([experiment.experiment_id])
    parent = next(run for run in runs if "mlflow.parentRunId" not in run.data.tags)
    phases = {run.info.run_name.split("/")[-1]: run for run in runs if "mlflow.parentRunId" in run.data.tags}
    assert set(phases) == {"skills", "rl"}
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert {item.path for item in client.list_artifacts(parent.info.run_id)} >= {
        "curves.png",
        "trajectories.png",
        "film.gif",
        "summary.json",
    }
    assert parent.data.params["method.rl.lr"] == "0.0003"
    assert client.search_registered_models() == []  # a smoke run's are nobody's
    assert len(parent.inputs.dataset_inputs) == 1
    with (folder / "metrics.csv").open() as file:
        online = [row for row in csv.DictReader(file) if row["phase"] == "rl"]
    points = client.get_metric_history(phases["rl"].info.run_id, "updates")
    steps = {int(row["env_frames"]): int(row["updates"]) for row in online}
    assert [(point.step, point.value) for point in points] == list(steps.items())
    assert len(steps) < len(online)  # an evaluation shares a step with the row before it
    assert "updates" not in phases["skills"].data.metrics  # there they are the step
    rows = [row for row in online if row["eval/return"]]
    logged = client.get_metric_history(phases["rl"].info.run_id, "eval/return")
    assert [(point.step, point.value) for point in logged] == [
        (int(row["env_frames"]), float(row["eval/return"])) for row in rows
    ]


def test_what_a_killed_run_had_not_sent_before_its_checkpoint_is_sent_when_it_goes_on(tmp_path):
    words = ["method=spirl", "env=maze", "debug=smoke", "logging.progress=false", "checkpoint.every_minutes=0"]
    words += [f"runs_dir={tmp_path}", f"data_dir={tmp_path / 'data'}"]
    words += ["logging.every_updates=1", "logging.every_frames=1"]
    for kill in (Kill("skills", 3), Kill("rl", 3)):  # long before metrics are sent for the first time
        assert run_forked(words, kill=kill) == [-signal.SIGKILL]
    assert run_forked(words) == [0]
    check_curves(tmp_path)


@pytest.mark.parametrize("missed", ["_finish", "_hand_on"], ids=("the last artefact", "the end of the tracking"))
def test_a_run_killed_between_its_last_checkpoint_and(missed, tmp_path, monkeypatch):
    words = ["method=spirl", "env=maze", "debug=smoke", "logging.progress=false", "logging.every_updates=1"]
    words += [f"runs_dir={tmp_path}", f"data_dir={tmp_path / 'data'}", "checkpoint.every_minutes=0"]
    for _ in ("skills", "rl"):
        with monkeypatch.context() as dying:
            dying.setattr(Pipeline, missed, lambda *_, **__: sys.exit())
            dying.setattr(PhaseLogger, "finalize", lambda *_: None)
            dying.setattr(MLflowTracker, "close", lambda *_: None)
            with pytest.raises(SystemExit):
                train(words)
    assert train(words) == 0
    check_curves(tmp_path)


def test_a_signal_outside_of_a_phase_and_a_crash_are_told_apart(tmp_path, monkeypatch, capsys):
    words = ["method=reward_weighted", "env=target", "debug=smoke", "logging.progress=false", f"runs_dir={tmp_path}"]

    def recorded():
        client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
        runs = client.search_runs([client.get_experiment_by_name("lightning_skills_smoke").experiment_id])
        return {run.info.run_name.split("/")[-1]: run.info.status for run in runs}

    def crash(*_):
        raise RuntimeError("no pictures")

    for signum in (signal.SIGINT, signal.SIGTERM):
        handler = signal.getsignal(signum)
        with monkeypatch.context() as patch:
            patch.setattr(pipeline, "close", lambda *_, signum=signum: os.kill(os.getpid(), signum))
            assert train(words) == 128 + signum
        assert recorded() == {"seed0": "KILLED", "policy": "KILLED"}
        assert signal.getsignal(signum) is handler
        assert f"stopped by {signal.Signals(signum).name}; the same command goes on" in capsys.readouterr().err
    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "close", crash)
        with pytest.raises(RuntimeError, match="no pictures"):
            train(words)
    assert recorded() == {"seed0": "FAILED", "policy": "FAILED"}
    seen, save = [], Artefact.save

    def save_and_stop(self, path):
        save(self, path)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(pipeline, "close", lambda *_: seen.append(recorded()))
    monkeypatch.setattr(Artefact, "save", save_and_stop)
    assert train(words) == 128 + signal.SIGTERM
    assert seen == [{"seed0": "RUNNING", "policy": "RUNNING"}]
    assert recorded() == {"seed0": "FINISHED", "policy": "FINISHED"}  # as nothing is left to do
    capsys.readouterr()
    assert train(words) == 0
    assert "finished already" in capsys.readouterr().out


def check_curves(runs_dir):
    """MLflow has every row of the only run, and all of its runs are finished."""
    with (runs_dir / "spirl" / "maze-small20" / "smoke" / "seed0" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    client = MlflowClient(f"sqlite:///{runs_dir}/mlflow.db")
    found = client.search_runs([client.get_experiment_by_name("lightning_skills_smoke").experiment_id])
    assert {run.info.status for run in found} == {"FINISHED"}
    runs = {run.info.run_name: run.info.run_id for run in found}
    for phase, counter, metric in (("skills", "updates", "loss"), ("rl", "env_frames", "critic_loss")):
        points = [(point.step, point.value) for point in client.get_metric_history(runs[phase], metric)]
        recorded = [(int(row[counter]), float(row[metric])) for row in rows if row["phase"] == phase and row[metric]]
        assert points == recorded
        assert len(points) > 1
    updates = [point.value for point in client.get_metric_history(runs["rl"], "updates")]
    assert updates == [int(value) for value in dict.fromkeys(row["updates"] for row in rows if row["phase"] == "rl")]
