"""Pieces of work come back in order, from one process or several."""

import itertools
import os

import pytest

from lightning_skills.data.workers import in_order


def square(index):
    return index**2, os.getpid()


def fail_at_two(index):
    if index == 2:
        raise ValueError("two")
    return index


def test_pieces_come_in_order_whatever_the_number_of_workers():
    alone, shared = (list(itertools.islice(in_order(square, workers), 12)) for workers in (1, 3))
    assert [value for value, _ in alone] == [value for value, _ in shared] == [index**2 for index in range(12)]
    assert {process for _, process in alone} == {os.getpid()}
    assert os.getpid() not in {process for _, process in shared}


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_reaches_who_asks(workers):
    pieces = in_order(fail_at_two, workers)
    assert [next(pieces), next(pieces)] == [0, 1]
    with pytest.raises(ValueError, match="two"):
        next(pieces)
