"""Runs in a tracking store, written through lightning_skills.tracking as training writes them."""

from omegaconf import OmegaConf

from lightning_skills.config_tree import plain
from lightning_skills.csv_file import METRICS
from lightning_skills.files import read_rows
from lightning_skills.tracking import MLflowTracker


def log_run(folder, runs_dir, experiment="skills", status="FINISHED"):
    """Log what lies in a run's folder: config, rows phase by phase, summary. Its ids come to lie there too."""
    config = plain(OmegaConf.load(folder / "config.yaml"))
    tracker = MLflowTracker.open(folder, runs_dir, None, experiment, folder.name, config, {})
    for phase in dict.fromkeys(row["phase"] for row in read_rows(folder / METRICS)):
        tracker.phase(phase)
    if (folder / "summary.json").exists():
        tracker.log_artifact(folder / "summary.json")
    tracker.close(status)
