"""Tasks by name, and distributions of them: what every environment with named tasks shares."""

import difflib
from collections.abc import Mapping
from typing import TypeVar

from lightning_skills.data.batch_env import TaskDistribution
from lightning_skills.errors import InputError, listed

Task = TypeVar("Task")


def named(env: str, name: str, tasks: Mapping[str, Task]) -> Task:
    """The env's task of that name.

    Raises:
        InputError: if there is none (lists close ones, or a few).
    """
    if name not in tasks:
        close = difflib.get_close_matches(name, tasks, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(close)}?" if close else f"there are {listed(list(tasks))}"
        raise InputError(f"unknown {env} task {name!r}; {hint}")
    return tasks[name]


def pursued(
    env: str, name: str, tasks: Mapping[str, Task], distributions: Mapping[str, TaskDistribution]
) -> tuple[list[Task], TaskDistribution | None]:
    """What the worlds of an env can pursue: the task of that name, or the tasks of the distribution of that name.

    Raises:
        InputError: if there is neither (lists close names).
    """
    if name in distributions:
        distribution = distributions[name]
        return [tasks[each] for each in (*distribution.train, *distribution.test)], distribution
    return [named(env, name, tasks)], None
