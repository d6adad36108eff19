"""Exported policies, called by programs that cannot import this package."""

import dataclasses
import json
import resource
import subprocess
import sys

import numpy as np
import pytest
import torch
from tensordict import TensorDict

from lightning_skills import __main__ as main
from lightning_skills import export, trained
from lightning_skills.command import train
from lightning_skills.errors import InputError
from lightning_skills.evaluation.rollouts import rollout
from lightning_skills.nets.gaussian import squash
from lightning_skills.nets.skill_model import SkillModel
from lightning_skills.phases.base import PhaseContext
from lightning_skills.phases.skill_rl import SkillRLModule
from tests.nets.drawings import Drawings
from tests.phases import test_base, test_skill_rl
from tests.phases.test_images import ENV

EPISODES, HORIZON = 3, 60
ALONE = """
import json, sys
sys.modules["lightning_skills"] = None  # importing it fails
import torch
observations = torch.load("observations.pt")
about = json.load(open("policy.json"))
observation, n = observations[0], observations.shape[1]
exec("\\n".join(about["example"]))
first = action
assert all(list(value.shape[1:]) == said["shape"][1:] for value, said in zip((action, *state), about["outputs"]))
state = [torch.zeros(n, *said["shape"][1:], dtype=getattr(torch, said["dtype"])) for said in about["inputs"][1:]]
actions = []
for observation in observations:
    action, *state = policy(observation, *state)
    actions.append(action)
assert torch.equal(actions[0], first)
single = [value[:1] * 0 for value in state]
alone = []
for observation in observations:
    action, *single = policy(observation[:1], *single)
    alone.append(action)
torch.save({"actions": torch.stack(actions), "alone": torch.stack(alone)}, "actions.pt")
assert "tensordict" not in sys.modules and "lightning" not in sys.modules
"""


def test_a_policy_that_is_there_is_kept(runs, tmp_path, capsys):
    words = ["export", str(runs["sac"]), f"out={tmp_path}"]
    (tmp_path / "policy.pt2").write_text("mine")
    assert main.main(words) == 2
    assert f"{tmp_path} holds policy.pt2 already; give out=FOLDER, or overwrite=true" in capsys.readouterr().err
    assert (tmp_path / "policy.pt2").read_text() == "mine"
    assert main.main([*words, "overwrite=true"]) == 0
    assert (tmp_path / "policy.pt2").read_bytes() != b"mine"


def test_on_a_full_disk_an_earlier_policy_is_kept(runs, tmp_path, capsys):
    words = ["export", str(runs["sac"]), f"out={tmp_path}", "overwrite=true"]
    assert main.main(words) == 0
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before["policy.pt2"]) - 1, limit[1]))
    try:
        assert main.main(words) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert capsys.readouterr().err == f"error: cannot write {tmp_path}/policy.pt2: File too large\n"
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    words = ["env=maze", "debug=smoke", "logging=csv", "logging.progress=false", f"runs_dir={folder}"]
    for method in ("spirl", "sac"):
        assert train([f"method={method}", *words, f"data_dir={folder / 'data'}"]) == 0
    return {method: folder / method / "maze-small20" / "smoke" / "seed0" for method in ("spirl", "sac")}


def executed(run):
    """What our own deterministic evaluation sees ``[T, N, S]`` and executes ``[T, N, A]``."""
    policy = trained.load(str(run))
    observations, actions = [], []

    def make(seeds):
        env = policy.pipeline.worlds(seeds)
        step = env.step

        def recording(action, active=None):
            observations.append(env.observe()["observation"])
            actions.append(np.clip(action, -1, 1))
            return step(action, active)

        env.step = recording
        return env

    done = rollout(policy.module, make, EPISODES, seed=3, explore=False)
    assert done.frames.tolist() == [HORIZON] * EPISODES
    return np.stack(observations), np.stack(actions)


@pytest.mark.parametrize("method", ["spirl", "sac"])
def test_a_program_alone_does_what_our_evaluation_executes(method, runs, tmp_path):
    assert main.main(["export", str(runs[method]), f"out={tmp_path}"]) == 0
    assert main.main(["check", str(tmp_path / "policy.pt2")]) == 0
    observations, actions = executed(runs[method])
    assert np.ptp(actions, axis=0).min() > 1e-4  # else a constant would do
    torch.save(torch.from_numpy(observations), tmp_path / "observations.pt")
    subprocess.run([sys.executable, "-I", "-c", ALONE], cwd=tmp_path, check=True)
    done = torch.load(tmp_path / "actions.pt")
    np.testing.assert_allclose(done["actions"].numpy(), actions, rtol=0, atol=1e-6)
    np.testing.assert_allclose(done["alone"].numpy(), actions[:, :1], rtol=0, atol=1e-6)


def test_a_file_says_how_it_is_called(runs, tmp_path):
    assert main.main(["export", str(runs["spirl"]), f"out={tmp_path}"]) == 0
    about = json.loads((tmp_path / "policy.json").read_text())
    assert (about["method"], about["env"], about["task"], about["seed"]) == ("spirl", "maze", "small20", 0)
    assert [(tensor["name"], tensor["shape"], tensor["dtype"]) for tensor in about["inputs"]] == [
        ("observation", ["batch", 4], "float32"),
        ("latent", ["batch", 10], "float32"),
        ("steps", ["batch"], "int64"),
    ]
    assert [tensor["name"] for tensor in about["outputs"]] == ["action", "latent", "steps"]
    assert main.main(["export", str(runs["sac"]), f"out={tmp_path}", "overwrite=true"]) == 0
    about = json.loads((tmp_path / "policy.json").read_text())
    assert [tensor["name"] for tensor in (*about["inputs"], *about["outputs"])] == ["observation", "action"]


@pytest.mark.parametrize("squashing", [{}, {"slope": 1.0}, {"bound": None, "tanh_actions": False}])
def test_skills_are_chosen_anew_after_so_many_steps_and_actions_stay_in_bounds(squashing):
    module = test_skill_rl.build(dataclasses.replace(test_skill_rl.SPIRL, **squashing))
    step = export.program(module.step_policy()).module()
    assert module.skills.horizon == 4
    latent, steps, chosen = torch.zeros(5, 5), torch.zeros(5, dtype=torch.int64), []
    for expected in (1, 2, 3, 0, 1):
        observation = 100 * torch.randn(5, 3)
        if not chosen:
            u, _, _ = module.act(TensorDict({"observation": observation}, [5]), module.initial_state(5), explore=False)
        action, latent, steps = step(observation, latent, steps)
        assert steps.tolist() == [expected] * 5
        assert action.abs().max() <= 1
        chosen.append(latent)
    assert all(torch.equal(chosen[0], same) for same in chosen[1:4])
    assert not torch.equal(chosen[0], chosen[4])
    options = module.options
    torch.testing.assert_close(chosen[0], squash(u, options.bound, options.slope), rtol=1e-4, atol=1e-5)
    assert "bound" in squashing or chosen[4].abs().max() <= 2


def built(**settings):
    model = SkillModel(dataclasses.replace(test_skill_rl.SIZES, **settings))
    renderer = Drawings() if "image_shape" in settings else None
    return SkillRLModule(
        PhaseContext(test_skill_rl.SPIRL, ENV, {"skills": model.to_artefact()}, renderer=renderer)
    ).train()


@pytest.mark.parametrize(
    ("module", "named"),
    [
        (lambda: built(decoder="open_loop"), "open_loop: it decides 4 actions at once"),
        (lambda: built(decoder="conditioned"), "conditioned: it decides 4 actions at once"),
        (lambda: built(image_shape=Drawings().image_shape), "sees images"),
        (test_base.TwoNets, "policies of this phase cannot be exported; those of a phase 'rl' can, on states"),
    ],
    ids=["open loop", "conditioned", "images", "without step_policy"],
)
def test_what_cannot_be_exported_says_why(module, named):
    with pytest.raises(InputError, match=named):
        module().step_policy()


@pytest.mark.parametrize(
    ("words", "named"), [(["seed=1"], "unknown option"), (["uri=nowhere", "models:/a"], "one run")]
)
def test_bad_input_is_one_line(words, named, runs, tmp_path, capsys):
    assert main.main(["export", str(runs["sac"]), *words, f"out={tmp_path / 'out'}"]) == 2
    error = capsys.readouterr().err
    assert named in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()
