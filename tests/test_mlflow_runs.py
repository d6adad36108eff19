"""Runs read from real tracking stores, which hold what lightning_skills.tracking wrote."""

import json

import numpy as np
import pytest
from mlflow.tracking import MlflowClient

from lightning_skills import mlflow_runs
from lightning_skills.command import train
from lightning_skills.errors import InputError
from lightning_skills.groups import group_runs
from lightning_skills.mlflow_runs import find_mlflow_runs, option
from lightning_skills.recorded import find_runs
from lightning_skills.tracking import MLflowTracker
from tests.logged_runs import log_run
from tests.recorded_runs import write_run

EVALUATIONS = [(100, 1.0, 0.0), (200, 1 / 3, 1.0)]


@pytest.fixture(scope="module")
def runs_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def uri(runs_dir):
    return f"sqlite:///{runs_dir}/mlflow.db"


@pytest.fixture(autouse=True)
def _no_uri_from_outside(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture
def log(runs_dir, request):
    """Logs a run's folder into an experiment of this test."""

    def make(folder, **options):
        log_run(folder, runs_dir, request.node.name, **options)

    return make


@pytest.fixture
def read(uri, request):
    return lambda: find_mlflow_runs([request.node.name], uri)


def test_a_run_is_the_same_from_its_folder_and_from_mlflow(tmp_path):
    """Trained for real, with phase, rows, pictures and all."""
    words = ["method=spirl", "env=maze", "debug=smoke", "logging.progress=false", "name='1234e567'"]
    assert train([*words, f"runs_dir={tmp_path}", f"data_dir={tmp_path / 'data'}"]) == 0
    (there,) = find_runs([tmp_path])
    (here,) = find_mlflow_runs(["lightning_skills_smoke"], f"sqlite:///{tmp_path}/mlflow.db")
    assert here.options == there.options
    assert here.summary == there.summary
    assert here.online_phases == there.online_phases == ("rl",)
    keys = [key for key in there.rows[0] if key not in ("phase", "env_frames", "wall_s")]
    for key in keys:
        np.testing.assert_array_equal(here.curve("rl", key), there.curve("rl", key))
    offline = [row["loss"] for row in there.rows if row["phase"] == "skills"]
    assert [row["loss"] for row in here.rows if row["phase"] == "skills"] == offline != []
    with pytest.raises(InputError, match=r"1234e567/seed0 and mlflow:lightning_skills_smoke/\w+ have the same config"):
        group_runs([there, here])


def test_runs_group_and_name_themselves_as_from_folders(tmp_path, log, read):
    for method in ("sac", "spirl"):
        for seed in (0, 1):
            log(write_run(tmp_path, method, seed, evaluations=EVALUATIONS, final=(7.0, 0.5)))
    here, there = group_runs(read()), group_runs(find_runs([tmp_path]))
    shown = [(group.task, str(group), [run.seed for run in group.runs]) for group in here]
    assert shown == [("maze-small20", "sac", [0, 1]), ("maze-small20", "spirl", [0, 1])]
    for mine, other in zip(here, there, strict=True):
        assert [run.summary for run in mine.runs] == [run.summary for run in other.runs]
        for curve, expected in zip(mine.curves("eval/return"), other.curves("eval/return"), strict=True):
            np.testing.assert_array_equal(curve, expected)
            np.testing.assert_array_equal(curve, [[100, 200], [1, 1 / 3]])


def test_counters_of_offline_and_online_phases(tmp_path, log, read):
    folder = write_run(tmp_path)
    header = "phase,env_frames,updates,wall_s,loss,train/return,time/updates_per_s,time/frames_per_s\n"
    rows = "skills,0,100,0,5.0,,9.0,\nskills,0,200,0,4.0,,9.0,\nrl,1200,7,0,3.0,1.5,,8.0\n"
    (folder / "metrics.csv").write_text(header + rows)
    log(folder, status="KILLED")
    (run,) = read()
    found = [(row["phase"], row["env_frames"], row["updates"], row["loss"], row["train/return"]) for row in run.rows]
    assert found == [
        ("skills", "0", "100", "5.0", ""),
        ("skills", "0", "200", "4.0", ""),
        ("rl", "1200", "7", "3.0", "1.5"),
    ]
    assert len({tuple(row) for row in run.rows}) == 1
    assert run.progress() == "rl, 1,200 of 4,000 env frames"


def test_rows_at_one_step_and_of_a_phase_that_was_done_again(tmp_path, log, read):
    """As in the folder, the later ones hold."""
    folder = write_run(tmp_path)
    rows = [(10, 1, 1, 5.0), (20, 2, 2, 4.0), (20, 3, 3, 3.0), (30, 4, 4, 2.0), (10, 1, 5, 9.0), (20, 2, 6, 8.0)]
    text = "".join(f"rl,{frames},{updates},{at},{loss}\n" for frames, updates, at, loss in rows)
    (folder / "metrics.csv").write_text(f"phase,env_frames,updates,wall_s,critic_loss\n{text}")
    log(folder, status="KILLED")
    (here,), (there,) = read(), find_runs([tmp_path])
    assert [(row["env_frames"], row["updates"], row["critic_loss"]) for row in here.rows] == [
        (str(frames), str(updates), str(loss)) for frames, updates, _, loss in rows
    ]
    np.testing.assert_array_equal(here.curve("rl", "critic_loss"), [[10, 20], [9, 8]])
    np.testing.assert_array_equal(there.curve("rl", "critic_loss"), [[10, 20], [9, 8]])


def test_a_run_in_its_offline_phase(tmp_path, log, read):
    folder = write_run(tmp_path)
    (folder / "metrics.csv").write_text("phase,env_frames,updates,wall_s,time/updates_per_s\nskills,0,100,0,9.0\n")
    log(folder, status="KILLED")
    (run,) = read()
    assert run.online_phases == ()
    assert run.progress() == "skills, 100 of 500 updates"


def test_values_that_no_database_holds(tmp_path, log, read):
    evaluations = [(100, "inf", 0.0), (200, "-inf", 0.0), (300, "nan", 0.0), (400, 2.0, 0.0)]
    log(write_run(tmp_path, evaluations=evaluations), status="KILLED")
    (run,) = read()
    assert [row["eval/return"] for row in run.rows] == ["inf", "-inf", "nan", "2.0"]
    np.testing.assert_array_equal(run.curve("rl", "eval/return"), [[400], [2]])


@pytest.mark.parametrize("status", ["KILLED", "FAILED"])
def test_a_summary_holds_if_the_run_is_finished(runs_dir, tmp_path, uri, status):
    folder = write_run(tmp_path, evaluations=EVALUATIONS, final=(7.0, 0.5))
    log_run(folder, runs_dir, status, status=status)
    (run,) = find_mlflow_runs([status], uri)
    assert run.summary is None
    log_run(folder, runs_dir, status, status="FINISHED")
    (run,) = find_mlflow_runs([status], uri)
    assert run.summary == json.loads((folder / "summary.json").read_text())


def test_a_finished_run_without_a_summary(tmp_path, log, read):
    log(write_run(tmp_path, evaluations=EVALUATIONS))
    assert [run.summary for run in read()] == [None]


def test_a_damaged_summary_is_named(tmp_path, log, read):
    folder = write_run(tmp_path, evaluations=EVALUATIONS)
    (folder / "summary.json").write_text("{")
    log(folder)
    with pytest.raises(InputError, match=r"summary\.json of the MLflow run \w{32}") as error:
        read()
    assert "\n" not in str(error.value)


def test_every_run_of_a_long_list_once(tmp_path, log, uri, request, monkeypatch):
    for seed in range(3):
        log(write_run(tmp_path, seed=seed, evaluations=EVALUATIONS))
    monkeypatch.setattr(mlflow_runs, "PAGE", 2)
    runs = find_mlflow_runs([request.node.name] * 2, uri)
    assert [(run.seed, len(run.rows)) for run in runs] == [(0, 2), (1, 2), (2, 2)]


def test_phases_come_in_the_order_in_which_they_were_trained(tmp_path, log, read):
    folder = write_run(tmp_path)
    rows = "".join(f"{phase},10,1,0,1.0\n" for phase in ("zeta", "alpha", "meta"))
    (folder / "metrics.csv").write_text(f"phase,env_frames,updates,wall_s,x\n{rows}")
    log(folder)
    (run,) = read()
    assert run.online_phases == ("zeta", "alpha", "meta")


def test_what_others_log_is_left_out(tmp_path, log, read, uri, request):
    log(write_run(tmp_path, evaluations=EVALUATIONS))
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(request.node.name).experiment_id
    client.log_metric(client.create_run(experiment).info.run_id, "x", 1.0)
    (before,) = read()
    parent = before.place.rpartition("/")[2]
    client.log_metric(client.create_run(experiment, tags={"mlflow.parentRunId": parent}).info.run_id, "x", 1.0, step=5)
    (run,) = read()
    assert run.rows == before.rows


def test_no_run(runs_dir, tmp_path, log, uri, request):
    log(write_run(tmp_path))
    client = MlflowClient(uri)
    client.create_experiment("empty")
    client.delete_experiment(client.create_experiment("deleted"))
    with pytest.raises(InputError, match=r"no run in experiment 'empty' at sqlite.*logging\.experiment=empty"):
        find_mlflow_runs([request.node.name, "empty"], uri)
    for name in ("away", "deleted", ""):
        with pytest.raises(InputError, match=f"no experiment '{name}' at sqlite.* there is .*{request.node.name}"):
            find_mlflow_runs([name], uri)


def test_a_store_that_cannot_be_used(tmp_path):
    with pytest.raises(InputError, match=r"no MLflow database at .*none\.db; give uri="):
        find_mlflow_runs(["x"], f"sqlite:///{tmp_path}/none.db")
    assert not list(tmp_path.iterdir())
    (tmp_path / "text.db").write_text("no database" * 1000)
    for uri in (f"sqlite:///{tmp_path}/text.db", "nonsense://here", "http://127.0.0.1:9"):
        with pytest.raises(
            InputError, match=f"MLflow cannot be used at {uri}: start it, or give another uri="
        ) as error:
            find_mlflow_runs(["x"], uri)
        assert "\n" not in str(error.value)


def test_where_the_store_is(tmp_path, log, uri, request, monkeypatch):
    log(write_run(tmp_path / "files", seed=5))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=f"no MLflow database at {tmp_path}/runs/mlflow.db"):
        find_mlflow_runs(["x"])
    (tmp_path / "runs").mkdir()
    MLflowTracker.open(tmp_path / "run", tmp_path / "runs", None, "x", "x", {"seed": 0}, {}).close("FINISHED")
    with pytest.raises(InputError, match="no run in experiment 'x'"):
        find_mlflow_runs(["x"])
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert [run.seed for run in find_mlflow_runs([request.node.name])] == [5]
    with pytest.raises(InputError, match="no MLflow database at /none"):
        find_mlflow_runs([request.node.name], "sqlite:////none")


@pytest.mark.parametrize(
    "value", ["spirl", "", "1e5", "007", "1234e567", "1_000", "b'x'", "'x'", "...", "a+b", 3, -0.5, 1e-05, 1e300, True]
)
def test_options_read_back_as_they_were(value):
    assert option(str(value)) == value
    assert type(option(str(value))) is type(value)


@pytest.mark.parametrize("value", [None, False, [128, 128], [], {}, ["a", 1.5, None], (1, 2)])
def test_options_that_are_no_text_read_back(value):
    assert option(str(value)) == value
