"""Phases that run once for each task: what they are called, what they leave, and what becomes of it."""

import csv
import dataclasses
import itertools
import json
import shutil

import numpy as np
import pytest

from lightning_skills import __main__ as main
from lightning_skills import config, parts, plugins
from lightning_skills.command import train
from lightning_skills.data.batch_env import TaskDistribution
from lightning_skills.errors import InputError
from lightning_skills.parts import Part
from lightning_skills.pipeline import Pipeline
from lightning_skills.plugins import Need, Phase
from lightning_skills.testing import interrupted_when

TASKS = TaskDistribution(("a", "b"), ("c", "d"))
OFFLINE, ONLINE = Phase("skills", "m:C", "offline", "skills"), Phase("rl", "m:C", "online", "policy")
META = Phase("meta", "m:C", "tasks", "meta")
ADAPT = Phase("adapt", "m:C", "tasks", "adapted", per_task=True)
WORDS = ["method=sac", "env=target", "debug=smoke", "logging.progress=false", "evaluation.interim_every=10"]
WORDS += ["logging.register=true"]


def test_phases_of_one_task_run_in_each_of_those_to_test_on():
    def names(tasks):
        return [part.name for part in parts.parts((OFFLINE, META, ONLINE, ADAPT), tasks)]

    assert names(TASKS) == ["skills", "meta", "rl/c", "rl/d", "adapt/c", "adapt/d"]
    assert names(None) == ["skills", "meta", "rl", "adapt"]
    assert [parts.phase_of(name) for name in names(TASKS)] == ["skills", "meta", "rl", "rl", "adapt", "adapt"]


@pytest.mark.parametrize(("wanted", "names"), [("1", ["near"]), ("2", ["near", "far"]), ("null", ["near", "far"])])
def test_a_run_is_tested_on_as_many_tasks_as_are_wanted(wanted, names):
    def made(method):
        words = [f"method={method}", *WORDS[1:], "env.task=both", f"evaluation.tasks={wanted}"]
        return Pipeline(config.load(words))

    assert [part.name for part in made("sac").parts] == [f"rl/{name}" for name in names]
    pipeline = made("pearl")
    adapting = pipeline.module(*pipeline.parts).context.env.tasks
    assert adapting == TaskDistribution(("near", "far"), tuple(names))


def test_only_a_phase_of_many_tasks_can_be_told_to_run_in_each():
    with pytest.raises(ValueError, match="phase rl: per_task is for data='tasks', not 'online'"):
        Phase("rl", "m:C", "online", "policy", per_task=True)


def test_nothing_can_need_what_runs_in_parts():
    method, env = plugins.methods()["sac"], plugins.envs()["target"]
    later = Phase("later", "m:C", "online", "policy", needs=(Need("rl", "policy"),))
    options = dataclasses.make_dataclass("Options", [("rl", int, 1), ("later", int, 1)], frozen=True)
    longer = dataclasses.replace(method, phases=(*method.phases, later), config=options)
    parts.check_needs(longer, env, "near")
    with pytest.raises(InputError, match="'later' of method 'sac' needs what 'rl' hands on, and that is one for each"):
        parts.check_needs(longer, env, "both")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run in both tasks, tracked, which was interrupted in the second one."""
    folder = tmp_path_factory.mktemp("runs")
    words = [*WORDS, "env.task=both", f"runs_dir={folder}"]
    updates = itertools.count(1)
    with interrupted_when(lambda _: next(updates) == 33):
        assert train(words) == 143
    assert train(words) == 0
    return config.load(words)


def read(run, name):
    with (run.directory / name).open() as file:
        return list(csv.DictReader(file))


def test_each_part_has_its_own_records(run):
    for kind in ("artefacts", "checkpoints", "evaluations"):
        assert sorted(path.name for path in (run.directory / kind / "rl").iterdir()) == ["far", "near"]
    assert list(dict.fromkeys(row["phase"] for row in read(run, "metrics.csv"))) == ["rl/near", "rl/far"]
    for name in ("near", "far"):
        rows = [row for row in read(run, "metrics.csv") if row["phase"] == f"rl/{name}"]
        frames = [int(row["env_frames"]) for row in rows]
        assert frames == sorted(frames)
        assert frames[-1] == 40


def test_each_part_acts_in_its_own_task(run):
    """Goals are at 0.3 and at 0.8; who moves at random stays near 0."""
    near, far = (
        np.mean([float(row["return"]) for row in read(run, "episodes.csv") if row["phase"] == f"rl/{task}"])
        for task in ("near", "far")
    )
    assert near > far + 1


def test_episodes_are_numbered_in_each_part(run):
    for name in ("near", "far"):
        rows = [row for row in read(run, "episodes.csv") if row["phase"] == f"rl/{name}"]
        assert [int(row["episode"]) for row in rows] == list(range(8))
        assert [int(row["env_frames"]) for row in rows] == [5 * (number + 1) for number in range(8)]
        assert list(rows[0]) == ["phase", "episode", "env_frames", "return", "success"]


def test_parts_differ_in_networks_and_worlds(run):
    pipeline = Pipeline(run)
    near, far = pipeline.parts
    assert (near, far) == (Part(run.method.phases[0], "near"), Part(run.method.phases[0], "far"))
    first, again, other = (pipeline.module(part).policy.last.weight for part in (near, near, far))
    assert first.equal(again)
    assert not first.equal(other)
    assert not set(pipeline._seeds(near, 3)) & set(pipeline._seeds(far, 3))


def test_the_summary_is_the_mean_over_the_tasks(run):
    summary = json.loads((run.directory / "summary.json").read_text())
    assert (summary["phase"], summary["episodes"], summary["env_frames"]) == ("rl", 2, 40)
    assert list(summary["tasks"]) == ["near", "far"]
    each = [np.mean(summary["tasks"][task]["returns"]) for task in ("near", "far")]
    assert each[0] != each[1]
    np.testing.assert_allclose(summary["eval/return"], sum(each) / 2)
    own = json.loads((run.directory / "evaluations" / "rl" / "far" / "summary.json").read_text())
    assert own["returns"] == summary["tasks"]["far"]["returns"]


def test_what_is_finished_is_not_done_again(run, capsys):
    before = {path: path.stat().st_mtime_ns for path in (run.directory / "artefacts").rglob("*.json")}
    assert train(run.words) == 0
    assert "finished already" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in (run.directory / "artefacts").rglob("*.json")} == before


def test_a_part_that_is_missing_is_trained_alone_and_comes_out_alike(run, tmp_path, capsys):
    shutil.copytree(run.config.runs_dir, tmp_path / "copy")
    words = [word for word in run.words if not word.startswith("runs_dir")]
    again = config.load([*words, f"runs_dir={tmp_path / 'copy'}", "logging.mlflow=false"])
    for kind in ("artefacts", "checkpoints"):
        shutil.rmtree(again.directory / kind / "rl" / "near")
    kept = (again.directory / "artefacts" / "rl" / "far" / "model.safetensors").stat().st_mtime_ns
    before, expected = len(read(again, "metrics.csv")), (again.directory / "summary.json").read_text()
    (again.directory / "summary.json").unlink()
    assert train(again.words) == 0
    assert (again.directory / "artefacts" / "rl" / "far" / "model.safetensors").stat().st_mtime_ns == kept
    assert {row["phase"] for row in read(again, "metrics.csv")[before:]} == {"rl/near"}
    assert (again.directory / "summary.json").read_text() == expected


def test_the_closing_table_has_a_line_for_each_task(run):
    from lightning_skills import closing

    summary = json.loads((run.directory / "summary.json").read_text())
    rows = dict(closing._table(run, summary, []))
    assert rows["return"] == f"{summary['eval/return']:.2f}"
    assert rows["means over"] == "2 tasks, each learned by itself"
    for task in ("near", "far"):
        assert rows[task].startswith(f"return {summary['tasks'][task]['eval/return']:.2f}, success")


def test_a_report_has_the_mean_and_a_line_for_each_task(run, tmp_path, capsys):
    assert main.main(["report", str(run.directory), f"out={tmp_path}", "metric=return"]) == 0
    summary = json.loads((run.directory / "summary.json").read_text())
    rows = {row["task"]: row for row in csv.DictReader((tmp_path / "table.csv").open())}
    assert set(rows) == {"target-both", "target-both: near", "target-both: far"}
    assert float(rows["target-both"]["eval/return"]) == summary["eval/return"]
    assert float(rows["target-both: far"]["eval/return"]) == summary["tasks"]["far"]["eval/return"]
    assert "target-both: near" in capsys.readouterr().out


def test_a_curve_is_the_mean_over_the_tasks(run):
    from lightning_skills.recorded import find_runs

    (recorded,) = find_runs([run.directory])
    assert recorded.online_phases == ("rl",)
    assert recorded.summary is not None
    curve = recorded.curve("rl", "eval/return")
    rows = [row for row in recorded.rows if row["eval/return"]]
    values = [
        {int(row["env_frames"]): float(row["eval/return"]) for row in rows if row["phase"] == f"rl/{task}"}
        for task in ("near", "far")
    ]
    assert len(curve[0]) > 1
    for frames, value in curve.T:
        np.testing.assert_allclose(value, (values[0][int(frames)] + values[1][int(frames)]) / 2)


def test_evaluate_and_export_take_the_part_of_a_task(run, tmp_path, capsys):
    for command in ("evaluate", "export"):
        assert main.main([command, str(run.directory), f"out={tmp_path / 'none'}"]) == 2
        error = capsys.readouterr().err
        assert "has a policy for each of these tasks: far, near; say which, env.task=NAME" in error
        assert error.count("\n") == 1
    summary = json.loads((run.directory / "summary.json").read_text())
    for task in ("near", "far"):
        out = tmp_path / task
        assert main.main(["evaluate", str(run.directory), f"env.task={task}", f"out={out}"]) == 0
        assert json.loads((out / "evaluation.json").read_text())["returns"] == summary["tasks"][task]["returns"]
    words = ["env.task=far", "checkpoint=newest", f"out={tmp_path / 'newest'}"]
    assert main.main(["evaluate", str(run.directory), *words]) == 0
    newest = json.loads((tmp_path / "newest" / "evaluation.json").read_text())
    assert newest["returns"] == summary["tasks"]["far"]["returns"]
    assert main.main(["export", str(run.directory), "env.task=far", f"out={tmp_path / 'policy'}"]) == 0
    assert json.loads((tmp_path / "policy" / "policy.json").read_text())["task"] == "far"
    assert main.main(["evaluate", str(run.directory), "env.task=both", f"out={tmp_path / 'none'}"]) == 2
    assert "has no policy for task 'both'; it has one for far, near" in capsys.readouterr().err


def test_a_policy_of_one_task_is_not_taken_to_many(run, tmp_path, capsys):
    words = [*WORDS, "env.task=near", "logging=csv", f"runs_dir={tmp_path}"]
    assert train(words) == 0
    folder = config.load(words).directory
    assert main.main(["evaluate", str(folder), "env.task=both", f"out={tmp_path / 'out'}"]) == 2
    assert "phase 'rl' acts in one task, not in a distribution" in capsys.readouterr().err


def test_explore_wants_one_task(run, tmp_path, capsys):
    assert main.main(["explore", str(run.directory), f"out={tmp_path / 'out'}"]) == 2
    assert "its phase 'rl' is in parts; explore a run of one task" in capsys.readouterr().err


def test_mlflow_has_a_run_and_a_model_for_each_task(run, tmp_path):
    from mlflow.tracking import MlflowClient

    store = f"sqlite:///{run.config.runs_dir}/mlflow.db"
    client = MlflowClient(store)
    experiment = client.get_experiment_by_name("lightning_skills_smoke")
    runs = client.search_runs([experiment.experiment_id])
    assert {each.data.tags["phase"] for each in runs if "phase" in each.data.tags} == {"rl/near", "rl/far"}
    assert {model.name for model in client.search_registered_models()} == {"sac-target-near-rl", "sac-target-far-rl"}
    words = ["evaluate", "models:/sac-target-far-rl/1", f"uri={store}", f"out={tmp_path}"]
    assert main.main(words) == 0
    summary = json.loads((run.directory / "summary.json").read_text())
    assert json.loads((tmp_path / "evaluation.json").read_text())["returns"] == summary["tasks"]["far"]["returns"]


def test_any_method_with_an_online_phase_takes_a_distribution():
    assert config.load(["method=spirl", "env=maze", "env.task=simpl20-train10"]).config.env.task == "simpl20-train10"
