"""Runs in a tracking store, written through lightning_skills.tracking as training writes them."""

import csv

from omegaconf import OmegaConf

from lightning_skills.config import plain
from lightning_skills.rows import UPDATES
from lightning_skills.tracking import FIRST_COLUMNS, MLflowTracker


def log_run(folder, runs_dir, experiment="skills", status="FINISHED"):
    """Log what lies in a run's folder: config, rows phase by phase, summary. Its ids come to lie there too."""
    config = plain(OmegaConf.load(folder / "config.yaml"))
    tracker = MLflowTracker.open(folder, runs_dir, None, experiment, folder.name, config, {})
    with (folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    for phase in dict.fromkeys(row["phase"] for row in rows):
        logger = tracker.phase(phase)
        for row in (row for row in rows if row["phase"] == phase):
            cells = {key: cell for key, cell in row.items() if cell and key not in FIRST_COLUMNS}
            step = int(row["env_frames"]) or int(row["updates"])
            if int(row["env_frames"]):
                cells[UPDATES] = row["updates"]
            logger.log_metrics({key: float(cell) for key, cell in cells.items()}, step=step)
    if (folder / "summary.json").exists():
        tracker.log_artifact(folder / "summary.json")
    tracker.close(status)
