"""What a run leaves for people to look at: pictures, a film and a table of what happened and what to run next."""

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lightning_skills import report, task_pictures
from lightning_skills.csv_file import METRICS
from lightning_skills.data.batch_env import BatchEnv
from lightning_skills.files import advised, reading, writing
from lightning_skills.launch import program
from lightning_skills.recorded import AGAIN, SUMMARY, read_metrics, read_summary
from lightning_skills.report import Snapshot
from lightning_skills.run_options import Run
from lightning_skills.summaries import earlier, episodes, outcome
from lightning_skills.tracking import MLflowTracker

PANELS = 6
DRAWN_EPISODES = 8


def close(run: Run, env: BatchEnv, tracker: MLflowTracker | None) -> None:
    """Draw the pictures of a run, log them, and print its table.

    Args:
        run: The finished run; pictures are written into its folder.
        env: A world that knows how to draw itself.
        tracker: Receives the pictures and the summary too.

    Raises:
        InputError: if a file that is drawn is damaged, or a picture cannot be written.
    """
    folder = run.directory
    pictures = [folder / name for name in ("curves.png", "trajectories.png", "film.gif", "embeddings.png")]
    summary = read_summary(folder) or {}
    finals = _finals(folder, summary)
    panels = _tasks(env, finals) if "tasks" in summary else _snapshots(folder / "evaluations")
    with writing(f"pictures into {folder}"):
        report.learning_curves(folder / METRICS, pictures[0])
        report.trajectory_panels(env, panels, pictures[1])
        if finals:
            place, returns = max(finals.values(), key=lambda final: max(final[1]))
            report.film(env, _best_episode(place / "evaluation.npz", returns), pictures[2])
        task_pictures.embeddings(_embeddings(run, summary), pictures[3])
    made = [path for path in pictures if path.exists()]
    if tracker is not None:
        for path in [*made, *([folder / SUMMARY] if summary else [])]:
            tracker.log_artifact(path)
    print(report.summary_table(_table(run, summary, made)))


def _finals(run: Path, summary: dict[str, Any]) -> dict[str, tuple[Path, list[float]]]:
    """By task, where the final evaluation lies and its returns; a run that is not in parts has one."""
    if "tasks" in summary:
        below = run / "evaluations" / summary["phase"]
        return {task: (below / task, final["returns"]) for task, final in summary["tasks"].items()}
    return {"": (run, summary["returns"])} if summary else {}


def _embeddings(run: Run, summary: Mapping[str, Any]) -> Mapping[str, Any]:
    """What is known of tasks, by the last phase that tells."""
    before = [read_summary(earlier(run.directory, phase.name)) for phase in reversed(run.method.phases)]
    return next((each["embeddings"] for each in [summary, *before] if each and "embeddings" in each), {})


def _tasks(env: BatchEnv, finals: Mapping[str, tuple[Path, list[float]]]) -> list[Snapshot]:
    """Where the policy of each task leads in the end."""
    tasks = env.info.tasks
    assert tasks is not None
    return [
        Snapshot(task, _episodes(place / "evaluation.npz"), tasks.test_index(task))
        for task, (place, _) in finals.items()
    ]


def _snapshots(evaluations: Path) -> list[Snapshot]:
    """Where the policy led at some evaluations while training."""
    every = [(int(file.stem), _episodes(file)) for file in sorted(evaluations.glob("*/*.npz"))]
    if not every:
        return []
    chosen = np.unique(np.linspace(0, len(every) - 1, PANELS).round().astype(int))
    return [Snapshot(report.env_frames(frames), episodes) for frames, episodes in (every[index] for index in chosen)]


def _episodes(file: Path) -> list[np.ndarray]:
    with advised("delete it, and it is left out of the pictures"), reading(file), np.load(file) as episodes:
        return [episodes[key] for key in list(episodes)[:DRAWN_EPISODES]]


def _best_episode(file: Path, returns: list[float]) -> np.ndarray:
    with advised(AGAIN), reading(file), np.load(file) as episodes:
        return episodes[str(int(np.argmax(returns)))]


def _table(run: Run, summary: dict[str, Any], made: list[Path]) -> list[tuple[str, str]]:
    config = run.config
    rows = [("run", f"{run.method.name} on {run.env.name} {config.env.task}, seed {config.seed}")]
    tasks = summary.get("tasks", {})
    if summary:
        rows += [
            *([("means over", f"{len(tasks)} tasks, each learned by itself")] if tasks else []),
            ("env frames", f"{summary['env_frames']:,}"),
            ("updates", f"{summary['updates']:,}"),
            ("evaluation", f"fresh: {episodes(summary)}"),
            *outcome(summary),
            *_by_task(tasks),
        ]
    else:
        rows += _last_row(run.directory / METRICS)
    rows += [("look at", str(path)) for path in made]
    rows.append(("numbers", str(run.directory / METRICS)))
    if config.logging.mlflow:
        rows.append(("compare runs", _where_to_compare(run)))
    if not summary and run.method.online_phase is not None:
        rows.append(("where it leads", f"python -m lightning_skills explore {shlex.quote(str(run.directory))}"))
    again = [word for word in run.words if not word.startswith("seed=")]
    rows.append(("next", shlex.join([*program(), *again, f"seed={config.seed + 1}"])))
    return rows


def _by_task(tasks: Mapping[str, Any]) -> list[tuple[str, str]]:
    """A line for each task, of which the above are the means."""
    return [(task, ", ".join(f"{name} {value}" for name, value in outcome(final))) for task, final in tasks.items()]


def _last_row(metrics_csv: Path) -> list[tuple[str, str]]:
    """How far a run without an evaluation came, and its loss there."""
    last = read_metrics(metrics_csv)[-1]
    loss = [("loss", f"{float(last['loss']):.4g}")] if last.get("loss") else []
    return [("updates", f"{int(last['updates']):,}"), *loss]


def _where_to_compare(run: Run) -> str:
    store = run.config.logging.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
    if store is not None and store.startswith("http"):
        return store
    store = store or f"sqlite:///{(Path(run.config.runs_dir) / 'mlflow.db').resolve()}"
    return f"mlflow ui --backend-store-uri {shlex.quote(store)}"
