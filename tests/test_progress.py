"""The progress bar of a phase."""

import io
import re
import signal
import subprocess
import sys
from types import SimpleNamespace

import numpy as np

from lightning_skills import progress
from lightning_skills.data import demonstrations
from lightning_skills.phases.base import PhaseModule
from lightning_skills.progress import Progress


class Counter(PhaseModule):
    """A phase that only counts."""

    def __init__(self, done):
        super().__init__(SimpleNamespace(renderer=None))
        self.done = done

    def progress(self):
        return self.done, 1000

    plan = build_optimizers = update = artefact = None


def shown(monkeypatch, **counted):
    """What a bar that begins at 900 of 1000 writes in two minutes, each of which counts up what is named."""
    clock, err = [0.0], io.StringIO()
    monkeypatch.setattr("sys.stderr", err)
    monkeypatch.setattr("tqdm.std.time", lambda: clock[0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    trainer, module = SimpleNamespace(is_global_zero=True), Counter(900)
    bar = Progress("rl", "env frames", SimpleNamespace(latest={}))
    bar.on_train_start(trainer, module)
    for clock[0] in (60.0, 120.0):
        for counter, more in counted.items():
            setattr(module, counter, getattr(module, counter) + more)
        bar.on_train_batch_end(trainer, module)
    bar.teardown(trainer, module, "fit")
    return err.getvalue()


def test_what_was_done_before_a_resume_does_not_count_as_speed(monkeypatch):
    rates = re.findall(r"([\d.]+) env frames/s|([\d.]+)s/ env frames", shown(monkeypatch, done=12))
    assert rates
    assert all(float(slow or 1 / float(fast)) == 5.0 for fast, slow in rates)


def test_a_bar_that_stands_in_env_frames_shows_that_updates_go_on(monkeypatch):
    assert re.findall(r"900/1000 .*updates=(\d+)", shown(monkeypatch, updates=1))[:2] == ["1", "2"]


def test_demonstrations_made_into_a_log_write_a_line_every_half_minute(tmp_path, monkeypatch):
    clock, err = [0.0], io.StringIO()
    monkeypatch.setattr("sys.stderr", err)
    monkeypatch.setattr("tqdm.std.time", lambda: clock[0])

    def generate(options):
        for _ in range(20):
            clock[0] += 10
            yield {"observation": np.zeros((2, 1), np.float32), "action": np.zeros((2, 1), np.float32)}

    made = SimpleNamespace(recipe=lambda options: {"trajectories": 20}, generate=generate)
    monkeypatch.setattr(demonstrations, "resolve", lambda reference: made)
    demonstrations.demonstrations(SimpleNamespace(name="a", demonstrations="b"), None, tmp_path)
    shown = err.getvalue()
    assert "\r" not in shown
    assert re.findall(r"(\d+)/20 ", shown) == ["0", "3", "6", "9", "12", "15", "18", "20"]


def test_a_bar_leaves_nothing_behind_that_outlives_a_kill():
    code = """
import multiprocessing, os, signal
multiprocessing.set_start_method("spawn")  # as torchrl does
from lightning_skills.bars import style
style()[0](total=1)
os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert "leaked" not in killed.stderr
