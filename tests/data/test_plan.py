import pytest

from lightning_skills.data.plan import PlanStream
from lightning_skills.phases.base import Collect, Update


class Phase:
    """Two rounds of: collect, 2 updates, collect, 1 update."""

    def __init__(self):
        self.rounds = 0

    def plan(self):
        self.rounds += 1
        if self.rounds > 2:
            return []
        return [Collect(1), Update(2, batch_size=8), Collect(3, policy="act_random"), Update(1, batch_size=4)]


def stream(phase, log):
    return PlanStream(
        phase, lambda update: log.append(("batch", update.batch_size)) or log[-1], lambda c: log.append(c)
    )


def drain(plan):
    # list() would reserve room for the length that the stream pretends to have.
    return [batch for batch in iter(plan)]  # noqa: C416


ROUND = [Collect(1), ("batch", 8), ("batch", 8), Collect(3, policy="act_random"), ("batch", 4)]


def test_instructions_run_in_order_until_the_plan_is_empty():
    log = []
    assert drain(stream(Phase(), log)) == [("batch", 8), ("batch", 8), ("batch", 4)] * 2
    assert log == ROUND * 2


@pytest.mark.parametrize("stop", range(1, 6))
def test_a_restored_stream_goes_on_with_the_very_next_instruction(stop):
    phase, log = Phase(), []
    first = stream(phase, log)
    batches = iter(first)
    for _ in range(stop):
        next(batches)
    remaining = first.remaining()
    second = stream(phase, log)
    second.go_on_with(remaining)
    drain(second)
    assert log == ROUND * 2


def test_restoring_happens_before_the_first_draw_and_not_earlier():
    log = []
    plan = stream(Phase(), log)
    plan.before_first_batch = lambda: log.append("restored")
    assert log == []
    next(iter(plan))
    assert log[:2] == ["restored", Collect(1)]


def test_collecting_without_an_environment_is_an_error():
    with pytest.raises(TypeError, match="collects, but its phase has no environment"):
        drain(PlanStream(Phase(), lambda update: None))
