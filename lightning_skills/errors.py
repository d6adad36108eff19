"""The one exception for bad input: reported as a single line on stderr, exit status 2, no traceback."""


class InputError(Exception):
    """Something the user gave is wrong; the message is one line and names what to mend."""
