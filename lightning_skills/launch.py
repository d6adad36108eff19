"""Starts child processes that train, and ends them. Importable without torch."""

import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from lightning_skills.parent import parent_variables

BAD_INPUT = 2
STOPPED = {128 + signal.SIGINT, 128 + signal.SIGTERM}
"""Exit statuses of a run: it was given bad input, a signal has stopped it."""
CONSOLE_SCRIPT = "lightning-skills-train"
POLL_SECONDS = 0.05
GRACE_SECONDS = 300.0
"""How long ranks that were asked to stop may take for their checkpoint."""
SETTLE_SECONDS = 5.0
"""How long the others may take to end by themselves when one has failed, which may not be the one that fails first."""


def one_of_several() -> bool:
    """Whether this process was started as one rank of a run, by :func:`run_ranks`, torchrun or SLURM."""
    return "RANK" in os.environ or int(os.environ.get("SLURM_NTASKS", 1)) > 1


def program() -> list[str]:
    """What this run was started with, to start another."""
    path = Path(sys.argv[0])
    if path.name == "train.py":
        return ["python", str(path)]
    return [path.name] if path.name == CONSOLE_SCRIPT else ["python", "-m", "lightning_skills", "train"]


def rank_variables(size: int) -> list[dict[str, str]]:
    """For each of so many processes on this machine, the environment variables by which they find one another.

    They are torchrun's.
    """
    shared = {"WORLD_SIZE": size, "LOCAL_WORLD_SIZE": size, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
    own = [{"RANK": rank, "LOCAL_RANK": rank, **shared} for rank in range(size)]
    return [{key: str(value) for key, value in variables.items()} for variables in own]


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def run_job(words: Sequence[str]) -> int:
    """Run ``train`` with these words in a process of its own; returns its exit status.

    A signal that the job has not stopped for, since it was at its end, is sent to this process once more.
    """
    process = _start(words, {})
    with _forwarding_signals([process]) as received:
        status = _status(process.wait())
    if received and status not in STOPPED:
        signal.raise_signal(received[0])
    return status


def run_ranks(words: Sequence[str], size: int) -> int:
    """Run ``train`` with these words in so many processes, which find one another by torchrun's variables.

    When one fails the others are killed soon, since they would wait for it.

    Returns:
        The exit status of all, or of the first that failed.
    """
    ranks = [_start(words, variables) for variables in rank_variables(size)]
    deadline = math.inf
    with _forwarding_signals(ranks):
        while any(process.poll() is None for process in ranks) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
            if any(process.poll() for process in ranks):
                patience = GRACE_SECONDS if all(map(_well, ranks)) else SETTLE_SECONDS
                deadline = min(deadline, time.monotonic() + patience)
    failed = {rank: process.returncode for rank, process in enumerate(ranks) if not _well(process)}
    for process in ranks:
        process.kill()
        process.wait()
    if not failed:
        return max(_status(process.returncode) for process in ranks)
    # Whoever noticed it first: a killed rank is the cause, then one that was given bad input, which it has said itself.
    cause = min(failed, key=lambda rank: (failed[rank] > 0, -failed[rank]))
    if failed[cause] != BAD_INPUT:
        how = f"was killed by {signal.Signals(-failed[cause]).name}" if failed[cause] < 0 else "failed"
        again = "the same command goes on from the last checkpoint"
        print(f"error: rank {cause} {how}, so the others were stopped; {again}", file=sys.stderr)
    return _status(failed[cause])


def _well(process: subprocess.Popen) -> bool:
    return _status(process.poll() or 0) in {0, *STOPPED}


def _status(returned: int) -> int:
    return returned if returned >= 0 else 128 - returned


def _start(words: Sequence[str], variables: Mapping[str, str]) -> subprocess.Popen:
    # In a session of its own, so that a Ctrl-C reaches it once, through us, and it can write its checkpoint; which it
    # also does if we are killed.
    return subprocess.Popen(
        [sys.executable, "-m", "lightning_skills", "train", *words],
        start_new_session=True,
        env=os.environ | variables | parent_variables(),
    )


@contextmanager
def _forwarding_signals(processes: Sequence[subprocess.Popen]) -> Iterator[list[int]]:
    """Hand SIGINT and SIGTERM on meanwhile; yields those that were."""
    received: list[int] = []

    def forward(signum: int, _: object) -> None:
        received.append(signum)
        for process in processes:
            process.send_signal(signum)

    handlers = {signum: signal.signal(signum, forward) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for signum, handler in handlers.items():
            signal.signal(signum, handler)
