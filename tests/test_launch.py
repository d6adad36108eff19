"""What becomes of the processes of a run when some of them end."""

import signal
import subprocess

import pytest

from lightning_skills import launch

STOPPED, KILLED = 128 + signal.SIGTERM, -signal.SIGKILL


@pytest.mark.parametrize(
    ("ranks", "status", "codes"),
    [
        (["exit 0", "sleep 0.3"], 0, [0, 0]),
        (["sleep 20", "exit 3"], 3, [KILLED, 3]),
        ([f"exit {STOPPED}", f"sleep 1; exit {STOPPED}"], STOPPED, [STOPPED, STOPPED]),
        ([f"exit {STOPPED}", "sleep 0.5; exit 1", "sleep 20"], 1, [STOPPED, 1, KILLED]),
    ],
    ids=["all finish", "one fails", "all stop", "one fails while they stop"],
)
def test_ranks_that_wait_for_a_failed_one_are_ended_soon_and_those_that_stop_are_not(monkeypatch, ranks, status, codes):
    started = []

    def start(words, variables):
        started.append(subprocess.Popen(["sh", "-c", ranks[int(variables["RANK"])]], start_new_session=True))
        return started[-1]

    monkeypatch.setattr(launch, "_start", start)
    monkeypatch.setattr(launch, "SETTLE_SECONDS", 0.1)
    assert launch.run_ranks([], len(ranks)) == status
    assert [process.returncode for process in started] == codes


def test_a_signal_that_comes_when_a_job_ends_is_not_lost(monkeypatch):
    job = "trap 'exit 0' TERM; sleep 0.2; kill -TERM $PPID; while true; do sleep 0.1; done"
    monkeypatch.setattr(launch, "_start", lambda *_: subprocess.Popen(["sh", "-c", job], start_new_session=True))
    received = []
    former = signal.signal(signal.SIGTERM, lambda signum, _: received.append(signum))
    assert launch.run_job([]) == 0
    signal.signal(signal.SIGTERM, former)
    assert received == [signal.SIGTERM]
