"""Registered models, in a real store: what is in them, how they are used again, and that nothing in them runs."""

import json
import pickle
import shutil
from pathlib import Path

import pytest
import yaml
from mlflow.tracking import MlflowClient

from lightning_skills import __main__ as main
from lightning_skills import config, models
from lightning_skills.artefacts import Artefact
from lightning_skills.command import train
from lightning_skills.mlflow_ledger import Ledger
from lightning_skills.recorded import find_runs

SKILLS, POLICY = "spirl-maze-small20-skills", "spirl-maze-small20-rl"


def words(folder, *more):
    small = ["debug=smoke", "logging.register=true", "logging.progress=false"]
    return [*more, "env=maze", *small, f"runs_dir={folder}", f"data_dir={folder}/data"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A finished run of SPiRL with MLflow on."""
    folder = tmp_path_factory.mktemp("runs")
    assert train(words(folder, "method=spirl")) == 0
    return folder


def uri(folder):
    return f"sqlite:///{folder}/mlflow.db"


def run_of(folder, name="smoke"):
    return folder / "spirl" / "maze-small20" / name / "seed0"


@pytest.fixture
def planted(folder, tmp_path):
    """Makes a version of the policy out of a changed copy of the first."""
    client = MlflowClient(uri(folder))

    def plant(change):
        files = tmp_path / "planted"
        shutil.copytree(models.fetch(f"models:/{POLICY}/1", uri(folder)), files)
        change(files)
        run = client.create_run(client.get_experiment_by_name("lightning_skills_smoke").experiment_id)
        client.log_artifacts(run.info.run_id, str(files), "model")
        source = f"{run.info.artifact_uri}/model"
        return f"models:/{POLICY}/{client.create_model_version(POLICY, source, run.info.run_id).version}"

    return plant


class Trap:
    """Leaves a file where it is unpickled."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


def test_a_model_is_plain_files_of_the_phases_run(folder):
    client = MlflowClient(uri(folder))
    phases = Ledger(run_of(folder)).accounts[0].phases
    for name, phase, held in ((SKILLS, "skills", ["skills"]), (POLICY, "rl", ["rl", "skills"])):
        version = client.get_model_version(name, "1")
        assert version.run_id == phases[phase]
        files = models.fetch(f"models:/{name}/1", uri(folder))
        found = sorted(str(file.relative_to(files)) for file in files.rglob("*") if file.is_file())
        expected = [f"artefacts/{part}/{file}" for part in held for file in ("artefact.json", "model.safetensors")]
        assert found == sorted([*expected, "run.yaml"])
        for part, kind in zip(held, ("policy", "skills") if phase == "rl" else ("skills",), strict=True):
            ours = Artefact.load(run_of(folder) / "artefacts" / part, kind)
            theirs = Artefact.load(files / "artefacts" / part, kind)
            assert ours.settings == theirs.settings
            assert all(tensor.equal(theirs.tensors[name]) for name, tensor in ours.tensors.items())
        assert yaml.safe_load((files / "run.yaml").read_text()) == config.restore(run_of(folder)).resolved() | {
            "runs_dir": str(folder)
        }


def test_models_are_not_taken_for_runs(folder):
    assert run_of(folder) in [run.folder for run in find_runs([folder])]
    assert all("mlartifacts" not in str(run.folder) for run in find_runs([folder]))


def test_a_model_is_evaluated_without_its_run(folder, tmp_path):
    summary = json.loads((run_of(folder) / "summary.json").read_text())
    with_run, alone = tmp_path / "with_run", tmp_path / "alone"
    assert main.main(["evaluate", str(run_of(folder)), "seed=3", f"out={with_run}", "record_video=true"]) == 0
    moved = run_of(folder).rename(tmp_path / "away")
    try:
        place = f"models:/{POLICY}/1"
        assert main.main(["evaluate", place, f"uri={uri(folder)}", f"out={tmp_path / 'same'}"]) == 0
        latest = f"models:/{POLICY}/latest"
        told = ["evaluate", latest, f"uri={uri(folder)}", "seed=3", f"out={alone}", "record_video=true"]
        assert main.main(told) == 0
        assert main.main(["export", place, f"uri={uri(folder)}", f"out={tmp_path / 'policy'}"]) == 0
    finally:
        moved.rename(run_of(folder))
    assert json.loads((tmp_path / "same" / "evaluation.json").read_text())["returns"] == summary["returns"]
    assert json.loads((alone / "evaluation.json").read_text())["policy"] == place
    assert (alone / "film.gif").read_bytes() == (with_run / "film.gif").read_bytes()  # the same path
    assert (tmp_path / "policy" / "policy.pt2").exists()


def test_skills_are_taken_from_a_model_and_latest_stays_what_it_was(folder, planted, capsys):
    told = words(folder, "method=spirl", "phase=rl", f"skills=models:/{SKILLS}/latest", "name=again", "logging=csv")
    assert train(told) == 0
    written = yaml.safe_load((run_of(folder, "again") / "config.yaml").read_text())
    assert written["sources"] == {"skills": f"models:/{SKILLS}/1"}
    given = Artefact.load(run_of(folder) / "artefacts" / "skills", "skills").tensors
    held = Artefact.load(run_of(folder, "again") / "artefacts" / "rl", "policy").tensors
    assert all(tensor.equal(held[f"skills.{name}"]) for name, tensor in given.items())
    capsys.readouterr()
    assert train(told) == 0
    assert "finished already" in capsys.readouterr().out
    client = MlflowClient(uri(folder))
    first = client.get_model_version(SKILLS, "1")
    client.create_model_version(SKILLS, first.source, first.run_id)
    assert models.find(f"models:/{SKILLS}/latest", uri(folder)) == f"models:/{SKILLS}/2"
    assert train(told) == 2
    assert f"models:/{SKILLS}/1 there, models:/{SKILLS}/2 here" in capsys.readouterr().err


def test_a_run_that_took_its_skills_from_a_model_is_evaluated_too(folder, tmp_path):
    told = words(folder, "method=spirl", "phase=rl", f"skills=models:/{SKILLS}/1", "name=taken", "logging=csv")
    assert train(told) == 0
    assert main.main(["evaluate", str(run_of(folder, "taken")), f"out={tmp_path}"]) == 0


@pytest.mark.parametrize(
    ("place", "named"),
    [
        (f"models:/{POLICY}", "write models:/NAME/VERSION"),
        (f"models:/{POLICY}/first", "write models:/NAME/VERSION"),
        (f"models:/{POLICY}' or 'a/1", "write models:/NAME/VERSION"),
        (f"models:/{POLICY}/99", "no version 99"),
        ("models:/nothing/latest", "no such model"),
        (f"models:/{SKILLS}/1", "'rl' is not finished"),
    ],
)
def test_a_model_that_is_not_there_is_one_line(place, named, folder, tmp_path, capsys):
    assert main.main(["evaluate", place, f"uri={uri(folder)}", f"out={tmp_path / 'out'}"]) == 2
    error = capsys.readouterr().err
    assert named in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_store_that_is_not_there_is_named_and_not_made(tmp_path, capsys):
    assert main.main(["evaluate", "models:/a/1", f"uri=sqlite:///{tmp_path}/none.db"]) == 2
    assert "no MLflow database" in capsys.readouterr().err
    assert main.main(["evaluate", "models:/a/1", "uri=http://127.0.0.1:9"]) == 2
    assert "cannot be used at http://127.0.0.1:9" in capsys.readouterr().err
    assert train(words(tmp_path, "method=spirl", "phase=rl", "skills=models:/a/1", "logging=csv")) == 2
    assert "no MLflow database" in capsys.readouterr().err
    assert [*tmp_path.iterdir()] == []


def test_nothing_that_lies_in_a_model_is_run(folder, planted, tmp_path):
    trap = tmp_path / "sprung"

    def change(files):
        for name in ("policy.pkl", "model.pth", "python_model.pkl", "artefacts/rl/model.pt", "conftest.py"):
            (files / name).write_bytes(pickle.dumps(Trap(trap)))
        (files / "MLmodel").write_text("flavors: {python_function: {loader_module: conftest, model_path: policy.pkl}}")

    place = planted(change)
    assert main.main(["evaluate", place, f"uri={uri(folder)}", f"out={tmp_path / 'out'}"]) == 0
    assert not trap.exists()
    pickle.loads(pickle.dumps(Trap(trap)))
    assert trap.exists()  # it is one


@pytest.mark.parametrize(
    ("file", "named"),
    [
        ("artefacts/rl/model.safetensors", "model.safetensors is damaged"),
        ("artefacts/rl/artefact.json", "artefact.json is damaged"),
    ],
)
def test_a_pickle_in_place_of_a_file_is_not_read_as_one(file, named, folder, planted, tmp_path, capsys):
    trap = tmp_path / "sprung"
    place = planted(lambda files: (files / file).write_bytes(pickle.dumps(Trap(trap))))
    assert main.main(["evaluate", place, f"uri={uri(folder)}"]) == 2
    assert named in capsys.readouterr().err
    assert not trap.exists()


def test_a_config_is_read_as_plain_values(folder, planted, tmp_path, capsys):
    trap = tmp_path / "sprung"
    text = f"method: !!python/object/apply:os.mkdir [{trap}]\nenv: {{name: maze}}\n"
    place = planted(lambda files: (files / "run.yaml").write_text(text))
    assert main.main(["evaluate", place, f"uri={uri(folder)}"]) == 2
    error = capsys.readouterr().err
    assert "run.yaml is damaged" in error
    assert error.count("\n") == 1
    assert not trap.exists()
    yaml.unsafe_load(text)
    assert trap.exists()  # it is one


def test_a_config_names_nothing_that_is_not_registered(folder, planted, capsys):
    text = "method: {name: 'evil.module:METHOD'}\nenv: {name: maze}\n"
    place = planted(lambda files: (files / "run.yaml").write_text(text))
    assert main.main(["evaluate", place, f"uri={uri(folder)}"]) == 2
    assert "unknown method 'evil.module:METHOD'" in capsys.readouterr().err


def test_a_task_that_would_import_a_module_has_to_be_said_by_the_user(folder, planted, capsys):
    def change(files):
        tree = yaml.safe_load((files / "run.yaml").read_text())
        tree["env"] = {"name": "gymnasium", "task": "antigravity:Thing-v0", "horizon": None}
        (files / "run.yaml").write_text(yaml.safe_dump(tree))

    place = planted(change)
    assert main.main(["evaluate", place, f"uri={uri(folder)}"]) == 2
    assert "imports a module" in capsys.readouterr().err
    assert main.main(["evaluate", place, f"uri={uri(folder)}", "env.task=HalfCheetah-v5"]) == 2
    assert "imports a module" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("said", "named"),
    [
        ({"format": 1, "kind": "skills", "settings": {"width": 3}}, "another version wrote it"),
        ({"format": 1, "kind": "skills"}, "lacks format, kind or settings"),
        (["skills"], "artefact.json is damaged"),
    ],
)
def test_an_artefact_that_lacks_a_part_is_one_line(said, named, folder, planted, capsys):
    place = planted(lambda files: (files / "artefacts" / "skills" / "artefact.json").write_text(json.dumps(said)))
    assert main.main(["evaluate", place, f"uri={uri(folder)}"]) == 2
    assert named in capsys.readouterr().err


def test_a_store_that_takes_no_files_does_not_stop_training(tmp_path, capsys):
    (tmp_path / "mlartifacts").write_text("in the way")
    assert train(words(tmp_path, "method=sac")) == 0
    assert (tmp_path / "sac" / "maze-small20" / "smoke" / "seed0" / "artefacts" / "rl" / "artefact.json").exists()
    said = capsys.readouterr()
    assert "MLflow at" in said.err
    assert "registered" not in said.out
    assert "not in MLflow: " in said.err
    assert "model rl; the same command tries again, of a finished run too" in said.err
    client = MlflowClient(uri(tmp_path))
    assert client.search_registered_models() == []
    runs = client.search_runs([client.get_experiment_by_name("lightning_skills_smoke").experiment_id])
    assert [run.info.status for run in runs] == ["FINISHED", "FINISHED"]


@pytest.mark.parametrize("finished", [True, False])
def test_what_mlflow_did_not_take_is_sent_by_the_same_command(finished, tmp_path, capsys):
    """Models, pictures and the summary; of a finished run too; once and not again."""
    told = words(tmp_path, "method=spirl")
    (tmp_path / "mlartifacts").write_text("in the way")
    assert train(told if finished else [*told, "phase=skills"]) == 0
    (tmp_path / "mlartifacts").unlink()
    capsys.readouterr()
    assert train(told) == 0
    said = capsys.readouterr()
    assert ("finished already" in said.out) == finished
    assert said.out.count("registered  models:/") == 2
    assert said.err == ""
    assert train(told) == 0
    assert "registered" not in capsys.readouterr().out
    client = MlflowClient(uri(tmp_path))
    phases = Ledger(run_of(tmp_path)).accounts[0].phases
    for name, phase in ((SKILLS, "skills"), (POLICY, "rl")):
        (version,) = client.search_model_versions(f"name = '{name}'")
        assert version.run_id == phases[phase]
    held = models.fetch(f"models:/{POLICY}/1", uri(tmp_path)) / "artefacts"
    for phase, kind in (("rl", "policy"), ("skills", "skills")):
        ours = Artefact.load(run_of(tmp_path) / "artefacts" / phase, kind)
        assert all(tensor.equal(ours.tensors[key]) for key, tensor in Artefact.load(held / phase, kind).tensors.items())
    runs = client.search_runs([client.get_experiment_by_name("lightning_skills_smoke").experiment_id])
    assert {run.info.status for run in runs} == {"FINISHED"}
    parent = Ledger(run_of(tmp_path)).accounts[0].parent
    assert {item.path for item in client.list_artifacts(parent)} >= {"curves.png", "film.gif", "summary.json"}
    assert client.get_run(parent).data.tags["resume_count"] == ("0" if finished else "1")


def test_a_run_that_goes_on_registers_no_model_twice(tmp_path, capsys):
    assert train(words(tmp_path, "method=spirl", "phase=skills")) == 0
    capsys.readouterr()
    assert train(words(tmp_path, "method=spirl")) == 0
    assert capsys.readouterr().out.count("registered  ") == 1
    assert len(MlflowClient(uri(tmp_path)).search_model_versions(f"name = '{SKILLS}'")) == 1


def test_a_run_without_mlflow_is_not_registered_later(tmp_path, capsys):
    assert train(words(tmp_path, "method=sac", "logging=csv")) == 0
    assert train(words(tmp_path, "method=sac")) == 0
    assert "registered" not in capsys.readouterr().out
    assert not (tmp_path / "mlflow.db").exists()
