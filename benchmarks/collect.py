"""Collects the curves and final evaluations of finished runs into a folder that is small enough to be kept in git.

    python -m benchmarks.collect RUNS_DIR OUT [METHOD/ENV-TASK/NAME ...]

For each run ``OUT/<method>_seed<k>.csv`` has its curves over env frames, and ``OUT/final.csv`` one row per run with the
final evaluation.
"""

import csv
import json
import sys
from pathlib import Path

from lightning_skills.report import csv_table, read_metrics

CURVE = ("phase", "env_frames", "updates", "eval/return", "eval/success", "train/return", "train/success")


def collect(runs: Path, out: Path, chosen: list[str]) -> None:
    """Write the curves and the final evaluations of the finished runs below ``runs``."""
    out.mkdir(parents=True, exist_ok=True)
    final = []
    for summary_file in sorted(runs.glob("*/*/*/seed*/summary.json")):
        run = summary_file.parent
        method, task, name, seed = run.relative_to(runs).parts
        if chosen and f"{method}/{task}/{name}" not in chosen:
            continue
        summary = json.loads(summary_file.read_text())
        keys = ("env_frames", "updates", "episodes", "eval/return", "eval/success")
        final.append({"method": method, "task": task, "name": name, "seed": seed} | {key: summary[key] for key in keys})
        with (out / f"{method}_{seed}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, CURVE, extrasaction="ignore", restval="")
            writer.writeheader()
            writer.writerows(row for row in read_metrics(run / "metrics.csv") if row["phase"] != "skills")
    (out / "final.csv").write_text(csv_table(final))


if __name__ == "__main__":
    collect(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
