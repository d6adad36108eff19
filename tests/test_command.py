"""The command line: exit statuses, one-line errors, sweeps, folders."""

import json
import os
import re
import resource
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from lightning_skills import __main__ as cli
from lightning_skills import command, config
from lightning_skills.artefacts import Artefact
from lightning_skills.checkpoint import newest
from lightning_skills.command import train
from lightning_skills.data import trajectories
from lightning_skills.errors import InputError
from lightning_skills.launch import free_port
from lightning_skills.nets.skill_model import SkillModel, SkillModelSettings

ROOT = Path(__file__).parent.parent
QUICK = ["debug=smoke", "logging=csv", "logging.progress=false"]
SAMPLE = ["method=reward_weighted", "env=target", *QUICK]


def refused(capsys, words, message):
    """The command ends with status 2 and exactly one line on stderr."""
    status = train(words)
    captured = capsys.readouterr()
    assert status == 2
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert message in captured.err


def spirl(tmp_path, *words):
    return [
        "method=spirl",
        "env=maze",
        *QUICK,
        f"runs_dir={tmp_path / 'runs'}",
        f"data_dir={tmp_path / 'data'}",
        *words,
    ]


@pytest.mark.parametrize(
    "words", [["train.py", "method=spirl", "env=maze"], ["-m", "lightning_skills", "report", "runs"]]
)
def test_a_python_without_our_packages_is_named(words):
    done = subprocess.run([sys.executable, "-S", *words], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert re.fullmatch(r"error: \S+ has no package '\w+'; activate .*\n", done.stderr)


COMMANDS = ["methods", "envs", "tasks", "experiments", "train", "report", "explore", "evaluate", "export", "check"]
COMMANDS += ["data"] * 5


@pytest.mark.parametrize(
    ("words", "commands"),
    [
        ([], COMMANDS),
        (["-h"], COMMANDS),
        (["report", "--help"], ["report"]),
        (["evaluate", "RUN", "-h"], ["evaluate"]),
        (["envs", "--help"], ["envs"]),
        (["data", "--help"], ["data"] * 5),
        (["data", "generate", "-h"], ["data"]),
    ],
)
def test_every_command_can_be_asked_for_help(words, commands, capsys):
    assert cli.main(words) == 0
    usage, *lines = capsys.readouterr().out.splitlines()
    assert usage == "usage: python -m lightning_skills COMMAND"
    assert [line.split()[0] for line in lines if re.match(r"  \w", line)] == commands


def test_the_help_of_data_generate_lists_its_options(capsys):
    assert cli.main(["data", "generate", "--help"]) == 0
    printed = capsys.readouterr().out
    assert all(option in printed for option in ("env.task=", "env.data.trajectories=", "data_dir=", "debug=smoke"))


def test_a_command_without_its_words_is_told_its_own_usage(capsys):
    assert cli.main(["data", "import"]) == 2
    said = capsys.readouterr().err
    assert "minari:ID" in said
    assert "data validate" not in said


def test_a_command_that_there_is_not_is_named_and_so_are_words_that_do_not_fit(capsys):
    assert cli.main(["evalute", "RUN"]) == 2
    assert capsys.readouterr().err == "error: there is no command 'evalute'; did you mean evaluate?\n"
    assert cli.main(["data", "discribe", "A"]) == 2
    assert capsys.readouterr().err == "error: there is no command 'data discribe'; did you mean data describe?\n"
    assert cli.main(["data", "describe", "A", "B"]) == 2
    first, usage, *_ = capsys.readouterr().err.splitlines()
    assert first == "error: cannot run 'data describe A B': it does not take these words"
    assert usage.startswith("usage: ")


def test_help_and_lists(capsys):
    assert train(["--help"]) == 0
    assert "python -m lightning_skills methods" in capsys.readouterr().out
    assert cli.main(["methods"]) == 0
    assert "spirl" in capsys.readouterr().out
    assert cli.main(["envs"]) == 0
    assert "maze" in capsys.readouterr().out
    assert cli.main(["tasks", "maze"]) == 0
    assert {"small20", "spirl40", "simpl20-12-7"} < set(capsys.readouterr().out.splitlines())
    assert cli.main(["tasks", "gymnasium"]) == 0
    assert capsys.readouterr().out.startswith("env.task is whatever gymnasium takes")
    assert cli.main(["experiments"]) == 0
    listed = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert listed.keys() == {file.stem for file in (config.CONF / "experiment").glob("*.yaml")}
    assert listed["pearl_point_blind"].startswith("The control of experiment=pearl_point: the same frames")
    assert cli.main(["nonsense"]) == 2


def test_a_distribution_is_listed_among_the_tasks_as_one_and_no_env_is_named(capsys):
    assert cli.main(["tasks", "kitchen"]) == 0
    assert capsys.readouterr().out.startswith("simpl  (a distribution")
    assert cli.main(["tasks", "locomotion"]) == 0
    assert "cheetah-vel-0 ... cheetah-vel-129" in capsys.readouterr().out.splitlines()
    assert cli.main(["tasks", "kitchn"]) == 2
    assert "did you mean kitchen" in capsys.readouterr().err


def test_who_waits_at_a_terminal_hears_at_once_that_it_starts(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    train(["method=none"])
    assert capsys.readouterr().err.startswith("starting ...\nerror: unknown method")
    train(["--cfg"])
    assert not capsys.readouterr().err


def test_cfg_prints_the_resolved_whole(capsys):
    assert train(["--cfg", "method=spirl", "env=maze", "method.rl.lr=1e-5"]) == 0
    printed = capsys.readouterr().out
    assert "name: spirl" in printed
    assert "lr: 1.0e-05" in printed


def test_a_run_leaves_what_it_promises_and_is_not_run_twice(tmp_path, capsys):
    words = [*SAMPLE, f"runs_dir={tmp_path}"]
    assert train(words) == 0
    folder = tmp_path / "reward_weighted" / "target-near" / "smoke" / "seed0"
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["env_frames"] >= 40
    assert len(summary["returns"]) == summary["episodes"] == 2
    assert f"writes to   {folder}" in capsys.readouterr().out
    assert (folder / "metrics.csv").read_text().startswith("phase,env_frames,updates,wall_s")
    for name in ("config.yaml", "curves.png", "artefacts/policy/model.safetensors"):
        assert (folder / name).exists()
    before = (folder / "metrics.csv").read_bytes()
    capsys.readouterr()
    assert train(words) == 0
    assert "finished already" in capsys.readouterr().out
    assert (folder / "metrics.csv").read_bytes() == before
    code = f"import sys; from lightning_skills.command import train; print(train({words!r}), 'torch' in sys.modules)"
    again = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert again.stdout == f"finished already: {folder}\n0 False\n"


def test_a_diverged_run_is_an_error_and_no_artefact(tmp_path, capsys):
    refused(capsys, spirl(tmp_path, "method.skills.lr=1e30", "method.skills.updates=20"), "phase 'skills' diverged")
    assert not list(tmp_path.rglob("artefact.json"))


def test_a_folder_with_another_config(tmp_path, capsys):
    words = [*SAMPLE, f"runs_dir={tmp_path}", "name=mine"]
    assert train(words) == 0
    refused(capsys, [*words, "method.policy.lr=0.5"], "method.policy.lr (0.003 there, 0.5 here)")
    assert train([*words, "logging.every_frames=7"]) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["method=spril", "env=maze"], "did you mean spirl"),
        (["method=spirl", "env=maez"], "did you mean maze"),
        (["method=spirl", "env=maze", "method.rl.learning_rate=1"], "unknown option 'method.rl.learning_rate'"),
        (["method=spirl", "env=maze", "method.rl.lr=fast"], "'method.rl.lr'"),
        (["method=spirl", "env=target"], "it needs demonstrations"),
        (["method=spirl", "env=maze", "env.radius=-1"], "env.radius is -1.0; it must be positive"),
        (["method=spirl", "env=maze", "env.data.workers=0"], "env.data.workers is 0; it must be at least 1"),
        (["method=spirl", "env=maze", "method.rl.kl_estimator=exact"], "method.rl.kl_estimator is 'exact'; choose one"),
        (["method=spirl", "env=maze", "method.rl.regulariser=kl"], "method.rl.regulariser is 'kl'; choose one"),
        (["method=spirl", "env=maze", "method.skills.batch_size=0"], "method.skills.batch_size is 0"),
        (["method=spirl", "env=maze", "method.skills.updates=-1"], "method.skills.updates is -1"),
        (["method=spirl", "env=maze", "method.skills.horizon=0"], "method.skills.horizon is 0"),
        (["method=spirl", "env=maze", "method.rl.lr=-1"], "method.rl.lr is -1.0; it must be positive"),
        (["method=spirl", "env=maze", "method.rl.frames=4"], "frames=4 end within the warm-up of 4 transitions"),
        (["method=spirl", "env=maze", "seed=-1"], "seed is -1"),
        (["method=spirl", "env=maze", "collect.worlds=0"], "collect.worlds is 0"),
        (["method=spirl", "env=maze", "evaluation.episodes=0"], "evaluation.episodes is 0"),
        (["method=spirl", "env=maze", "trainer.threads=-1"], "trainer.threads is -1"),
        (["method=spirl", "env=maze", "name=a/b"], "without '/'"),
        (["method=spirl", "env=maze", f"name={'ä' * 128}"], "put the value into quotes of its own"),
        (["method=spirl", "env=maze", f"name='{'ä' * 128}'"], "name has 256 bytes; a folder's has 255 at most"),
        (["method=spirl", "env=maze", "name=a=b"], "cannot read 'name=a=b'; put the value into quotes of its own"),
        (["method=spirl", "env=maze", "name"], "cannot read 'name'; options are written key=value"),
        (["method=spirl", "env=maze", "phase=skills", "skills=/a/run"], "nothing is left to train with skills= given"),
        (["method=spirl", "env=maze", "skills="], "skills= is empty; give the path of a run that has it"),
        (["method=simpl", "env=maze", "meta=runs/x"], "meta= needs the skills it was trained with; give skills= too"),
        (["method=pearl", "env=locomotion", "data=x"], "data=x: no phase of method 'pearl' learns from recorded data"),
        (["method=spirl", "env=maze", "skills=/a/run", "rl=/a/run"], "to train with skills=, rl= given; leave it out"),
        (
            ["experiment=simpl_maze_small", "method=spirl"],
            "experiment/simpl_maze_small sets it, and what was chosen beside it has no such option",
        ),
        pytest.param(
            ["method=spirl", "env=maze", "trainer.accelerator=gpu"],
            "torch finds none here",
            marks=pytest.mark.skipif(torch.cuda.is_available() or torch.mps.is_available(), reason="there is a GPU"),
        ),
    ],
)
def test_bad_words(tmp_path, capsys, words, message):
    refused(capsys, [*words, *QUICK, f"runs_dir={tmp_path / 'runs'}"], message)
    assert not (tmp_path / "runs").exists()


def test_a_server_that_is_away_leaves_no_folder(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    words = ["method=reward_weighted", "env=target", "debug=smoke", "logging.progress=false"]
    refused(capsys, [*words, f"runs_dir={tmp_path / 'runs'}"], "MLflow cannot be used at")
    assert not (tmp_path / "runs").exists()


def test_an_env_whose_state_cannot_be_saved_leaves_no_folder(tmp_path, capsys):
    words = ["method=sac", "env=gymnasium", "env.task=Pendulum-v1", *QUICK, f"runs_dir={tmp_path / 'runs'}"]
    refused(capsys, words, "its state cannot be saved")
    assert not (tmp_path / "runs").exists()


def test_data_that_is_not_there_or_damaged(tmp_path, capsys, point_data):
    refused(capsys, spirl(tmp_path, f"data={tmp_path}/none"), "no data set at")
    path = point_data().path
    whole = (path / "observation.npy").read_bytes()
    (path / "observation.npy").write_bytes(whole[:-100])
    refused(capsys, spirl(tmp_path, f"data={path}"), "observation.npy is damaged")


def test_data_with_nan(tmp_path, capsys, point_data):
    data = point_data(observation=lambda values: np.where(values > 2, np.nan, values).astype(np.float32))
    refused(capsys, spirl(tmp_path, f"data={data.path}"), "observation is not finite at row")


def test_data_of_another_env(tmp_path, capsys, point_data):
    data = point_data(observation=lambda values: values[:, :3])
    refused(capsys, spirl(tmp_path, f"data={data.path}"), "observation has width 3, env 'maze' has 4")


def test_trajectories_shorter_than_a_skill(tmp_path, capsys, point_data):
    data = point_data(lengths=(9, 10))
    refused(capsys, spirl(tmp_path, f"data={data.path}"), "longest trajectory has 10 rows, windows need 11")


def test_a_missing_or_foreign_artefact(tmp_path, capsys):
    refused(capsys, spirl(tmp_path, "phase=rl"), "phase 'rl' needs 'skills'")
    assert train([*SAMPLE, f"runs_dir={tmp_path}"]) == 0
    run = tmp_path / "reward_weighted" / "target-near" / "smoke" / "seed0"
    refused(capsys, spirl(tmp_path, f"skills={run}"), f"there is none at {run / 'artefacts' / 'skills'}")
    policy = tmp_path / "reward_weighted" / "target-near" / "smoke" / "seed0" / "artefacts" / "policy"
    refused(
        capsys, spirl(tmp_path, "phase=rl", f"skills={policy}", "name=other"), "holds 'policy', but 'skills' is needed"
    )


@pytest.mark.parametrize(
    ("words", "made", "message"),
    [
        (["method=ssp"], {}, "skills of decoder 'closed_loop', and method.skills.decoder is 'open_loop'"),
        (["method=spirl"], {"decoder": "open_loop"}, "of decoder 'open_loop', and method.skills.decoder is 'closed_"),
        (["method=simpl"], {"horizon": 5}, "skills of horizon 5, and method.skills.horizon is 10"),
        (["method=spirl", "method.skills.latent_dim=3"], {}, "of latent_dim 10, and method.skills.latent_dim is 3"),
        (
            ["method=simpl", "method.skills.decoder=open_loop"],
            {},
            "decoder is 'open_loop'; choose one of closed_loop",
        ),
        (["method=simpl"], {"image_shape": (6, 16, 16)}, "closed-loop skills of states; these are of images"),
        (
            ["method=simpl"],
            {"state_dim": 60, "action_dim": 9},
            "learned on actions of length 9, this",
        ),
    ],
)
def test_skills_that_are_not_those_of_the_options(tmp_path, capsys, words, made, message):
    settings = {"state_dim": 4, "action_dim": 2, "horizon": 10, "latent_dim": 10, "encoder_width": 4, "width": 4}
    model = SkillModel(SkillModelSettings(**{"decoder_layers": 1, "prior_layers": 1, **settings, **made}))
    model.to_artefact().save(tmp_path / "learned")
    words = [*words, "env=maze", *QUICK, f"skills={tmp_path / 'learned'}", f"runs_dir={tmp_path / 'runs'}"]
    refused(capsys, words, message)
    assert not (tmp_path / "runs").exists()


def test_one_phase_from_another_runs_artefact(tmp_path, capsys):
    assert train(spirl(tmp_path, "name=first", "phase=skills")) == 0
    source = tmp_path / "runs" / "spirl" / "maze-small20" / "first" / "seed0"
    assert (source / "artefacts" / "skills").exists()
    assert not (source / "artefacts" / "rl").exists()
    assert train(spirl(tmp_path, "name=second", "phase=rl", f"skills={source}")) == 0
    assert (tmp_path / "runs" / "spirl" / "maze-small20" / "second" / "seed0" / "summary.json").exists()
    another = "another config: skills (none there, /a/run here); give this one"
    refused(capsys, spirl(tmp_path, "name=first", "skills=/a/run"), another)


def test_what_was_meta_trained_on_other_skills_is_refused(tmp_path, capsys):
    words = ["method=simpl", "env=maze", *QUICK, f"runs_dir={tmp_path / 'runs'}", f"data_dir={tmp_path / 'data'}"]
    for seed in (0, 1):
        assert train([*words, "phase=skills", "name=skills", f"seed={seed}"]) == 0
    own, other = sorted(tmp_path.glob("runs/*/*/skills/seed*"))
    assert train([*words, "phase=meta", "name=meta", f"skills={own}"]) == 0
    meta = next(tmp_path.glob("runs/*/*/meta/seed0"))
    judged = (meta / "evaluations/meta/summary.json").read_text()
    assert judged == (meta / "summary.json").read_text(), "it stays there when the run's is that of the next phase"
    assert json.loads(judged).keys() >= {"eval/return", "eval/return_before"}
    words += ["phase=adapt", f"meta={meta}"]
    there = f"other skills than those in {other / 'artefacts' / 'skills'}"
    refused(capsys, [*words, f"skills={other}"], f"{meta / 'artefacts' / 'meta'} holds meta trained with {there}")
    assert train([*words, f"skills={own}", "evaluation.tasks=1"]) == 0


def test_a_checkpoint_of_another_method(tmp_path, capsys):
    words = [*SAMPLE, f"runs_dir={tmp_path}"]
    assert train(words) == 0
    folder = tmp_path / "reward_weighted" / "target-near" / "smoke" / "seed0"
    (folder / "artefacts" / "policy" / "artefact.json").unlink()
    owner = newest(folder / "checkpoints" / "policy") / "owner.json"
    owner.write_text(owner.read_text().replace("reward_weighted", "spirl"))
    refused(capsys, words, "config.method.name (spirl there, reward_weighted here)")


@pytest.fixture
def small_files():
    """No file may grow beyond 20 kB, as on a disk that is full."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, old[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, old)


def test_a_full_disk_while_data_are_written(tmp_path, capsys, small_files):
    refused(capsys, spirl(tmp_path, "env.data.trajectories=300"), "error: cannot write ")
    assert not list((tmp_path / "data").rglob("*.npy"))
    assert not list((tmp_path / "data").rglob("*.tmp"))


def test_a_full_disk_while_a_checkpoint_is_written(tmp_path, capsys, request):
    assert train(spirl(tmp_path, "phase=skills")) == 0
    folder = tmp_path / "runs" / "spirl" / "maze-small20" / "smoke" / "seed0"
    checkpoint = next((folder / "checkpoints" / "skills").glob("updates_*"))
    before = {path: path.read_bytes() for path in checkpoint.rglob("*") if path.is_file()}
    request.getfixturevalue("small_files")
    refused(capsys, spirl(tmp_path), "cannot write checkpoint")
    assert {path: path.read_bytes() for path in checkpoint.rglob("*") if path.is_file()} == before
    assert not list((folder / "checkpoints").rglob("*.tmp"))


def test_a_full_disk_while_the_config_is_written(tmp_path, capsys):
    words = [*SAMPLE, f"runs_dir={tmp_path}", "phase=policy"]
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, old[1]))
    try:
        refused(capsys, words, "config.yaml: File too large")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == {"lock"}
    assert train(words) == 0


def test_a_full_disk_while_an_artefact_is_written(tmp_path, small_files):
    small, large = (Artefact("skills", {}, {"x": torch.ones(items)}) for items in (10, 10_000))
    small.save(tmp_path / "skills")
    with pytest.raises(InputError, match=r"cannot write .*skills: .*File too large"):
        large.save(tmp_path / "skills")
    assert Artefact.load(tmp_path / "skills", "skills").tensors["x"].tolist() == [1.0] * 10
    assert [path.name for path in tmp_path.iterdir()] == ["skills"]


def test_sweeps_run_every_job_in_its_own_process(tmp_path):
    words = [*SAMPLE, f"runs_dir={tmp_path}", "seed=0,1"]
    command = [sys.executable, str(ROOT / "train.py"), "-m", *words]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("     done  method=reward_weighted") == 2
    folder = tmp_path / "reward_weighted" / "target-near" / "smoke"
    assert result.stdout.splitlines()[-1] == f"     next  python -m lightning_skills report {folder}"
    runs = sorted(path.parent.name for path in tmp_path.rglob("summary.json"))
    assert runs == ["seed0", "seed1"]


def test_a_sweep_says_what_to_run_next(tmp_path, monkeypatch, capsys):
    statuses = iter([0, 1, 143])
    monkeypatch.setattr(command, "run_job", lambda job: next(statuses))
    monkeypatch.setattr(sys, "argv", ["train.py"])
    words = ["method=spirl", "env=maze", "phase=skills", "seed=0,1,2,3", f"runs_dir={tmp_path}/a b"]
    assert train(["-m", *words]) == 143
    *outcomes, again, following = [line.split() for line in capsys.readouterr().out.splitlines()[-6:]]
    assert [" ".join(line).partition(" method")[0] for line in outcomes] == ["done", "exit 1", "exit 143", "not run"]
    assert shlex.split(" ".join(again))[2:] == ["python", "train.py", "-m", *words]
    folder = f"{tmp_path}/a b/spirl/maze-small20/default"
    assert shlex.split(" ".join(following))[1:] == ["python", "-m", "lightning_skills", "explore", folder]


def test_a_sweep_of_skills_that_no_phase_can_explore_with_names_no_command(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command, "run_job", lambda job: 0)
    words = ["method=simpl", "env=maze", "phase=skills", "seed=0,1", f"runs_dir={tmp_path}"]
    assert train(["-m", *words]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[-2:]] == ["done", "done"]


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_after_a_checkpoint_and_the_same_command_goes_on(tmp_path, capsys, signum):
    words = ["method=reward_weighted", "env=target", "logging=csv", f"runs_dir={tmp_path}", "method.policy.frames=1500"]
    words += ["evaluation.episodes=2", "evaluation.interim_episodes=1"]
    command = [sys.executable, str(ROOT / "train.py"), *words]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    folder = tmp_path / "reward_weighted" / "target-near"
    deadline = time.monotonic() + 240
    while not list(folder.rglob("evaluations/*/*.npz")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(process.pid, signum)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 128 + signum
    assert errors.count("stopping: writing a checkpoint ...") == 1
    stopped = rf"stopped by {signal.Signals(signum).name} after a checkpoint at [\d,]+ env frames of phase 'policy'; .*"
    assert re.fullmatch(stopped, errors.rstrip("\n").split("\n")[-1])
    assert not list(folder.rglob("updates_*.tmp"))
    capsys.readouterr()
    assert train([*words, "logging.progress=false"]) == 0
    assert f"resumes at  {folder}" in capsys.readouterr().out
    assert len(list(folder.rglob("summary.json"))) == 1


def test_data_generate_describe_validate(tmp_path, capsys):
    words = ["data", "generate", "env=maze", "env.data.trajectories=8", f"data_dir={tmp_path}"]
    assert cli.main(words) == 0
    assert "trajectories" in capsys.readouterr().out
    path = next(tmp_path.rglob("dataset.json")).parent
    digest = trajectories.load(path).digest
    assert cli.main(["data", "validate", str(path)]) == 0
    assert cli.main(["data", "describe", str(path)]) == 0
    assert digest[:16] in capsys.readouterr().out
    assert cli.main(["data", "describe", str(tmp_path / "none")]) == 2
    assert cli.main(["data", "generate", "env=target", f"data_dir={tmp_path}"]) == 2
