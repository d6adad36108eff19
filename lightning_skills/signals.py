"""What a signal that asks a run to stop becomes."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOP = (signal.SIGINT, signal.SIGTERM)


class Interrupted(BaseException):
    """A signal asked the run to stop. Like KeyboardInterrupt it is no error, which somebody might get over.

    Args:
        signum: The signal.
        after: What has been done first, for the message.
    """

    def __init__(self, signum: int, after: str = "") -> None:
        super().__init__(f"stopped by {signal.Signals(signum).name}{after}")
        self.signum = signum


@contextmanager
def interruptible() -> Iterator[None]:
    """Stop signals raise :class:`Interrupted` meanwhile, at once, so that whoever must note the end of a run can."""
    handlers = {signum: signal.signal(signum, _interrupt) for signum in STOP}
    try:
        yield
    finally:
        for signum, handler in handlers.items():
            signal.signal(signum, handler)


def _interrupt(signum: int, _: FrameType | None) -> None:
    raise Interrupted(signum)
