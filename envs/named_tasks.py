"""Tasks by name, and sets of them to meta-train on: what every environment with named tasks shares."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from lightning_skills.errors import InputError

Task = TypeVar("Task")


@dataclass(frozen=True)
class TaskDistribution:
    """Names of tasks to meta-train on and of others to test on."""

    train: tuple[str, ...]
    test: tuple[str, ...]


def named(env: str, name: str, tasks: Mapping[str, Task]) -> Task:
    """The env's task of that name.

    Raises:
        InputError: if there is none (lists close ones).
    """
    if name not in tasks:
        close = difflib.get_close_matches(name, tasks, n=3, cutoff=0.4) or sorted(tasks)
        raise InputError(f"unknown {env} task {name!r}; did you mean {' or '.join(close)}?")
    return tasks[name]
