import json
import math
import operator
import os
import random
import shutil
import subprocess
import time

import numpy as np
import pytest
import torch

from lightning_skills import checkpoint, config
from lightning_skills.artefacts import Artefact
from lightning_skills.command import train
from lightning_skills.testing import FORKS, artefacts, check_equal, check_method, interrupted_when, metrics


def draw():
    return torch.rand(3).tolist(), np.random.rand(3).tolist(), random.random(), random.gauss(0, 1)


def test_all_global_streams_are_restored():
    random.gauss(0, 1)
    np.random.normal()
    streams = checkpoint.random_streams()
    expected = draw()
    assert draw() != expected
    checkpoint.restore_random_streams(streams)
    assert draw() == expected


def test_the_newest_complete_checkpoint_counts(tmp_path):
    for name, complete in (
        ("updates_000000000009", True),
        ("updates_000000000010", True),
        ("updates_000000000011", False),
    ):
        (tmp_path / name).mkdir()
        if complete:
            (tmp_path / name / "COMPLETE").touch()
    half_written = tmp_path / "updates_000000000012.tmp"
    half_written.mkdir()
    (half_written / "COMPLETE").touch()
    assert checkpoint.newest(tmp_path).name == "updates_000000000010"
    assert checkpoint.newest(tmp_path / "none") is None


def test_the_best_is_the_first_of_the_highest_return(tmp_path):
    assert checkpoint.best(tmp_path) == (None, -math.inf)
    for updates, score in ((8, -2.0), (9, 5.0), (10, 5.0), (11, None), (12, 4.0)):
        path = tmp_path / f"updates_{updates:012d}"
        path.mkdir()
        (path / "COMPLETE").touch()
        if score is not None:
            (path / checkpoint.SCORE).write_text(json.dumps({"eval/return": score}))
    assert checkpoint.best(tmp_path) == (tmp_path / "updates_000000000009", 5.0)
    (tmp_path / "updates_000000000009" / "COMPLETE").unlink()
    assert checkpoint.best(tmp_path) == (tmp_path / "updates_000000000010", 5.0)


@pytest.mark.parametrize("left_out", ["random", "plan", "carrier", "rows"])
def test_the_kit_notices_what_a_checkpoint_lacks(tmp_path, monkeypatch, left_out):
    """Each part of the state matters: without it a resumed run differs."""
    if left_out == "random":
        monkeypatch.setattr(checkpoint, "restore_random_streams", lambda streams: None)
    elif left_out == "plan":
        monkeypatch.setattr("lightning_skills.data.plan.PlanStream.go_on_with", lambda self, remaining: None)
    elif left_out == "carrier":
        monkeypatch.setattr(
            "lightning_skills.data.online.OnlineData.restore", lambda self, state, tensors, folder: None
        )
    else:
        monkeypatch.setattr("lightning_skills.rows.Rows.restore", lambda self, state: None)
    with pytest.raises((AssertionError, RuntimeError)):
        check_method("spirl", "maze", tmp_path)


def test_sigkill_at_any_moment_loses_nothing(tmp_path):
    """Checkpoints are written all the time, so most kills hit one half-written."""
    words = [
        "method=reward_weighted",
        "env=target",
        "logging=csv",
        "logging.progress=false",
        "method.policy.frames=160",
    ]
    words += ["evaluation.episodes=2", "evaluation.interim_episodes=1", "logging.every_frames=20"]
    whole, killed = ([*words, f"runs_dir={tmp_path / name}"] for name in ("whole", "killed"))
    assert train(whole) == 0
    folder = tmp_path / "killed"
    for minimum in (1, 40, 80):
        process = FORKS.Process(target=train, args=([*killed, "checkpoint.every_minutes=0"],))
        process.start()
        deadline = time.monotonic() + 240
        while updates_saved(folder) < minimum:
            assert process.is_alive()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.kill()
        process.join()
    assert train([*killed, "checkpoint.every_minutes=5"]) == 0
    first, second = config.load(whole), config.load(killed)
    assert metrics(first) == metrics(second)
    mine, theirs = artefacts(first)["policy"].tensors, artefacts(second)["policy"].tensors
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def updates_saved(folder):
    """Of the newest checkpoint; the folders come and go while they are looked at."""
    names = [name for phase in folder.glob("*/*/*/seed*/checkpoints/policy") for name in os.listdir(phase)]
    return max((int(name.split("_")[1]) for name in names if not name.endswith(".tmp")), default=0)


def test_an_interrupted_run_was_really_interrupted(tmp_path):
    words = ["method=reward_weighted", "env=target", "debug=smoke", "logging=csv", "logging.progress=false"]
    with interrupted_when(lambda module: module.updates == 3):
        assert train([*words, f"runs_dir={tmp_path}"]) == 143
    folder = next(tmp_path.glob("*/*/*/seed0/checkpoints/policy"))
    assert checkpoint.newest(folder).name == "updates_000000000003"


def test_what_a_kill_kept_from_being_dropped_is_dropped_at_the_end(tmp_path, monkeypatch):
    words = ["method=reward_weighted", "env=target", "debug=smoke", "logging=csv", "logging.progress=false"]
    with monkeypatch.context() as patch, interrupted_when(lambda module: operator.ge(*module.progress())):
        patch.setattr(checkpoint.Checkpoints, "_drop_others", lambda *_: None)
        assert train([*words, f"runs_dir={tmp_path}"]) == 143
    folder = next(tmp_path.glob("*/*/*/seed0/checkpoints/policy"))
    (folder / "updates_000000000001.tmp").mkdir()
    assert len(checkpoint.complete(folder)) > 2
    assert train([*words, f"runs_dir={tmp_path}"]) == 0
    newest, best = checkpoint.newest(folder), checkpoint.best(folder)[0]
    assert set(folder.iterdir()) == {newest, best}


SMOKE = ["method=reward_weighted", "env=target", "debug=smoke", "logging=csv", "logging.progress=false"]


@pytest.fixture
def unremovable():
    """Makes a folder from which nothing can be removed."""
    made = []

    def make(folder):
        if os.geteuid():
            folder.chmod(0o500)
        elif shutil.which("chattr") is None or subprocess.run(["chattr", "+i", folder], check=False).returncode:
            pytest.skip("nothing here keeps root from removing files")
        made.append(folder)

    yield make
    for folder in made:
        if os.geteuid():
            folder.chmod(0o700)
        else:
            subprocess.run(["chattr", "-i", folder], check=True)


@pytest.mark.parametrize("when", ["resume", "save"])
def test_an_old_checkpoint_that_cannot_be_dropped_is_said_and_stops_nothing(when, unremovable, tmp_path, capsys):
    words = [*SMOKE, f"runs_dir={tmp_path}"]
    with interrupted_when(lambda module: module.updates == 3):
        assert train(words) == 143
    folder = next(tmp_path.glob("*/*/*/seed0/checkpoints/policy"))
    old = folder / ("updates_000000000002" if when == "resume" else "updates_000000000003")
    if when == "resume":
        shutil.copytree(folder / "updates_000000000003", old)
        (old / checkpoint.SCORE).unlink(missing_ok=True)
    unremovable(old)
    capsys.readouterr()
    assert train(words) == 0
    said = capsys.readouterr().err.splitlines()
    assert said
    assert all(line.startswith(f"cannot drop the old checkpoint {old}: ") for line in said)
    assert old.exists()
    assert checkpoint.newest(folder) != old


def test_what_is_left_of_a_dropped_checkpoint_counts_no_more(tmp_path, monkeypatch):
    """A kill may come in the middle."""
    for updates in (1, 2):
        path = tmp_path / f"updates_{updates:012d}"
        path.mkdir()
        (path / "COMPLETE").touch()
    monkeypatch.setattr(checkpoint.shutil, "rmtree", lambda path: None)
    checkpoint.Checkpoints(tmp_path, {}, None, None, every_minutes=1.0, stop=None)._drop_others(path)
    assert checkpoint.complete(tmp_path) == [path]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda folder: next(folder.rglob("segment_*")).unlink(), "segment_000000000.safetensors is missing"),
        (lambda folder: (folder / "rank_0" / "state.json").write_text("{"), "state.json is damaged"),
        (lambda folder: (folder / "rank_0" / "state.safetensors").write_bytes(b""), "state.safetensors is damaged"),
        (lambda folder: (folder / "model.ckpt").unlink(), "model.ckpt is missing"),
        (lambda folder: (folder / "owner.json").write_text("[]"), "owner.json is damaged"),
        (lambda folder: (folder / "evaluation.json").write_text("{}"), "evaluation.json is damaged"),
    ],
)
def test_damage_is_named_with_what_to_do(change, named, stopped, tmp_path, capsys):
    shutil.copytree(stopped, tmp_path, dirs_exist_ok=True)
    path = checkpoint.newest(next(tmp_path.glob("*/*/*/seed0/checkpoints/policy")))
    (path / "evaluation.json").write_text('{"eval/return": 1e9}')
    change(path)
    assert train([*SMOKE, f"runs_dir={tmp_path}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert str(path) in line
    assert named in line
    assert line.endswith(f"; delete the checkpoint {path} to go on from an older one, or to begin the phase anew")
    assert path.exists()


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """Runs with one that was stopped after three updates."""
    folder = tmp_path_factory.mktemp("runs")
    with interrupted_when(lambda module: module.updates == 3):
        assert train([*SMOKE, f"runs_dir={folder}"]) == 143
    return folder


@pytest.mark.parametrize("word", ["method.policy.lr=0.5", "evaluation.seed=3"])
def test_without_its_config_the_run_is_known_by_its_checkpoints(word, stopped, tmp_path, capsys):
    shutil.copytree(stopped, tmp_path, dirs_exist_ok=True)
    next(tmp_path.glob("*/*/*/seed0/config.yaml")).unlink()
    words = [*SMOKE, f"runs_dir={tmp_path}"]
    assert train([*words, word]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    key, value = word.split("=")
    assert f"{key} (" in line
    assert f" there, {value} here)" in line
    assert train([*words, "logging.every_frames=7", "checkpoint.every_minutes=1"]) == 0
    assert next(tmp_path.glob("*/*/*/seed0/config.yaml")).exists()


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"version": "0.0.9"}, "version (0.0.9 there, "),
        ({"phase": "other"}, "phase (other there, "),
        ({"format": 3, "config": {}}, f"has format 3, and this version resumes format {checkpoint.FORMAT}; go on with"),
    ],
)
def test_a_checkpoint_knows_what_wrote_it(other, said, stopped, tmp_path, capsys):
    shutil.copytree(stopped, tmp_path, dirs_exist_ok=True)
    owner = checkpoint.newest(next(tmp_path.glob("*/*/*/seed0/checkpoints/policy"))) / "owner.json"
    owner.write_text(json.dumps({**json.loads(owner.read_text()), **other}))
    assert train([*SMOKE, f"runs_dir={tmp_path}"]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "config." not in error


def test_other_data_under_the_same_path_are_noticed_in_the_middle_of_a_phase(tmp_path, point_data, capsys):
    data = point_data()
    words = ["method=spirl", "env=maze", "debug=smoke", "logging=csv", "logging.progress=false", "phase=skills"]
    words += [f"runs_dir={tmp_path / 'runs'}", f"data={data.path}"]
    with interrupted_when(lambda module: module.updates == 2):
        assert train(words) == 143
    shutil.rmtree(data.path)
    other = point_data(lengths=(40,) * 20)
    assert other.path == data.path
    capsys.readouterr()
    assert train(words) == 2
    assert f"data_set ({data.digest} there, {other.digest} here)" in capsys.readouterr().err


def test_other_skills_under_the_same_path_are_noticed_in_the_middle_of_a_phase(tmp_path, capsys):
    words = ["method=spirl", "env=maze", "debug=smoke", "logging=csv", "logging.progress=false"]
    words += [f"runs_dir={tmp_path / 'runs'}", f"data_dir={tmp_path / 'data'}"]
    for name in ("0", "1"):
        assert train([*words, "phase=skills", "name=skills", f"seed={name}"]) == 0
    own, other = sorted(tmp_path.glob("runs/*/*/skills/seed*/artefacts/skills"))
    with interrupted_when(lambda module: module.updates == 2):
        assert train([*words, "phase=rl", f"skills={own}"]) == 143
    digests = [Artefact.load(place, "skills").digest for place in (own, other)]
    assert digests[0] != digests[1]
    shutil.rmtree(own)
    shutil.copytree(other, own)
    capsys.readouterr()
    assert train([*words, "phase=rl", f"skills={own}"]) == 2
    assert f"built_on.skills ({digests[0]} there, {digests[1]} here)" in capsys.readouterr().err


def change_json(file, change):
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def change_tensors(file, change):
    content = torch.load(file, weights_only=True)
    change(content)
    torch.save(content, file)


@pytest.mark.parametrize(
    ("file", "rewrite", "change", "named"),
    [
        ("model.ckpt", change_tensors, lambda it: it["optimizer_states"][0]["state"][0]["exp_avg"].mul_(2), "exp_avg"),
        ("model.ckpt", change_tensors, lambda it: it["optimizer_states"][0]["param_groups"][0].update(lr=1), "lr"),
        (
            "model.ckpt",
            change_tensors,
            lambda it: it["state_dict"]["_extra_state"].update(transitions=1),
            "transitions",
        ),
        ("model.ckpt", change_tensors, lambda it: it["state_dict"].popitem(), "state_dict holds other values"),
        ("rank_0/state.json", change_json, lambda it: it["plan"].append({}), "plan"),
        ("rank_0/state.json", change_json, lambda it: it["data"]["written"].update(replay=7), "written replay"),
        ("model.ckpt", change_tensors, lambda it: it.update(epoch=7, loops={}), None),
        ("rank_0/state.json", change_json, lambda it: it["rows"].update(csv=7), None),
    ],
)
def test_the_kit_compares_all_of_a_checkpoint(file, rewrite, change, named, finished, tmp_path):
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    first, second = (config.load([*SMOKE, f"runs_dir={folder}"]) for folder in (finished, tmp_path))
    rewrite(checkpoint.newest(second.directory / "checkpoints" / "policy") / file, change)
    if named is None:
        check_equal(first, second)
        return
    with pytest.raises(AssertionError, match=named):
        check_equal(first, second)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Runs with one that is finished."""
    folder = tmp_path_factory.mktemp("runs")
    assert train([*SMOKE, f"runs_dir={folder}"]) == 0
    return folder
