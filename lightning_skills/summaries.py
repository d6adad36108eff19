"""The final evaluation in a run's folder: ``summary.json``, of a phase in parts that over the tasks.

A part's own lies beside its evaluations while training; the run's is written once all of them are there. Of a phase
that others follow it lies there too, as theirs takes its place.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning_skills import files
from lightning_skills.evaluation.rollouts import Rollouts
from lightning_skills.parts import Part
from lightning_skills.recorded import AGAIN, SUMMARY

NAMING = ("phase", "episodes", "explore")
"""What is the same in all tasks."""


def folder(run: Path, part: Part) -> Path:
    """Where the final evaluation of a part lies."""
    return run if part.task is None else run / "evaluations" / part.name


def earlier(run: Path, phase: str) -> Path:
    """Where the summary of a phase lies that others follow."""
    return run / "evaluations" / phase


def judged(part: str, rollouts: Rollouts) -> dict[str, Any]:
    """What is said of an evaluation.

    Args:
        part: Name of the phase or part that acted.
        rollouts: Its episodes.
    """
    named = {"phase": part, "episodes": len(rollouts.returns), "explore": rollouts.explored}
    return {**named, **rollouts.metrics(), **rollouts.details()}


def episodes(summary: Mapping[str, Any]) -> str:
    """Which episodes an evaluation is of, and how the policy acted in them."""
    count, how = summary["episodes"], "sampling" if summary["explore"] else "mode"
    if curves := list(summary.get("adaptation", {}).values()):
        of_each = f"the last {count // len(curves)} of {len(curves[0])} in each of {len(curves)} tasks"
        return f"{count} episodes, {of_each}, {how}"
    return f"{count} episodes, {how}"


def outcome(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What an evaluation measured, as rows of a table."""
    measured = {key.removeprefix("eval/"): value for key, value in summary.items() if key.startswith("eval/")}
    return [
        (name.replace("_", " "), f"{value:.0%}" if name == "success" else f"{value:.2f}")
        for name, value in measured.items()
    ]


def write(where: Path, summary: Mapping[str, Any]) -> None:
    """Put a summary there; a kill leaves the old one or the new.

    Raises:
        InputError: if it cannot be written.
    """
    files.write(where / SUMMARY, json.dumps(summary, indent=2))


def over_tasks(run: Path, parts: Sequence[Part]) -> dict[str, Any]:
    """Means over the tasks of a phase that has ended in all of them, and under ``tasks`` the summary of each."""
    with files.advised(AGAIN):
        tasks = {str(part.task): files.read_json(folder(run, part) / SUMMARY) for part in parts}
    first = next(iter(tasks.values()))
    numbers = [key for key, value in first.items() if key not in NAMING and isinstance(value, int | float)]
    means = {key: sum(each[key] for each in tasks.values()) / len(tasks) for key in numbers}
    counters = {key: round(means[key]) for key in ("env_frames", "updates")}
    return {
        "phase": parts[0].phase.name,
        **{key: first[key] for key in NAMING[1:]},
        **means,
        **counters,
        "tasks": {task: {key: each[key] for key in each if key not in NAMING} for task, each in tasks.items()},
    }
