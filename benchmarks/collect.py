"""Collects the curves and final evaluations of finished runs into a folder that is small enough to be kept in git.

    python -m benchmarks.collect RUNS_DIR OUT [METHOD/ENV-TASK/NAME ...]

For each run ``OUT/<method>_seed<k>.csv`` has its curves over env frames, if any, and ``OUT/final.csv`` one row per
run with the final evaluation; both with whatever else is measured in an evaluation, such as the height of a tower. Of
runs that act in tasks to test on ``OUT/<method>_seed<k>_episodes.csv`` has the return over episodes there, mean over
the tasks: of each episode or, of training episodes, the mean of the ten from it on; and ``OUT/<phase>.csv`` has the
final evaluations of a phase before.
"""

import csv
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning_skills import unseen
from lightning_skills.command import guard
from lightning_skills.errors import InputError
from lightning_skills.files import read_json
from lightning_skills.recorded import RecordedRun, find_runs
from lightning_skills.report import csv_table

CURVE = ("phase", "env_frames", "updates", "eval/return", "eval/success", "train/return", "train/success")
FINAL = ("env_frames", "updates", "episodes", "eval/return", "eval/success")
LEFT_OUT = "eval/episode_frames"  # whole episodes, as good as always


def collect(runs: Path, out: Path, chosen: list[str]) -> int:
    """Write the curves and the final evaluations of the finished runs below ``runs``; returns the exit status.

    Raises:
        InputError: if no run is finished, or two of them would be one file.
    """
    finals: dict[str, list[dict[str, Any]]] = {}
    files: dict[str, RecordedRun] = {}
    for run in find_runs([runs]):
        if run.summary is None or (chosen and f"{run.method}/{run.task}/{run.name}" not in chosen):
            continue
        first = files.setdefault(f"{run.method}_seed{run.seed}.csv", run)
        if first is not run:
            raise InputError(f"{first.folder} and {run.folder} would be one file; choose by METHOD/ENV-TASK/NAME")
        identity = {"method": run.method, "task": run.task, "name": run.name, "seed": f"seed{run.seed}"}
        before = {file.parent.name: read_json(file) for file in sorted(run.folder.glob("evaluations/*/summary.json"))}
        for name, summary in {**before, "final": run.summary}.items():
            measured = {key: summary[key] for key in (*FINAL, *_reported(summary))}
            finals.setdefault(name, []).append(identity | measured)
    if not finals:
        raise InputError(f"no finished run at {runs}{' is one of ' + ', '.join(chosen) if chosen else ''}")
    out.mkdir(parents=True, exist_ok=True)
    for name, run in files.items():
        if curve := [row for row in run.rows if row["phase"] in run.online_phases]:
            with (out / name).open("w", newline="") as file:
                columns = (*CURVE, *_reported(run.rows[0]))
                writer = csv.DictWriter(file, columns, extrasaction="ignore", restval="")
                writer.writeheader()
                writer.writerows(curve)
        if (episodes := unseen.by_episode(run)).size:
            column = f"mean_return_of_{unseen.WINDOW}" if unseen.trains(run) else "return"
            table = [{"episode": int(number), column: value} for number, value in episodes.T.tolist()]
            (out / name.replace(".csv", "_episodes.csv")).write_text(csv_table(table))
    for name, rows in finals.items():
        (out / f"{name}.csv").write_text(csv_table(rows))
    return 0


def _reported(evaluated: Mapping[str, Any]) -> list[str]:
    """Names of what an evaluation measures beside return and success."""
    return [key for key in evaluated if key.startswith("eval/") and key not in (*CURVE, LEFT_OUT)]


if __name__ == "__main__":
    sys.exit(guard(lambda: collect(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])))
