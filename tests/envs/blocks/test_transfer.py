"""Skills learned on images of 5 blocks serve a task with 11, whose states are wider; skills on states do not."""

import json

import pytest

from lightning_skills.artefacts import Artefact
from lightning_skills.command import train
from lightning_skills.data import trajectories


@pytest.fixture
def run(tmp_path):
    words = ["method=spirl", "env=blocks", "debug=smoke", "logging=csv", "logging.progress=false"]
    places = [f"runs_dir={tmp_path / 'runs'}", f"data_dir={tmp_path / 'data'}"]
    return lambda *more: train([*words, *places, *more])


def test_images_bridge_data_and_task(run, tmp_path, capsys):
    sparse = ["env.task=sparse11", "env.images=true"]
    assert run("env.task=dense5", "env.images=true", "phase=skills") == 0
    skills = tmp_path / "runs/spirl/blocks-dense5/smoke/seed0"
    assert run(*sparse, "name=own", "phase=skills") == 0
    (data,) = (tmp_path / "data" / "blocks").glob("*/dataset.json")
    assert json.loads(data.read_text())["recipe"]["blocks"] == 5, "one data set for both tasks"
    assert run(*sparse, f"skills={skills}", "phase=rl") == 0
    policy = Artefact.load(tmp_path / "runs/spirl/blocks-sparse11/smoke/seed0/artefacts/rl", "policy")
    assert policy.settings["skills"]["image_shape"] == [6, 32, 32]

    capsys.readouterr()
    assert run("env.task=sparse11", f"data={trajectories.load(data.parent).path}", "name=states") == 2
    assert "observation has width 23, env 'blocks' has 41" in capsys.readouterr().err
    assert run("env.task=dense5", "name=states", "phase=skills") == 0
    learned = tmp_path / "runs/spirl/blocks-dense5/states/seed0"
    assert run("env.task=sparse11", f"skills={learned}", "phase=rl", "name=other") == 2
    assert "learned on states of length 23, this environment's have 41" in capsys.readouterr().err
    assert run("env.task=dense5", "env.images=true", f"skills={learned}", "phase=rl", "name=other") == 2
    assert "learned on states, this environment shows images of (6, 32, 32)" in capsys.readouterr().err
