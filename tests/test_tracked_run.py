"""A whole run with MLflow on: what people find in the tracking store afterwards."""

import csv

from mlflow.tracking import MlflowClient

from lightning_skills.command import train


def test_curves_pictures_and_summary_are_in_mlflow(tmp_path):
    words = ["method=spirl", "env=maze", "debug=smoke", "logging.progress=false", "evaluation.interim_every=100"]
    assert train([*words, f"runs_dir={tmp_path}", f"data_dir={tmp_path / 'data'}"]) == 0
    folder = tmp_path / "spirl" / "maze-small20" / "smoke" / "seed0"
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    experiment = client.get_experiment_by_name("lightning_skills")
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
