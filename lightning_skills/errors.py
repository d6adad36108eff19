"""Exceptions that are reported as a single line on stderr, without a traceback."""

from collections.abc import Sequence


class InputError(Exception):
    """Something the user gave is wrong; the message is one line and names what to mend. Exit status 2."""


class LostRankError(Exception):
    """Another process of the run has ended, and this one cannot go on without it. Exit status 1."""


LISTED = 20
"""Names that a message lists, at most."""


def listed(names: Sequence[str]) -> str:
    """Names for a message: all of few, of many only how they look."""
    return ", ".join([*names[:3], "...", names[-1]] if len(names) > LISTED else names)


def first_line(error: BaseException) -> str:
    """Of what an exception says, in single spaces."""
    return " ".join(str(error).split("\n")[0].split())
