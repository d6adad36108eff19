"""Several processes that train one run: two of them on the CPU, which meet by gloo."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import distributed, nn

from lightning_skills.checkpoint import Checkpoints, newest
from lightning_skills.command import train
from lightning_skills.data.batch_env import EnvInfo
from lightning_skills.errors import InputError
from lightning_skills.launch import free_port, rank_variables
from lightning_skills.nets.standardiser import Standardiser
from lightning_skills.phases.base import PhaseContext, PhaseModule, Update
from lightning_skills.testing import FORKS, Kill, interrupted_when, run_forked

ROOT = Path(__file__).parent.parent
TWO = ["trainer.devices=2", "trainer.accelerator=cpu"]
SAMPLE = ["method=reward_weighted", "env=target", "debug=smoke", "logging=csv", "logging.progress=false"]
SPIRL = ["method=spirl", "env=maze", "debug=smoke", "logging=csv", "logging.progress=false"]


class Scaled(PhaseModule):
    """A layer with BatchNorm whose loss is the sum of its inputs times the weight, and what it was shown."""

    def __init__(self, world_size):
        super().__init__(PhaseContext(None, EnvInfo({"observation": (3,)}, 2, 10), world_size=world_size))
        self.weight = nn.Parameter(torch.ones(3))
        self.norm = nn.BatchNorm1d(3, affine=False)
        self.standardiser = Standardiser(3)

    plan = build_optimizers = update = artefact = progress = None


def step_on_rank(rank, port, folder):
    distributed.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    module = Scaled(2)
    inputs = torch.tensor([[1.0, 2.0, 3.0], [3.0, 6.0, 9.0]]) * (rank + 1)
    module.norm(inputs)
    module.standardiser.show(inputs)
    module.step(torch.optim.SGD([module.weight], lr=0.5), (module.weight * inputs).sum())
    save_file(
        {name: value.clone() for name, value in module.state_dict().items() if name != "_extra_state"},
        folder / f"{rank}",
    )
    distributed.destroy_process_group()


def test_a_step_moves_by_the_mean_gradient_and_statistics_are_of_all_ranks(tmp_path):
    port = free_port()
    ranks = [FORKS.Process(target=step_on_rank, args=(rank, port, tmp_path)) for rank in (0, 1)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(120)
    first, second = (load_file(tmp_path / str(rank)) for rank in (0, 1))
    # Gradients [4, 8, 12] and twice that; batch means [2, 4, 6] and twice that, with momentum 0.1.
    torch.testing.assert_close(first["weight"], 1 - 0.5 * torch.tensor([6.0, 12.0, 18.0]))
    torch.testing.assert_close(first["norm.running_mean"], 0.1 * torch.tensor([3.0, 6.0, 9.0]))
    # Shown are n, 3n, 2n, 6n in column n.
    torch.testing.assert_close(first["standardiser.mean"], torch.tensor([3.0, 6.0, 9.0]))
    torch.testing.assert_close(first["standardiser.std"], 3.5**0.5 * torch.tensor([1.0, 2.0, 3.0]))
    assert all(torch.equal(first[name], second[name]) for name in first)


def train_and_keep(words, variables, folder):
    original = Checkpoints.on_train_end

    def on_train_end(self, trainer, module):
        tensors = {name: value.clone() for name, value in module.state_dict().items() if name != "_extra_state"}
        save_file(tensors, folder / f"{self._folder.name}_{trainer.global_rank}")
        save_file(load_rows(self), folder / f"{self._folder.name}_rows_{trainer.global_rank}")
        original(self, trainer, module)

    Checkpoints.on_train_end = on_train_end
    os.environ.update(variables)
    sys.exit(train(words))


def load_rows(checkpoints):
    """The observations in the rank's buffer, or nothing of an offline phase."""
    buffers = getattr(checkpoints._data, "buffers", {})
    return {name: replay._storage.get(slice(0, len(replay)))["observation"] for name, replay in buffers.items()}


def test_weights_are_equal_on_all_ranks_and_data_are_not(tmp_path):
    words = [*SPIRL, *TWO, f"runs_dir={tmp_path / 'runs'}", f"data_dir={tmp_path / 'data'}"]
    ranks = [FORKS.Process(target=train_and_keep, args=(words, variables, tmp_path)) for variables in rank_variables(2)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(240)
    assert [process.exitcode for process in ranks] == [0, 0]
    for phase in ("skills", "rl"):
        first, second = (load_file(tmp_path / f"{phase}_{rank}") for rank in (0, 1))
        assert all(torch.equal(first[name], second[name]) for name in first), phase
    first, second = (load_file(tmp_path / f"rl_rows_{rank}")["replay"] for rank in (0, 1))
    assert not torch.equal(first, second)


def test_a_killed_rank_ends_the_job_which_then_goes_on(tmp_path):
    words = ["method=reward_weighted", "env=target", "logging=csv", "method.policy.frames=800", *TWO]
    words += ["evaluation.episodes=2", "evaluation.interim_episodes=1", f"runs_dir={tmp_path}"]
    command = [sys.executable, str(ROOT / "train.py"), *words, "checkpoint.every_minutes=0", "logging.progress=false"]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 240
    while not list(tmp_path.rglob("evaluations/*/*.npz")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    survivor, victim = sorted(psutil.Process(process.pid).children(), key=lambda child: child.environ()["RANK"])
    victim.kill()
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 128 + signal.SIGKILL
    assert not survivor.is_running()
    assert "rank 1 was killed by SIGKILL, so the others were stopped; the same command goes on" in errors
    assert "Traceback" not in errors
    assert "leaked" not in errors  # as Python's resource tracker says of semaphores that nobody has removed
    finishing = [*command[:-2], "checkpoint.every_minutes=5", "logging.progress=false"]
    result = subprocess.run(finishing, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "resumes at" in result.stdout
    assert len(list(tmp_path.rglob("summary.json"))) == 1


def test_a_signal_stops_all_ranks_after_one_checkpoint(tmp_path):
    words = ["method=reward_weighted", "env=target", "logging=csv", "method.policy.frames=8000", *TWO]
    words += ["evaluation.episodes=2", "evaluation.interim_episodes=1", f"runs_dir={tmp_path}"]
    command = [sys.executable, str(ROOT / "train.py"), *words]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 240
    while not list(tmp_path.rglob("evaluations/*/*.npz")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 128 + signal.SIGTERM
    assert "Traceback" not in errors
    assert errors.count("stopping: writing a checkpoint") == errors.count("stopped by SIGTERM") == 1
    assert not list(tmp_path.rglob("updates_*.tmp"))
    checkpoint = newest(next(tmp_path.glob("*/*/*/seed0/checkpoints/policy")))
    assert {path.name for path in checkpoint.glob("rank_*")} == {"rank_0", "rank_1"}


def test_another_number_of_ranks_needs_to_be_asked_for(tmp_path, capsys):
    words = [*SAMPLE, f"runs_dir={tmp_path}"]
    kill = Kill("policy", updates=4)
    run_forked([*words, *TWO, "checkpoint.every_minutes=0"], ranks=2, kill=kill)
    folder = tmp_path / "reward_weighted" / "target-near" / "smoke" / "seed0" / "checkpoints" / "policy"
    before = newest(folder)
    rows = sum(len(next(iter(load_file(file).values()))) for file in before.rglob("segment_*"))
    assert train(words) == 2
    error = capsys.readouterr().err
    assert "world_size (2 there, 1 here)" in error
    assert "resume.reshard=true" in error
    assert newest(folder) == before
    assert train([*words, "resume.reshard=true"]) == 0
    after = newest(folder)
    assert json.loads((after / "owner.json").read_text())["world_size"] == 1
    assert sum(len(next(iter(load_file(file).values()))) for file in after.rglob("segment_*")) > rows


def test_tasks_go_to_the_ranks_that_have_them(tmp_path):
    words = ["method=pearl", "env=target", "debug=smoke", "logging=csv", "logging.progress=false"]
    words += [f"runs_dir={tmp_path}", "trainer.accelerator=cpu", "resume.reshard=true", "method.meta.frames=400"]
    with interrupted_when(lambda module: module.updates == 2):
        assert train(words) == 143
    killed = run_forked([*words, "trainer.devices=2", "checkpoint.every_minutes=0"], 2, Kill("meta", 5))
    assert killed[0] == -signal.SIGKILL
    kept = newest(next(tmp_path.glob("pearl/*/*/seed0/checkpoints/meta")))
    held = [load_file(file) for file in sorted(kept.glob("rank_*/**/views.safetensors"))]
    sizes = torch.stack([views["replay/end"] - views["replay/first"] for views in held])
    of_the_rank = torch.arange(sizes.shape[1]) % 2 == torch.arange(2)[:, None]
    assert torch.equal(sizes > 0, of_the_rank & (sizes.sum(0) > 0))
    assert (sizes > 0).any(1).all()
    assert train(words) == 0
    assert len(list(tmp_path.rglob("summary.json"))) == 1


def test_torchrun_on_two_nodes_trains_as_our_own_launcher_does_on_one(tmp_path):
    words = ["train.py", "method=sac", "env=maze", "debug=smoke", "logging=csv", "logging.progress=false", *TWO]
    agent = ["-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1", f"--master-port={free_port()}"]
    nodes = [[*agent, f"--node-rank={node}"] for node in range(2)]
    written = []
    for launchers, shape in ((nodes, ["trainer.nodes=2", "trainer.devices=1"]), ([[]], [])):
        runs_dir = tmp_path / str(len(written))
        commands = [[sys.executable, *launcher, *words, *shape, f"runs_dir={runs_dir}"] for launcher in launchers]
        processes = [subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) for command in commands]
        for process in processes:
            _, stderr = process.communicate(timeout=240)
            assert process.returncode == 0, stderr
        folder = runs_dir / "sac" / "maze-small20" / "smoke" / "seed0"
        assert {path.name for path in folder.rglob("rank_*")} == {"rank_0", "rank_1"}
        written.append({file.name: file.read_bytes() for file in (folder / "artefacts" / "rl").iterdir()})
    assert written[0] == written[1]
    assert written[0].keys() == {"artefact.json", "model.safetensors"}


def test_bad_input_is_said_once(tmp_path):
    command = [sys.executable, str(ROOT / "train.py"), *SPIRL, *TWO, f"runs_dir={tmp_path}", f"data={tmp_path}/none"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert "no data set at" in result.stderr


def test_ranks_that_were_not_started(tmp_path, capsys):
    assert train([*SAMPLE, f"runs_dir={tmp_path}", "trainer.nodes=2"]) == 2
    assert "makes 2 processes, but 1 were started" in capsys.readouterr().err


def test_a_batch_must_be_shared_evenly():
    with pytest.raises(InputError, match="batch of 5 cannot be shared evenly by 2 processes"):
        Scaled(2).share(Update(1, batch_size=5))
