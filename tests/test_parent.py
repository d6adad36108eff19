"""A process ends when the one that started it is killed."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil

from lightning_skills.data.workers import in_order

ROOT = Path(__file__).parent.parent


def own_id(_):
    return os.getpid()


def wait_with_workers():
    pieces = in_order(own_id, 2)
    print(*{next(pieces) for _ in range(8)}, flush=True)
    sys.stdin.read()


def alive(process):
    """A process that has ended may stay a zombie until whoever took it over looks."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def check_gone(processes):
    assert processes
    deadline = time.monotonic() + 30
    while any(map(alive, processes)) and time.monotonic() < deadline:
        time.sleep(0.1)
    left = [process for process in processes if alive(process)]
    for process in left:
        process.kill()
    assert not left


def test_workers_of_a_killed_process_end():
    command = [sys.executable, "-c", f"import {__name__} as tests; tests.wait_with_workers()"]
    # Python's resource tracker says what the killed process left behind, and removes it.
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        workers = [psutil.Process(int(word)) for word in process.stdout.readline().split()]
        process.kill()
        check_gone(workers)


def test_the_job_of_a_killed_sweep_ends(tmp_path):
    words = ["method=reward_weighted", "env=target", "logging=csv", "method.policy.frames=1000000", "seed=0,1"]
    command = [sys.executable, str(ROOT / "train.py"), "-m", *words, f"runs_dir={tmp_path}"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as sweep:
        while not (jobs := psutil.Process(sweep.pid).children()):
            assert sweep.poll() is None
            time.sleep(0.05)
        sweep.kill()
        check_gone(jobs)
