"""Progress bars that suit what standard error is: a terminal or a file."""

import sys
from threading import RLock

from tqdm import tqdm

REFRESH_SECONDS = 0.5
LINE_SECONDS = 30.0
tqdm.set_lock(RLock())  # by default bars of several processes take turns, and their lock outlives a kill


class Lines(tqdm):
    """A bar for a file: every state that is shown is a line of its own, since a file is not overwritten."""

    monitor_interval = 0  # tqdm's own thread would repeat lines

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Write the bar and end the line."""
        self.fp.write(f"{msg or self}\n")
        self.fp.flush()


def style() -> tuple[type[tqdm], float]:
    """A kind of bar and the seconds between two of its states."""
    return (tqdm, REFRESH_SECONDS) if sys.stderr.isatty() else (Lines, LINE_SECONDS)
