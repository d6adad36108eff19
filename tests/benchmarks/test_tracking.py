import pytest

from benchmarks import tracking
from benchmarks.tracking import Clock, Spent
from lightning_skills.pipeline import Trainer


class Calls:
    def outer(self):
        return self.inner()

    def inner(self):
        return 1


def test_a_call_within_a_call_counts_once(monkeypatch):
    ticks = iter(range(100))
    monkeypatch.setattr(tracking.time, "perf_counter", lambda: next(ticks))
    clock, original = Clock(), Calls.outer
    with clock.times(Calls, "outer"), clock.times(Calls, "inner"):
        assert Calls().outer() == 1
    assert clock.seconds == 2  # it is read twice on the way in, and once on the way out
    assert Calls.outer is original


def test_what_is_paid_once_weighs_less_in_a_long_run():
    spent = Spent(training=10.0, while_training=0.1, once=2.0)
    assert spent.share(10.0) == pytest.approx(0.21)
    assert spent.share(1000.0) == pytest.approx(0.012)


def test_both_sides_are_trained_and_only_one_is_tracked(tmp_path, monkeypatch):
    monkeypatch.setattr(tracking, "WORDS", (*tracking.WORDS, "debug=smoke"))
    monkeypatch.setattr(tracking, "RL", ("phase=rl",))
    fit = Trainer.fit
    ((plain, tracked),) = tracking.pairs(frames=120, rounds=1, threads=1, folder=tmp_path)
    assert Trainer.fit is fit
    assert plain.while_training == plain.once == 0
    assert 0 < tracked.while_training < tracked.training
    assert tracked.once > 0
    assert "| with / without, by CPU time |" in tracking.table([(plain, tracked)])
