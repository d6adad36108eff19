"""What becomes of a signal, whenever it comes: it stops the run, and is never swallowed."""

import os
import signal
import sys
import time

import pytest
import torch
from lightning.pytorch import Trainer

from lightning_skills import signals
from lightning_skills.checkpoint import Checkpoints
from lightning_skills.command import train
from lightning_skills.launch import rank_variables
from lightning_skills.pipeline import Pipeline
from lightning_skills.rows import Rows
from lightning_skills.signals import Interrupted, StopSignals, interruptible
from lightning_skills.testing import FORKS, run_forked

WORDS = ["method=reward_weighted", "env=target", "debug=smoke", "logging=csv", "logging.progress=false"]
STARTED = (Checkpoints, "on_train_start")
MOMENTS = [
    (STARTED, signal.SIGINT),
    ((Checkpoints, "on_train_end"), signal.SIGINT),
    ((Rows, "teardown"), signal.SIGTERM),
    ((Trainer, "fit"), signal.SIGTERM),
]


def train_until(words, variables, place, name, then):
    """Train in this process; the first time that it has done something, it does something else."""
    os.environ.update(variables)
    torch.set_num_threads(1)
    original = getattr(place, name)

    def patched(*args, **kwargs):
        setattr(place, name, original)
        result = original(*args, **kwargs)
        then()
        return result

    setattr(place, name, patched)
    sys.exit(train(words))


class SignalSelf:
    def __init__(self, signum):
        self.signum = signum

    def __call__(self):
        os.kill(os.getpid(), self.signum)


class WaitForSignal:
    """Say that it has come so far, and stay there."""

    def __init__(self, file):
        self.file = file

    def __call__(self):
        self.file.touch()
        time.sleep(60)


def start(words, place, name, *thens):
    """A process for each rank."""
    each = rank_variables(len(thens)) if len(thens) > 1 else [{}]
    processes = [
        FORKS.Process(target=train_until, args=(words, variables, place, name, then))
        for variables, then in zip(each, thens, strict=True)
    ]
    for process in processes:
        process.start()
    return processes


def statuses(processes):
    for process in processes:
        process.join(60)
        process.kill()
        process.join()
    return [process.exitcode if process.exitcode >= 0 else 128 - process.exitcode for process in processes]


def test_a_signal_stops_a_run_whenever_it_comes(tmp_path):
    words = [*WORDS, f"runs_dir={tmp_path}"]
    for moment, signum in MOMENTS:
        assert statuses(start(words, *moment, SignalSelf(signum))) == [128 + signum], moment
    assert run_forked(words) == [0]


def test_ranks_that_wait_for_the_first_one_stop_with_it(tmp_path):
    words = [*WORDS, f"runs_dir={tmp_path}", "trainer.devices=2", "trainer.accelerator=cpu"]
    evaluated = tmp_path / "evaluated"
    processes = start(words, Pipeline, "_evaluate", WaitForSignal(evaluated), WaitForSignal(evaluated))
    deadline = time.monotonic() + 60
    while not evaluated.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    for process in processes:
        os.kill(process.pid, signal.SIGTERM)
    assert statuses(processes) == [128 + signal.SIGTERM] * 2


def test_one_signalled_rank_stops_all(tmp_path):
    words = [*WORDS, f"runs_dir={tmp_path}", "trainer.devices=2", "trainer.accelerator=cpu"]
    processes = start(words, *STARTED, int, SignalSelf(signal.SIGTERM))
    assert statuses(processes) == [128 + signal.SIGTERM] * 2


def test_a_signal_that_comes_twice_at_once_counts_once_and_later_it_means_now(monkeypatch, capfd):
    stop, clock, raised = StopSignals(), [100.0], []
    monkeypatch.setattr(signals.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(signals.signal, "signal", lambda signum, handler: None)
    monkeypatch.setattr(signals.signal, "raise_signal", raised.append)
    for clock[0] in (100.0, 100.2, 100.9):
        stop._note(signal.SIGTERM, None)
    assert not raised
    assert capfd.readouterr().err == f"{signals.STOPPING}\n"
    clock[0] = 101.5
    stop._note(signal.SIGTERM, None)
    assert raised == [signal.SIGTERM]


def test_outside_of_phases_too(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(signals.time, "monotonic", lambda: clock[0])
    with interruptible():
        with pytest.raises(Interrupted):
            signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        clock[0] = 101.5
        with pytest.raises(Interrupted):
            signal.raise_signal(signal.SIGINT)
