"""The final evaluations of groups of runs in tables: a line for each group, each pair of groups, each run."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from lightning_skills import unseen
from lightning_skills.evaluation.statistics import MIN_SEEDS, describe, probability_of_improvement
from lightning_skills.groups import Group
from lightning_skills.report import markdown_table

METRICS = {"success": "eval/success", "return": "eval/return"}
"""Columns and the results they show."""
FINAL_NOTE = f"""\
Final evaluations: below {MIN_SEEDS} seeds the mean (every seed), from {MIN_SEEDS} on the interquartile mean \
[95 % bootstrap interval]. Env frames include the warm-up."""
PAIRS_NOTE = f"""\
Probability of improvement: how likely a run of X has a better final evaluation than one of Y, ties counted half, mean \
over the tasks that both have (Agarwal et al. 2021); from {MIN_SEEDS} seeds on with [95 % bootstrap interval]."""
NO_RESULT = "Without a final evaluation, and not in the table:"

Row = dict[str, Any]


def markdown(groups: Sequence[Group]) -> str:
    """Groups and pairs of groups in tables, and below them the runs that are not in there."""
    finals, pairs, waiting = final_rows(groups), improvements(groups), without_result(groups)
    learners = unseen.rows(groups)
    parts = [f"{markdown_table(finals)}\n\n{FINAL_NOTE}" if finals else "No run is finished yet."]
    if pairs:
        parts.append(f"{markdown_table(pairs)}\n\n{PAIRS_NOTE}")
    if learners:
        parts.append(f"{markdown_table(learners)}\n\n{unseen.NOTE}")
    if waiting:
        parts.append("\n".join([NO_RESULT, "", *[f"- {line}" for line in waiting]]))
    return "\n\n".join(parts)


def final_rows(groups: Sequence[Group]) -> list[Row]:
    """A row for each group that has a finished run: its final evaluations over seeds.

    Of runs in parts, these are means over the tasks, and a row for each task follows.
    """
    return [
        {
            "task": each.task,
            **each.label,
            "seeds": len(each.finished),
            "env frames": _range([run.summary["env_frames"] for run in each.finished if run.summary]),
        }
        | {column: _over_seeds(each, key) for column, key in METRICS.items()}
        for group in groups
        for each in [group, *task_by_task(group)]
        if each.finished
    ]


def task_by_task(group: Group) -> list[Group]:
    """Of runs in parts a group for each task, as if that were all they had done; else none."""
    tasks = dict.fromkeys(task for run in group.finished for task in (run.summary or {}).get("tasks", {}))
    return [
        Group(
            f"{group.task}: {task}",
            group.label,
            tuple(replace(run, summary=(run.summary or {}).get("tasks", {}).get(task)) for run in group.finished),
        )
        for task in tasks
    ]


def improvements(groups: Sequence[Group]) -> list[Row]:
    """A row for each pair of groups that have finished runs of the same task: which of them is better."""
    algorithms: dict[str, dict[str, Group]] = {}
    for group in groups:
        if group.finished:
            algorithms.setdefault(str(group), {})[group.task] = group
    rows = []
    for first, second in itertools.combinations(algorithms, 2):
        pairs = [(group, algorithms[second].get(task)) for task, group in algorithms[first].items()]
        shared = [(x, y) for x, y in pairs if y is not None]
        if shared:
            tasks = {"tasks": ", ".join(x.task for x, _ in shared)}
            cells = {f"P(X > Y), {column}": _improvement(shared, key) for column, key in METRICS.items()}
            rows.append({"X": first, "Y": second} | tasks | cells)
    return rows


def every_run(groups: Sequence[Group]) -> list[Row]:
    """A row for each finished run, what identifies it and its final evaluation, and for each part of one in parts."""
    return [
        {"task": each.task, "method": run.method, "name": run.name}
        | dict(each.label)
        | {"seed": run.seed}
        | {key: value for key, value in (run.summary or {}).items() if not isinstance(value, list | dict)}
        | {"run": run.place}
        for group in groups
        for each in [group, *task_by_task(group)]
        for run in each.finished
    ]


def without_result(groups: Sequence[Group]) -> list[str]:
    """A line for each of the other runs: how far it is."""
    return [
        f"{group.task}, {group}, seed {run.seed}: {run.progress()} ({run.place})"
        for group in groups
        for run in group.unfinished
    ]


def by_task(groups: Sequence[Group]) -> dict[str, list[Group]]:
    """The groups of each task."""
    tasks: dict[str, list[Group]] = {}
    for group in groups:
        tasks.setdefault(group.task, []).append(group)
    return tasks


def _range(numbers: Sequence[int]) -> str:
    return " to ".join(f"{number:,}" for number in dict.fromkeys([min(numbers), max(numbers)]))


def _results(group: Group, key: str) -> list[float]:
    return [float((run.summary or {}).get(key, math.nan)) for run in group.finished]


def _broken(group: Group, key: str) -> list[str]:
    """Seeds whose result is not finite; they are named rather than left out."""
    values = zip(group.finished, _results(group, key), strict=True)
    return [str(run.seed) for run, value in values if not math.isfinite(value)]


def _over_seeds(group: Group, key: str) -> str:
    broken = _broken(group, key)
    return f"not finite (seed {', '.join(broken)})" if broken else str(describe(_results(group, key)))


def _improvement(shared: Sequence[tuple[Group, Group]], key: str) -> str:
    if any(_broken(group, key) for pair in shared for group in pair):
        return "not finite"
    first, second = ([_results(pair[side], key) for pair in shared] for side in (0, 1))
    centre, interval = probability_of_improvement(first, second)
    return f"{centre:.2f}" + (f" [{interval[0]:.2f}, {interval[1]:.2f}]" if interval else "")
