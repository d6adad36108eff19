"""The long version of the kill tests, through the real command line: ``pytest -m soak``. Prints a log of every kill."""

import math
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterable, Set
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from lightning_skills import config, plugins
from lightning_skills.plugins import MethodSpec
from lightning_skills.testing import check_equal, metrics, served_pairs

ROOT = Path(__file__).parent.parent
LONGER = 10
"""How many times as long as with the smoke settings a phase is, at least."""
CHECKPOINT_SECONDS, SOON = 0.6, 0.3
KILLS, RESTARTS = 10, 50

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3600)]


def words_for(method: MethodSpec, env: str, folder: Path, name: str, ranks: int, longer: int) -> list[str]:
    words = [f"method={method.name}", f"env={env}", "debug=smoke", f"runs_dir={folder / name}", "collect.worlds=2"]
    words += [f"data_dir={folder / 'data'}", "trainer.accelerator=cpu", f"trainer.devices={ranks}", "trainer.threads=1"]
    words += [
        f"method.{key}={longer * value}" for key, value in method.smoke.items() if key.endswith(("updates", "frames"))
    ]
    return [*words, "logging.progress=false"]


def start(words: list[str]) -> subprocess.Popen:
    command = [sys.executable, str(ROOT / "train.py"), *words, f"checkpoint.every_minutes={CHECKPOINT_SECONDS / 60}"]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, start_new_session=True)


def checkpoints(folder: Path) -> dict[str, float]:
    """When each was written, also those of parts and those that are being written."""
    written = {}
    for place, names, _ in os.walk(folder):
        for name in [name for name in names if name.startswith("updates_")]:
            names.remove(name)
            path = os.path.join(place, name)
            with suppress(FileNotFoundError):  # dropped meanwhile
                written[path.partition("/checkpoints/")[2]] = os.stat(path).st_mtime
    return written


def seconds_trained(process: subprocess.Popen, folder: Path) -> float:
    """From the first checkpoint of a whole run to its end."""
    while not checkpoints(folder):
        assert process.poll() is None
        time.sleep(0.01)
    began = time.monotonic()
    assert process.wait(1800) == 0
    return time.monotonic() - began


def phases_of(names: Iterable[str]) -> set[str]:
    """Of checkpoints, ``phase/.../updates_N``."""
    return {name.partition("/")[0] for name in names}


def kill_at_random(
    process: subprocess.Popen, folder: Path, rng: random.Random, within: float, spared: Set[str] = frozenset()
) -> str | None:
    """SIGKILL ``within`` seconds of the first new checkpoint, for the run or one of its ranks; None if it ended before.

    Sooner if one comes of a phase that was spared so far. Returns the newest checkpoint then, and whom it hit.
    """
    seen, deadline = set(checkpoints(folder)), math.inf
    while time.monotonic() < deadline:
        if process.poll() is not None:
            return None
        if new := checkpoints(folder).keys() - seen:
            if phases_of(new) & spared:
                within, spared, deadline = min(within, SOON), frozenset(), math.inf
            if deadline == math.inf:
                deadline = time.monotonic() + rng.uniform(0, within)
            seen |= new
        time.sleep(0.01)
    try:
        run = psutil.Process(process.pid)
        ranks = [child for child in run.children() if "RANK" in child.environ()]  # not Python's resource tracker
        victim = rng.choice(ranks or [run])
        rank = victim.environ().get("RANK", "0")
        victim.kill()
    except psutil.NoSuchProcess:
        return None
    if process.wait(300) == 0:
        return None
    there = checkpoints(folder)
    return f"{max(there, key=there.__getitem__)} there, rank {rank} killed"


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("method", [method for method, env in served_pairs() if env == "maze"])
def test_random_kills_change_nothing(method, ranks, tmp_path):
    spec, env = plugins.methods()[method], "maze"
    # Kills are spread over the whole run, so that each phase is hit, and half as many again as are asked for.
    longer, pace = LONGER, 0.0
    while pace < 2 * CHECKPOINT_SECONDS:
        names = (f"whole_{longer}", "killed")
        whole, killed = ([*words_for(spec, env, tmp_path, name, ranks, longer), "logging=csv"] for name in names)
        pace = seconds_trained(start(whole), tmp_path / names[0]) / (1.5 * KILLS)
        longer *= 4
    within = 2 * (pace - CHECKPOINT_SECONDS)
    rng, kills = random.Random(f"{method}-{env}-{ranks}"), []
    phases = {phase.name for phase in spec.phases}
    while outcome := kill_at_random(run := start(killed), tmp_path / "killed", rng, within, phases - phases_of(kills)):
        kills.append(outcome)
        print(f"{method} on {env}, {ranks} ranks, kill {len(kills)}: {outcome}", flush=True)
    assert run.wait() == 0
    assert len(kills) >= KILLS
    assert phases_of(kills) == phases
    check_equal(config.load(whole), config.load(killed))


def test_fifty_restarts_are_one_run_and_one_curve(tmp_path):
    from mlflow.tracking import MlflowClient

    spec = plugins.methods()["spirl"]
    words = words_for(spec, "maze", tmp_path, "runs", ranks=1, longer=400)
    rng, kills, began = random.Random(0), 0, time.monotonic()
    while kills < RESTARTS and (outcome := kill_at_random(start(words), tmp_path / "runs", rng, 1)) is not None:
        kills += 1
        print(f"restart {kills} after {time.monotonic() - began:.0f} s: {outcome}", flush=True)
    assert kills == RESTARTS
    assert start(words).wait(1800) == 0
    assert time.monotonic() - began < 40 * 60
    client = MlflowClient(f"sqlite:///{tmp_path / 'runs' / 'mlflow.db'}")
    runs = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    assert len(runs) == 3  # the run and its two phases
    assert {run.info.status for run in runs} == {"FINISHED"}
    rows = metrics(config.load(words))
    for run in runs:
        phase = run.data.tags.get("phase")
        key, counter = {"skills": ("loss", "updates"), "rl": ("critic_loss", "env_frames")}.get(phase, (None, None))
        if key is None:
            continue
        history = [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, key)]
        recorded = [(int(row[counter]), float(row[key])) for row in rows if row["phase"] == phase and row[key]]
        assert history == recorded
