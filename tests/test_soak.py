"""The long version of the kill tests, through the real command line: ``pytest -m soak``. Prints a log of every kill."""

import os
import random
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from lightning_skills import config, plugins
from lightning_skills.plugins import MethodSpec
from lightning_skills.testing import check_equal, metrics, served_pairs

ROOT = Path(__file__).parent.parent
LONGER = 50
"""How many times as long as with the smoke settings a phase is."""
KILLS, RESTARTS = 10, 50

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3600)]


def words_for(method: MethodSpec, env: str, folder: Path, name: str, ranks: int = 1, longer: int = LONGER) -> list[str]:
    words = [f"method={method.name}", f"env={env}", "debug=smoke", f"runs_dir={folder / name}", "collect.worlds=2"]
    words += [f"data_dir={folder / 'data'}", "trainer.accelerator=cpu", f"trainer.devices={ranks}", "trainer.threads=1"]
    words += [
        f"method.{key}={longer * value}" for key, value in method.smoke.items() if key.endswith(("updates", "frames"))
    ]
    return [*words, "logging.progress=false"]


def start(words: list[str]) -> subprocess.Popen:
    command = [sys.executable, str(ROOT / "train.py"), *words, "checkpoint.every_minutes=0.01"]
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


def kill_at_random(process: subprocess.Popen, folder: Path, rng: random.Random) -> str | None:
    """SIGKILL within a second of the first new checkpoint, for the run or one of its ranks; None if it ended before."""
    seen = checkpoints(folder)
    while not checkpoints(folder).keys() - seen:
        if process.poll() is not None:
            return None
        time.sleep(0.01)
    time.sleep(rng.uniform(0, 1))
    try:
        run = psutil.Process(process.pid)
        ranks = [child for child in run.children() if "RANK" in child.environ()]  # not Python's resource tracker
        victim = rng.choice(ranks or [run])
        rank = victim.environ().get("RANK", "0")
        victim.kill()
    except psutil.NoSuchProcess:
        return None
    process.wait(300)
    there = checkpoints(folder)
    return f"rank {rank} killed, {max(there, key=there.__getitem__)} there"


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("method", [method for method, env in served_pairs() if env == "maze"])
def test_random_kills_change_nothing(method, ranks, tmp_path):
    spec, env = plugins.methods()[method], "maze"
    whole, killed = ([*words_for(spec, env, tmp_path, name, ranks), "logging=csv"] for name in ("whole", "killed"))
    assert start(whole).wait(1800) == 0
    rng = random.Random(f"{method}-{env}-{ranks}")
    for kill in range(KILLS):
        outcome = kill_at_random(start(killed), tmp_path / "killed", rng)
        assert outcome is not None, f"{method}: the run ended before it was killed {KILLS} times"
        print(f"{method} on {env}, {ranks} ranks, kill {kill + 1}: {outcome}", flush=True)
    assert start(killed).wait(1800) == 0
    check_equal(config.load(whole), config.load(killed))


def test_fifty_restarts_are_one_run_and_one_curve(tmp_path):
    from mlflow.tracking import MlflowClient

    spec = plugins.methods()["spirl"]
    words = words_for(spec, "maze", tmp_path, "runs", longer=8 * LONGER)
    rng, kills, began = random.Random(0), 0, time.monotonic()
    while kills < RESTARTS and (outcome := kill_at_random(start(words), tmp_path / "runs", rng)) is not None:
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
