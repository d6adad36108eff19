"""What becomes of SIGINT and SIGTERM, which ask a run to stop.

While a phase trains they are noted, so that it can write a checkpoint first; elsewhere they end the run at once.
"""

import math
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType
from typing import Any, Self

from lightning.pytorch import Trainer

from lightning_skills.errors import LostRankError
from lightning_skills.ranks import own_rank

STOP = (signal.SIGINT, signal.SIGTERM)
SAME_SIGNAL_SECONDS = 1.0
"""Within these a signal counts once: ``timeout`` and launchers send it to a process and then to its whole group."""
STDERR = 2
STOPPING = "stopping: writing a checkpoint ... (a second signal stops at once, without one)"


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
    before = -math.inf

    def interrupt(signum: int, _: FrameType | None) -> None:
        nonlocal before
        now, last = time.monotonic(), before
        if now - last > SAME_SIGNAL_SECONDS:
            before = now
            raise Interrupted(signum)

    handlers = {signum: signal.signal(signum, interrupt) for signum in STOP}
    try:
        yield
    finally:
        for signum, handler in handlers.items():
            signal.signal(signum, handler)


class StopSignals:
    """Notes the signals that come inside of it; whoever trains there looks at :attr:`asked`, and stops.

    One that nobody has stopped for is sent once more at the end, and does what it does elsewhere: none is lost.

    Attributes:
        asked: The first that has come, or None.
    """

    def __init__(self) -> None:
        self.asked: int | None = None
        self._when = 0.0
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> Self:
        self._handlers = {signum: signal.signal(signum, self._note) for signum in STOP}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        for signum, handler in self._handlers.items():
            signal.signal(signum, handler)
        # Whom the signal has ended first, the others have lost.
        if self.asked is not None and kind in (None, LostRankError):
            signal.raise_signal(self.asked)

    def _note(self, signum: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.asked is None:
            self.asked, self._when = signum, now
            if own_rank() == 0:
                _announce()
        elif now - self._when > SAME_SIGNAL_SECONDS:  # the user does not want to wait for the checkpoint
            signal.signal(signum, signal.SIG_DFL)
            signal.raise_signal(signum)


def _announce() -> None:
    """Say that the signal has arrived; past ``sys.stderr``, in the middle of a write to which it may have come."""
    new_line = "\n" if sys.stderr.isatty() else ""  # after a bar that is being drawn
    with suppress(OSError):  # nobody has to be there to hear it
        os.write(STDERR, f"{new_line}{STOPPING}\n".encode())


def keep_from_signals(trainer: Trainer) -> None:
    """Keep Lightning from handling SIGTERM: it would swallow it, and on several ranks wait until rank 0 has one too."""
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]
