import csv
import json
import math
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from mlflow.exceptions import MlflowException
from mlflow.system_metrics.metrics import gpu_monitor
from mlflow.system_metrics.metrics.base_metrics_monitor import BaseMetricsMonitor
from mlflow.tracking import MlflowClient
from torch.utils.data import DataLoader

from lightning_skills import phase_logger
from lightning_skills.csv_file import FIRST_COLUMNS, CsvFile
from lightning_skills.errors import InputError
from lightning_skills.launch import free_port
from lightning_skills.mlflow_ledger import Ledger
from lightning_skills.mlflow_store import make_database, reached
from lightning_skills.system_metrics import SystemMetrics
from lightning_skills.tracking import MLflowTracker

PARAMS = {"method": {"name": "spirl", "layers": [128, 128]}, "long": "x" * 5000, "seed": 0, "skills": None}
HEAD = {"phase": "rl", "env_frames": 10, "updates": 1, "wall_s": 0.5}


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def runs_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(autouse=True)
def _no_uri_from_outside(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


class Server:
    """A real tracking server."""

    def __init__(self, folder, port):
        self.folder, self.port, self.uri = folder, port, f"http://127.0.0.1:{port}"
        self.launch()

    def launch(self):
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{self.folder}/server.db"]
        command += ["--artifacts-destination", str(self.folder / "artifacts")]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        # Ten processes that wait for jobs of MLflow's own, which no test has.
        options = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        environment = {**os.environ, **options}
        self.process = subprocess.Popen(command, start_new_session=True, env=environment, cwd=self.folder, **quiet)

    def wait(self):
        end = time.monotonic() + 90
        while time.monotonic() < end:
            with socket.socket() as attempt:
                if attempt.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.2)
        pytest.fail("the server did not start")

    def stop(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture(scope="module", autouse=True)
def launched(tmp_path_factory):
    """The server starts while the first tests run."""
    server = Server(tmp_path_factory.mktemp("server"), free_port())
    yield server
    server.stop()


@pytest.fixture
def server(launched):
    launched.wait()
    return launched


def start(runs_dir, name, uri=None, params=PARAMS, experiment="skills", **options):
    tags = {"method": "spirl", "env": "maze", "task": "easy", "seed": "0", "world_size": "1"}
    return MLflowTracker.open(runs_dir / name, runs_dir, uri, experiment, name, params, tags, **options)


class Recorded:
    """What MLflow holds of one run folder."""

    def __init__(self, runs_dir, name, uri=None):
        self.uri = uri or f"sqlite:///{runs_dir}/mlflow.db"
        self.client = MlflowClient(self.uri)
        self.ids = json.loads((runs_dir / name / "mlflow.json").read_text())[-1]
        self.parent = self.client.get_run(self.ids["parent"])
        experiment = self.parent.info.experiment_id
        query = f"tags.`mlflow.parentRunId` = '{self.ids['parent']}'"
        children = self.client.search_runs([experiment], query)
        self.phases = {run.info.run_name: run for run in children}
        assert len(children) == len(self.phases), "a phase has more than one run"
        assert len(self.client.search_runs([experiment], f"tags.`mlflow.runName` = '{name}'")) == 1

    def points(self, phase, key):
        history = self.client.get_metric_history(self.phases[phase].info.run_id, key)
        return sorted((metric.step, metric.value) for metric in history)

    def statuses(self):
        return {"parent": self.parent.info.status, **{name: run.info.status for name, run in self.phases.items()}}


def everywhere(test):
    return pytest.mark.parametrize("place", ["database", "server"])(test)


@pytest.fixture
def uri(request, place):
    return request.getfixturevalue("server").uri if place == "server" else None


@everywhere
def test_a_whole_run(runs_dir, uri, place, tmp_path):
    name = f"whole-{place}"
    tracker = start(runs_dir, name, uri)
    tracker.log_dataset(Path("/data/maze.h5"), "ab" * 32)
    skills = tracker.phase("skills")
    for updates in range(5):
        skills.log_metrics({"loss": 1 / (updates + 1), "odd[name]": 1.0}, step=updates)
    rl = tracker.phase("rl")
    assert Recorded(runs_dir, name, uri).statuses() == {"parent": "RUNNING", "skills": "FINISHED", "rl": "RUNNING"}
    rl.log_metrics({"train/return": math.nan}, step=2_000)
    rl.log_metrics({"train/return": 0.1 + 0.2}, step=1_000)
    (runs_dir / name / "curves.png").write_bytes(b"picture")
    tracker.log_artifact(runs_dir / name / "curves.png")
    tracker.close("FINISHED")

    found = Recorded(runs_dir, name, uri)
    assert found.statuses() == {"parent": "FINISHED", "skills": "FINISHED", "rl": "FINISHED"}
    assert found.points("skills", "loss") == [(updates, 1 / (updates + 1)) for updates in range(5)]
    assert len(found.points("skills", "odd_name_")) == 5
    assert found.points("rl", "train/return")[0] == (1_000, 0.1 + 0.2)
    assert math.isnan(found.points("rl", "train/return")[1][1])
    expected = {
        "method.name": "spirl",
        "method.layers": "[128, 128]",
        "seed": "0",
        "skills": "None",
        "long": "x" * 5000,
    }
    assert found.parent.data.params == expected
    for tags in (found.parent.data.tags, found.phases["rl"].data.tags):
        assert tags["method"] == "spirl"
        assert tags["world_size"] == "1"
        assert tags["torch_version"].startswith("2.")
        assert {"torchrl_version", "lightning_version", "mujoco_version", "resume_count"} <= tags.keys()
    (dataset,) = found.parent.inputs.dataset_inputs
    assert (dataset.dataset.name, dataset.dataset.digest) == ("maze.h5", ("ab" * 32)[:36])
    assert [item.path for item in found.client.list_artifacts(found.ids["parent"])] == ["curves.png"]
    downloaded = found.client.download_artifacts(found.ids["parent"], "curves.png", str(tmp_path))
    assert Path(downloaded).read_bytes() == b"picture"


@everywhere
def test_resume_opens_the_same_runs_and_repeats_no_point(runs_dir, uri, place):
    name = f"resumed-{place}"
    killed = start(runs_dir, name, uri)
    killed.phase("skills").log_metrics({"loss": 0.5}, step=1)
    rl = killed.phase("rl")
    for step in range(10):
        rl.log_metrics({"return": step, "late": 0.0} if step > 7 else {"return": step}, step=step)
    rl.save()
    rl.log_metrics({"return": 10}, step=10)  # never sent: the process dies here

    before = Recorded(runs_dir, name, uri)
    assert before.statuses() == {"parent": "RUNNING", "skills": "FINISHED", "rl": "RUNNING"}
    resumed = start(runs_dir, name, uri, params={**PARAMS, "seed": "changed"})
    rl = resumed.phase("rl")
    for step in range(5, 15):  # from a checkpoint at step 5
        rl.log_metrics({"return": step, "late": 0.0} if step > 7 else {"return": step}, step=step)
    resumed.close("FINISHED")

    found = Recorded(runs_dir, name, uri)
    assert (found.ids["parent"], found.ids["phases"]) == (before.ids["parent"], before.ids["phases"])
    assert list(before.ids["owed"]) == ["status", "phase rl"]
    assert found.ids["owed"] == {}
    assert found.statuses() == {"parent": "FINISHED", "skills": "FINISHED", "rl": "FINISHED"}
    assert found.points("rl", "return") == [(step, step) for step in range(15)]
    assert found.points("rl", "late") == [(step, 0.0) for step in range(8, 15)]
    assert found.parent.data.params["seed"] == "0"
    counts = {name: run.data.tags["resume_count"] for name, run in {"parent": found.parent, **found.phases}.items()}
    assert counts == {"parent": "1", "skills": "0", "rl": "1"}


@pytest.mark.parametrize("status", ["FAILED", "KILLED"])
def test_outcome_and_running_again(runs_dir, status):
    name = f"status-{status}"
    tracker = start(runs_dir, name)
    tracker.phase("rl")
    tracker.close(status)
    stopped = Recorded(runs_dir, name)
    assert stopped.statuses() == {"parent": status, "rl": status}
    again = start(runs_dir, name)
    again.phase("rl")
    assert Recorded(runs_dir, name).statuses() == {"parent": "RUNNING", "rl": "RUNNING"}
    time.sleep(0.01)
    again.close("FINISHED")
    found = Recorded(runs_dir, name)
    assert found.statuses() == {"parent": "FINISHED", "rl": "FINISHED"}
    assert found.parent.info.end_time > stopped.parent.info.end_time


def test_many_metrics_go_out_in_allowed_batches(runs_dir, monkeypatch):
    tracker = start(runs_dir, "many", params={f"option{index}": index for index in range(250)})
    rl = tracker.phase("rl")
    client, sizes = tracker._store.client, []
    send = client.log_batch
    monkeypatch.setattr(client, "log_batch", lambda run, metrics=(): (sizes.append(len(metrics)), send(run, metrics)))
    for step in range(100):
        rl.log_metrics({f"metric{index}": index for index in range(25)}, step=step)
    assert sizes == []
    tracker.close("FINISHED")
    assert sizes == [1000, 1000, 500]
    found = Recorded(runs_dir, "many")
    assert len(found.parent.data.params) == 250
    assert found.points("rl", "metric24") == [(step, 24) for step in range(100)]


def test_metrics_are_sent_after_the_flush_time(runs_dir):
    tracker = start(runs_dir, "timed")
    rl = tracker.phase("rl")
    rl._flush_seconds = rl._due = 0.0
    rl.log_metrics({"return": 1.0}, step=1)
    assert Recorded(runs_dir, "timed").points("rl", "return") == [(1, 1.0)]
    tracker.close("FINISHED")


def test_deleted_runs_are_begun_anew(runs_dir):
    tracker = start(runs_dir, "deleted")
    tracker.phase("rl").log_metrics({"return": 1.0}, step=1)
    tracker.close("KILLED")
    old = Recorded(runs_dir, "deleted")
    old.client.delete_run(old.ids["parent"])
    again = start(runs_dir, "deleted")
    again.phase("rl").log_metrics({"return": 1.0}, step=1)
    again.close("FINISHED")
    found = Recorded(runs_dir, "deleted")
    assert found.ids["parent"] != old.ids["parent"]
    assert found.points("rl", "return") == [(1, 1.0)]
    assert found.parent.data.params["long"] == "x" * 5000


JOB = """
import sys
from pathlib import Path
from lightning_skills.tracking import MLflowTracker
assert "mlflow" not in sys.modules
folder = Path("runs") / sys.argv[1]
tracker = MLflowTracker.open(folder, Path("runs"), None, "skills", sys.argv[1], {}, {})
tracker.phase("rl").log_metrics({"return": 1.0}, step=1)
(folder / "picture.png").write_bytes(b"")
tracker.log_artifact(folder / "picture.png")
tracker.close("FINISHED")
"""


def test_two_jobs_of_a_sweep_make_one_database_and_no_noise(tmp_path):
    """Nothing printed, nothing written outside the runs folder, MLflow not loaded before it is wanted."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    jobs = [
        subprocess.Popen([sys.executable, "-c", JOB, name], cwd=tmp_path, env=environment, **pipes) for name in "ab"
    ]
    assert [job.communicate(timeout=400)[0] for job in jobs] == [b"", b""]
    assert [job.returncode for job in jobs] == [0, 0]
    assert [item.name for item in tmp_path.iterdir()] == ["runs"]
    made = {item.name for item in (tmp_path / "runs").iterdir()}
    assert made == {"a", "b", "mlflow.db", "mlflow.db.lock", "mlartifacts"}
    client = MlflowClient(f"sqlite:///{tmp_path}/runs/mlflow.db")
    (experiment,) = [found for found in client.search_experiments() if found.name == "skills"]
    assert len(client.search_runs([experiment.experiment_id])) == 4


def test_uri_from_the_environment_and_from_the_option(tmp_path, runs_dir, server, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    start(runs_dir, "by-variable").close("FINISHED")
    assert Recorded(runs_dir, "by-variable", server.uri).statuses() == {"parent": "FINISHED"}
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    start(runs_dir, "by-option", server.uri).close("FINISHED")
    assert Recorded(runs_dir, "by-option", server.uri).statuses() == {"parent": "FINISHED"}


def test_unreachable_at_the_start(tmp_path):
    uri = f"http://127.0.0.1:{free_port()}"
    begun = time.monotonic()
    with pytest.raises(InputError, match=uri) as caught:
        start(tmp_path, "run", uri)
    assert time.monotonic() - begun < 15
    assert "\n" not in str(caught.value)
    assert "logging.mlflow=false" in str(caught.value)


def test_other_unusable_places(tmp_path):
    (tmp_path / "file").write_text("")
    for uri in (f"sqlite:///{tmp_path}/file/mlflow.db", "nonsense://here", f"file:{tmp_path}/mlruns"):
        with pytest.raises(InputError, match=uri) as caught:
            start(tmp_path, "run", uri)
        assert "\n" not in str(caught.value)


def test_damaged_ids(runs_dir):
    (runs_dir / "damaged").mkdir()
    (runs_dir / "damaged" / "mlflow.json").write_text("{")
    with pytest.raises(InputError, match=r"mlflow\.json"):
        start(runs_dir, "damaged")


class Training(LightningModule):
    """Twenty updates, each a CSV row and a line to the logger; something happens at the tenth."""

    def __init__(self, path, event):
        super().__init__()
        self.csv, self.event = CsvFile(path, FIRST_COLUMNS), event
        self.weight = torch.nn.Parameter(torch.ones(1))

    def training_step(self, batch, index):
        if index == 10:
            self.event()
        row = {"env_frames": 0, "updates": index, "wall_s": time.time(), "loss": 1 / (index + 1)}
        self.csv.append({"phase": "rl", **row})
        self.logger.log_metrics(row, step=index)
        if index % 4 == 3:
            self.logger.save()
        return self.weight.sum() * 0.1

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


def train(tracker, path, event):
    trainer = Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=tracker.phase("rl"),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=path.parent,
    )
    trainer.fit(Training(path, event), DataLoader(torch.zeros(20, 1)))


def test_the_server_dies_in_the_middle(tmp_path, server, capsys):
    """Training goes on at speed with one line on stderr; what was logged meanwhile is sent when the server is back."""
    tracker = start(tmp_path, "dies", server.uri)
    capsys.readouterr()
    begun = time.monotonic()
    train(tracker, tmp_path / "dies" / "metrics.csv", server.stop)
    adapt = tracker.phase("adapt")
    adapt.log_metrics({"return": 1.0}, step=1)
    tracker.log_artifact(tmp_path / "dies" / "metrics.csv")
    assert time.monotonic() - begun < 30
    complaints = [line for line in capsys.readouterr().err.splitlines() if "MLflow" in line or "urllib3" in line]
    assert len(complaints) == 1
    assert server.uri in complaints[0]
    rows = read(tmp_path / "dies" / "metrics.csv")
    assert [float(row["loss"]) for row in rows] == [1 / (index + 1) for index in range(20)]
    server.launch()
    server.wait()
    tracker.close("FINISHED")
    found = Recorded(tmp_path, "dies", server.uri)
    assert found.statuses() == {"parent": "FINISHED", "rl": "FINISHED", "adapt": "FINISHED"}
    assert found.points("rl", "loss") == [(index, 1 / (index + 1)) for index in range(20)]
    assert found.points("adapt", "return") == [(1, 1.0)]


def away(*_, **__):
    raise MlflowException("gone\naway")


def test_a_server_that_stays_away_is_not_asked_at_every_call(runs_dir, monkeypatch, capsys):
    tracker = start(runs_dir, "away")
    rl = tracker.phase("rl")
    client, calls = tracker._store.client, []

    def fail(*_, **__):
        calls.append(time.monotonic())
        away()

    with monkeypatch.context() as patch:
        patch.setattr(client, "log_batch", fail)
        for step in range(50):
            rl.log_metrics({"return": step}, step=step)
            rl.save()
        assert len(calls) == 1
        tracker._store.forgive()
        rl.save()
        assert len(calls) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    tracker.close("FINISHED")
    assert Recorded(runs_dir, "away").points("rl", "return") == [(step, step) for step in range(50)]


def write_model(folder):
    (folder / "weights").write_text("1 2 3")


def owed(runs_dir, name):
    return list(Ledger(runs_dir / name).accounts[-1].owed)


def test_a_model_is_registered_when_the_server_is_back(tmp_path, server, capsys):
    """Tried when the next phase begins and at the close; kept by the run of its own phase."""
    tracker = start(tmp_path, "late-model", server.uri)
    tracker.phase("skills")
    server.stop()
    attempts = []
    tracker.finished("skills", ("late", lambda folder: (attempts.append(folder), write_model(folder))))
    tracker.phase("rl")
    tracker.phase("adapt")
    assert owed(tmp_path, "late-model") == ["status", "phase skills", "model skills", "phase rl", "phase adapt"]
    server.launch()
    server.wait()
    tracker.finished("adapt", ("prompt", write_model))
    tracker.close("FINISHED")
    assert owed(tmp_path, "late-model") == []
    assert not any(folder.exists() for folder in attempts)
    found = Recorded(tmp_path, "late-model", server.uri)
    assert found.statuses() == {"parent": "FINISHED", "skills": "FINISHED", "rl": "FINISHED", "adapt": "FINISHED"}
    for name, phase in (("late", "skills"), ("prompt", "adapt")):
        (version,) = found.client.search_model_versions(f"name = '{name}'")
        assert version.run_id == found.ids["phases"][phase]
        (file,) = found.client.list_artifacts(version.run_id, "model")
        assert file.path == "model/weights"
    assert found.ids["models"] == {"skills": "models:/late/1", "adapt": "models:/prompt/1"}
    said = capsys.readouterr()
    assert said.out.splitlines() == ["registered  models:/late/1", "registered  models:/prompt/1"]
    assert "not in MLflow" not in said.err


def row(updates, loss, at):
    return {"env_frames": 0, "updates": updates, "wall_s": 1e9 + at, "loss": loss}


def test_both_of_two_rows_at_one_step_arrive(runs_dir):
    """The second of them was never sent by the run that was killed."""
    file = CsvFile(runs_dir / "twice" / "metrics.csv", FIRST_COLUMNS)
    for _ in range(2):
        skills = start(runs_dir, "twice").phase("skills")
        for values in [row(4, 1.0, 1), row(5, 2.0, 2)]:
            if file.rows < 2:
                file.append({"phase": "skills", **values})
            skills.log_metrics(values)
        skills.save()
    file.append({"phase": "skills", **row(5, 0.5, 3)})
    again = start(runs_dir, "twice")
    again.phase("skills").save()
    again.close("FINISHED")
    found = Recorded(runs_dir, "twice")
    history = found.client.get_metric_history(found.ids["phases"]["skills"], "loss")
    assert [(point.step, point.value, point.timestamp) for point in history] == [
        (4, 1.0, 1_000_000_001_000),
        (5, 2.0, 1_000_000_002_000),
        (5, 0.5, 1_000_000_003_000),
    ]
    assert found.phases["skills"].data.metrics["loss"] == 0.5


def test_parameters_that_a_failure_cut_short_are_completed(runs_dir, monkeypatch, capsys):
    params = {f"option{index}": index for index in range(130)}
    send, calls = MlflowClient.log_batch, []

    def fail_the_second(*values, **named):
        calls.append(named)
        if len(calls) == 2:
            away()
        send(*values, **named)

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "log_batch", fail_the_second)
        tracker = start(runs_dir, "params", params=params)
        tracker.settle()
    assert len(Recorded(runs_dir, "params").parent.data.params) == 100
    assert len(capsys.readouterr().err.splitlines()) == 1
    tracker.phase("rl")
    assert len(Recorded(runs_dir, "params").parent.data.params) == 130


def test_a_store_is_known_again_after_another_one_was_used(runs_dir, server):
    parents = []
    for uri in (None, server.uri, None, server.uri):
        tracker = start(runs_dir, "two-stores", uri)
        tracker.phase("rl")
        tracker.close("KILLED")
        parents.append(tracker._account.parent)
    assert parents[:2] == parents[2:]
    assert parents[0] != parents[1]
    for uri, account in zip((None, server.uri), Ledger(runs_dir / "two-stores").accounts, strict=True):
        client = MlflowClient(uri or f"sqlite:///{runs_dir}/mlflow.db")
        experiment = client.get_experiment_by_name("skills").experiment_id
        (parent,) = client.search_runs([experiment], "tags.`mlflow.runName` = 'two-stores'")
        assert (parent.info.run_id, parent.info.status) == (account.parent, "KILLED")
        (phase,) = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{account.parent}'")
        assert (phase.info.run_id, phase.data.tags["resume_count"]) == (account.phases["rl"], "1")


def test_an_artifact_store_without_its_package_ends_no_run(runs_dir, capsys):
    """Its error is an ImportError; rows and outcome are not held up by it."""
    start(runs_dir, "s3").close("FINISHED")
    MlflowClient(f"sqlite:///{runs_dir}/mlflow.db").create_experiment("s3", artifact_location="s3://nowhere/at/all")
    tracker = start(runs_dir, "no-boto", experiment="s3")
    (runs_dir / "no-boto" / "curves.png").write_bytes(b"picture")
    tracker.phase("rl").log_metrics({"return": 1.0}, step=1)
    tracker.finished("rl", ("no-boto", write_model))
    tracker.log_artifact(runs_dir / "no-boto" / "curves.png")
    tracker.close("FINISHED")
    fails, left = capsys.readouterr().err.splitlines()
    assert "ModuleNotFoundError: No module named 'boto3'" in fails
    assert left == "not in MLflow: model rl, file curves.png; the same command tries again, of a finished run too"
    found = Recorded(runs_dir, "no-boto")
    assert found.statuses() == {"parent": "FINISHED", "rl": "FINISHED"}
    assert found.points("rl", "return") == [(1, 1.0)]


def test_a_database_of_which_no_driver_is_installed_is_one_line(tmp_path):
    with pytest.raises(InputError, match="MLflow cannot be used at mssql") as caught:
        start(tmp_path, "run", "mssql+pymssql://host/name")
    assert "\n" not in str(caught.value)


def test_where_a_database_finds_no_room_one_is_told_to_make_some():
    database = sqlite3.connect(":memory:")
    database.execute("PRAGMA max_page_count = 1")
    with pytest.raises(InputError, match="cannot be used at sqlite:///file: make room"), reached("sqlite:///file", ""):
        database.execute("CREATE TABLE numbers (number)")


def test_a_kill_before_a_version_was_noted_makes_no_second_one(runs_dir):
    for kill in (True, False, True, False):
        tracker = start(runs_dir, "noted")
        tracker.phase("rl")
        tracker.finished("rl", ("noted", write_model))
        if kill:
            known = tracker._account.models.get("rl")
            tracker._store.register(tracker._account.phases["rl"], "noted", write_model, known)
        else:
            tracker.close("FINISHED")
    # The phase was trained twice.
    versions = MlflowClient(f"sqlite:///{runs_dir}/mlflow.db").search_model_versions("name = 'noted'")
    assert sorted(int(version.version) for version in versions) == [1, 2]
    assert Recorded(runs_dir, "noted").ids["models"] == {"rl": "models:/noted/2"}


def test_a_kill_while_the_database_is_made_leaves_none(tmp_path):
    file = tmp_path / "mlflow.db"
    child = os.fork()
    if child == 0:
        make_database(f"sqlite:///{file}")
        os._exit(0)
    while not any(made.stat().st_size for made in tmp_path.glob("mlflow.db.tmp")):
        assert os.waitpid(child, os.WNOHANG) == (0, 0)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert not file.exists()


def test_a_finished_run_is_completed_when_the_server_is_back(tmp_path, server, capsys):
    folder = tmp_path / "completed"
    file = CsvFile(folder / "metrics.csv", FIRST_COLUMNS)
    tracker = start(tmp_path, "completed", server.uri)
    skills = tracker.phase("skills")
    server.stop()
    tracker.log_dataset(Path("/data/maze.h5"), "ab" * 32)
    for updates in range(3):
        file.append({"phase": "skills", **row(updates, 1.0, updates)})
        skills.log_metrics(row(updates, 1.0, updates))
    tracker.finished("skills", ("completed", write_model))
    (folder / "summary.json").write_text("{}")
    tracker.log_artifact(folder / "summary.json")
    capsys.readouterr()
    tracker.close("FINISHED")
    said = capsys.readouterr()
    debts = "dataset, phase skills, model skills, file summary.json, status"
    assert said.out == ""
    assert f"not in MLflow: {debts}; the same command tries again, of a finished run too" in said.err
    assert len(said.err.splitlines()) == 2
    server.launch()
    server.wait()
    ended = Ledger(folder).accounts[0].owed["status"][1]
    again = start(tmp_path, "completed", server.uri, finished=True)
    again.finished("skills", ("completed", write_model))
    again.close("FINISHED")
    assert not Ledger(folder).owes()
    found = Recorded(tmp_path, "completed", server.uri)
    assert found.statuses() == {"parent": "FINISHED", "skills": "FINISHED"}
    assert found.points("skills", "loss") == [(0, 1.0), (1, 1.0), (2, 1.0)]
    assert [item.path for item in found.client.list_artifacts(found.ids["parent"])] == ["summary.json"]
    assert len(found.parent.inputs.dataset_inputs) == 1
    (version,) = found.client.search_model_versions("name = 'completed'")
    assert version.run_id == found.ids["phases"]["skills"]
    assert found.parent.data.tags["resume_count"] == "0"
    assert found.parent.info.end_time == ended


class TestSystemMetrics:
    KEYS = frozenset(f"system/{key}" for key in ("cpu_utilization_percentage", "system_memory_usage_megabytes"))

    def log(self, runs_dir, name, steps):
        """A row at each step, and at each the time for a sending has come."""
        uri = f"sqlite:///{runs_dir}/mlflow.db"
        tracker = MLflowTracker.open(runs_dir / name, runs_dir, uri, "skills", name, {}, {}, system_metrics=True)
        rl = tracker.phase("rl")
        rl._flush_seconds = rl._due = 0.0
        for step in steps:
            rl.log_metrics({"return": 1.0}, step=step)
        return tracker

    def test_they_lie_at_the_steps_of_the_phase_and_a_resumed_one_repeats_none(self, runs_dir):
        self.log(runs_dir, "system", range(1, 5))  # killed here
        self.log(runs_dir, "system", range(3, 8)).close("FINISHED")
        found = Recorded(runs_dir, "system")
        assert found.phases["rl"].data.metrics.keys() > self.KEYS
        for key in found.phases["rl"].data.metrics:
            assert [step for step, _ in found.points("rl", key)] == list(range(1, 8))
        megabytes = found.points("rl", "system/system_memory_usage_megabytes")
        assert all(100 < value < psutil.virtual_memory().total / 1e6 for _, value in megabytes)

    def test_they_are_kept_while_the_server_is_away(self, runs_dir, monkeypatch, capsys):
        tracker = self.log(runs_dir, "system-away", [1])
        with monkeypatch.context() as patch:
            patch.setattr(tracker._store.client, "log_batch", away)
            for step in (2, 3):
                tracker._loggers["rl"].log_metrics({"return": 1.0}, step=step)
        assert len(capsys.readouterr().err.splitlines()) == 1
        tracker.close("FINISHED")
        points = Recorded(runs_dir, "system-away").points("rl", "system/cpu_utilization_percentage")
        assert [step for step, _ in points] == [1, 2, 3]

    def test_they_are_measured_as_seldom_as_metrics_are_sent(self, runs_dir):
        tracker = self.log(runs_dir, "system-seldom", [1])
        tracker._loggers["rl"]._due = time.monotonic() + 100
        for step in range(2, 50):
            tracker._loggers["rl"].log_metrics({"return": 1.0}, step=step)
        tracker.close("FINISHED")
        assert len(Recorded(runs_dir, "system-seldom").points("rl", "return")) == 49
        assert len(Recorded(runs_dir, "system-seldom").points("rl", "system/cpu_utilization_percentage")) == 1

    @pytest.mark.parametrize("error", [None, ImportError, RuntimeError, OSError])
    def test_gpus_where_they_can_be_read(self, monkeypatch, error):
        class GPUs(BaseMetricsMonitor):
            def __init__(self):
                super().__init__()
                if error:
                    raise error

            def collect_metrics(self):
                self._metrics["gpu_0_utilization_percentage"].append(97.0)

            def aggregate_metrics(self):
                return {key: sum(values) / len(values) for key, values in self._metrics.items()}

        monkeypatch.setattr(gpu_monitor, "GPUMonitor", GPUs)
        measured = SystemMetrics().measure()
        assert measured.keys() > self.KEYS
        assert measured.get("system/gpu_0_utilization_percentage") == (None if error else 97.0)


def test_the_buffer_is_bounded(runs_dir, monkeypatch):
    monkeypatch.setattr(phase_logger, "BUFFERED_METRICS", 5)
    tracker = start(runs_dir, "bounded")
    rl = tracker.phase("rl")
    for step in range(9):
        rl.log_metrics({"return": step}, step=step)
    tracker.close("FINISHED")
    assert Recorded(runs_dir, "bounded").points("rl", "return") == [(step, step) for step in range(4, 9)]


def test_lightning_reaches_no_server_for_names_and_folders(runs_dir, tmp_path):
    tracker = start(runs_dir, "lightning")
    train(tracker, tmp_path / "metrics.csv", lambda: None)
    logger = tracker._loggers["rl"]
    assert (logger.name, logger.save_dir) == ("rl", str(runs_dir / "lightning"))
    assert logger.version == Recorded(runs_dir, "lightning").ids["phases"]["rl"]
    assert Recorded(runs_dir, "lightning").statuses()["rl"] == "RUNNING"  # the outcome is not Lightning's to set
    logger.log_hyperparams({"options": {"text": "y" * 300}})
    logger.log_hyperparams({"options": {"text": "changed"}})
    tracker.close("FINISHED")
    found = Recorded(runs_dir, "lightning")
    assert found.phases["rl"].data.params == {"options.text": "y" * 300}
    assert len(found.points("rl", "loss")) == 20
