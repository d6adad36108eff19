"""Keeps a process from going on when the one that started it is gone, even by SIGKILL. Importable without torch."""

import os
import signal
import time
from threading import Thread

PARENT = "LIGHTNING_SKILLS_PARENT"
"""The environment variable that tells a process who started it and is waiting for it."""
LOOK_SECONDS = 0.5


def parent_variables() -> dict[str, str]:
    """What this process hands a child that shall stop with it."""
    return {PARENT: str(os.getpid())}


def stop_with_parent() -> None:
    """If this process was handed a parent, send it SIGTERM as soon as that has ended."""
    parent = os.environ.pop(PARENT, None)  # whatever it starts itself has another
    if parent is not None:
        stop_with(int(parent))


def stop_with(parent: int) -> None:
    """Send this process SIGTERM as soon as the one with that id is no longer its parent."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)

    Thread(target=watch, daemon=True, name="parent").start()
