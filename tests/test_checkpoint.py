import json
import math
import operator
import os
import random
import time

import numpy as np
import pytest
import torch

from lightning_skills import checkpoint, config
from lightning_skills.command import train
from lightning_skills.testing import FORKS, artefacts, check_method, interrupted_when, metrics


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
