"""Which subtasks are done and paid for."""

import numpy as np
import pytest

from envs.kitchen import credit
from envs.kitchen.tasks import SUBTASKS

NAMES = ("microwave", "kettle", "bottom burner", "light switch")


def paid(done, remaining, ordered):
    return credit.paid(np.array([done], dtype=bool), np.array([remaining], dtype=bool), ordered)[0].astype(int).tolist()


@pytest.mark.parametrize(
    ("done", "remaining", "ordered", "unordered"),
    [
        ([1, 0, 0, 0], [1, 1, 1, 1], [1, 0, 0, 0], [1, 0, 0, 0]),
        ([0, 1, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0], [0, 1, 0, 0]),  # out of order
        ([1, 1, 0, 1], [1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 0, 1]),  # several at once, one beyond a gap
        ([1, 1, 0, 0], [0, 1, 1, 1], [0, 1, 0, 0], [0, 1, 0, 0]),  # a subtask pays once
        ([0, 1, 0, 0], [0, 1, 1, 1], [0, 1, 0, 0], [0, 1, 0, 0]),  # what was paid for may be undone
        ([1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1]),
        ([1, 1, 1, 1], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]),
    ],
)
def test_who_is_paid(done, remaining, ordered, unordered):
    assert paid(done, remaining, True) == ordered
    assert paid(done, remaining, False) == unordered


def test_a_subtask_is_done_nearer_than_the_threshold():
    states = np.zeros((2, 60))
    states[:, 23:30] = SUBTASKS["kettle"].goal
    states[:, 22] = -0.75
    states[:, [23, 24]] += np.array([[0.29999 * 0.6, 0.29999 * 0.8], [0.30001 * 0.6, 0.30001 * 0.8]])
    assert credit.done(states, NAMES).tolist() == [[True, True, False, False], [True, False, False, False]]


def test_goal_holds_the_subtasks_and_zeros():
    goal = credit.goal(NAMES)
    assert goal[22] == -0.75
    assert goal[23:].tolist() == [-0.23, 0.75, 1.62, 0.99, 0.0, 0.0, -0.06]
    assert goal[[11, 12, 17, 18]].tolist() == [-0.88, -0.01, -0.69, -0.05]
    assert np.count_nonzero(goal) == 1 + 5 + 2 + 2
