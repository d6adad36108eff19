"""The progress bar of a phase."""

import io
import re
from types import SimpleNamespace

from lightning_skills import progress
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


def test_what_was_done_before_a_resume_does_not_count_as_speed(monkeypatch):
    clock, err = [0.0], io.StringIO()
    monkeypatch.setattr(progress.sys, "stderr", err)
    monkeypatch.setattr("tqdm.std.time", lambda: clock[0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    trainer, module = SimpleNamespace(is_global_zero=True), Counter(900)
    bar = Progress("rl", "env frames", SimpleNamespace(latest={}))
    bar.on_train_start(trainer, module)
    for clock[0] in (60.0, 120.0):
        module.done += 12
        bar.on_train_batch_end(trainer, module)
    bar.teardown(trainer, module, "fit")
    rates = re.findall(r"([\d.]+) env frames/s|([\d.]+)s/ env frames", err.getvalue())
    assert rates
    assert all(float(slow or 1 / float(fast)) == 5.0 for fast, slow in rates)
