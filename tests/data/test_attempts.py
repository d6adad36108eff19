"""Which attempts are kept, what is told of the others, and when there is no hope."""

import itertools

import pytest

from lightning_skills.data.attempts import GIVE_UP, successes
from lightning_skills.errors import InputError


def odd(number):
    return number % 2 == 1


def test_each_success_comes_with_the_failures_since_the_one_before():
    assert list(successes([2, 1, 3, 4, 6, 5, 8, 7], odd, "")) == [(2, []), (4, [1, 3]), (6, []), (8, [5])]


def test_attempts_are_made_as_they_are_wanted():
    assert list(itertools.islice(successes(itertools.count(), odd, ""), 2)) == [(0, []), (2, [1])]


def test_failures_in_a_row_are_an_error_with_a_hint():
    almost = [1] * (GIVE_UP - 1)
    assert [len(dropped) for _, dropped in successes([*almost, 2, *almost, 4], odd, "")] == [len(almost)] * 2
    with pytest.raises(InputError, match=f"^{GIVE_UP} demonstrations in a row failed; try harder$"):
        list(successes(itertools.repeat(1), odd, "try harder"))
