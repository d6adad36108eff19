"""Exceptions that are reported as a single line on stderr, without a traceback."""


class InputError(Exception):
    """Something the user gave is wrong; the message is one line and names what to mend. Exit status 2."""


class LostRankError(Exception):
    """Another process of the run has ended, and this one cannot go on without it. Exit status 1."""
