"""Which recorded runs belong together, and what to call them."""

import difflib
import itertools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lightning_skills.config_tree import may_change
from lightning_skills.errors import InputError
from lightning_skills.recorded import RecordedRun

ABSENT = ""
"""Stands for an option that a run's method does not have."""
SHORT = {"method.name": "method", "env.name": "env", "env.task": "task", "name": "name"}
"""What the keys that every run has are called."""
Options = Mapping[str, str]


@dataclass(frozen=True)
class Group:
    """Runs of one task that differ in their seed.

    Args:
        task: ``<env>-<task>``.
        label: The options that tell it apart from the others, by short name; empty for one that it does not have.
        runs: By seed.
    """

    task: str
    label: Mapping[str, str]
    runs: tuple[RecordedRun, ...]

    def __str__(self) -> str:
        shown = {key: value for key, value in self.label.items() if value != ABSENT}
        return ", ".join(value if key in ("method", "name") else f"{key}={value}" for key, value in shown.items())

    @property
    def finished(self) -> list[RecordedRun]:
        """The runs that have a final evaluation."""
        return [run for run in self.runs if run.summary is not None]

    @property
    def unfinished(self) -> list[RecordedRun]:
        """The others."""
        return [run for run in self.runs if run.summary is None]

    def curves(self, key: str) -> list[np.ndarray]:
        """A metric over env frames, ``[2, n]`` for each run that has it.

        Taken from the last online phase that any of the runs has reached: the earlier ones prepare it.
        """
        furthest = max((run.online_phases for run in self.runs), key=len)
        curves = [run.curve(furthest[-1], key) for run in self.runs] if furthest else []
        return [curve for curve in curves if curve.size]


def group_runs(runs: Sequence[RecordedRun], by: Sequence[str] = ()) -> list[Group]:
    """Put runs of the same config together, whatever their seed; tasks are always kept apart.

    What may change on resume does not count, and neither does it when every seed takes the artefacts of the same seed
    of another run. A group's label is the method if there are several, and as few options as tell all groups apart.

    Args:
        runs: Any runs.
        by: Options to group by instead, whatever the others are; a short name such as ``lr`` will do if it is the only
            one. They are the labels then.

    Returns:
        The groups, sorted by task and label.

    Raises:
        InputError: if a run is there twice, or ``by`` names no option.
    """
    _check_for_copies(runs)
    known = list(dict.fromkeys(key for run in runs for key in run.options))
    keys = [_find_key(word, known) for word in by]
    members: dict[Any, list[RecordedRun]] = {}
    for run in runs:
        members.setdefault((run.task, frozenset(_compared(run, keys).items())), []).append(run)
    groups = [(together[0].task, _compared(together[0], keys), together) for together in members.values()]
    keys = keys or _telling_keys([(task, options) for task, options, _ in groups])
    names = {key: SHORT.get(key) or _short_key(key, known) for key in keys}
    labelled = [
        Group(
            task,
            {names[key]: options.get(key, ABSENT) for key in keys},
            tuple(sorted(together, key=lambda run: (run.seed, run.place))),
        )
        for task, options, together in groups
    ]
    return sorted(labelled, key=lambda group: (group.task, [_natural(value) for value in group.label.values()]))


def _compared(run: RecordedRun, keys: Sequence[str]) -> dict[str, str]:
    """The options that a run is grouped by: these, or all that matter."""
    return {key: _text(run.options[key]) if key in run.options else ABSENT for key in keys} or _identity(run)


def _identity(run: RecordedRun) -> dict[str, str]:
    """All that is computed from, except for the seed."""
    options = {key: _text(value) for key, value in run.options.items() if key != "seed" and not may_change(key)}
    for key in options:
        if key.startswith("sources."):
            options[key] = re.sub(rf"\bseed{run.seed}\b", "seed*", options[key])
    return options


def _check_for_copies(runs: Iterable[RecordedRun]) -> None:
    # Two copies of a seed are one result; counted as two they would make the interval too narrow.
    seen: dict[Any, RecordedRun] = {}
    for run in runs:
        first = seen.setdefault((run.seed, frozenset(_identity(run).items())), run)
        if first is not run:
            raise InputError(f"{first.place} and {run.place} have the same config and seed; give one of them")


def _telling_keys(groups: Sequence[tuple[str, Options]]) -> list[str]:
    """The method if there are several, and the fewest options with which no two groups of a task are alike."""
    methods = {options["method.name"] for _, options in groups}
    always = ["method.name"] if len(methods) > 1 else []
    candidates = _candidates(groups)
    for number in itertools.count():
        for chosen in itertools.combinations(candidates, number):
            keys = [*always, *chosen]
            if len(_values(groups, keys)) == len(groups):
                return keys or ["method.name"]
    raise AssertionError


def _candidates(groups: Sequence[tuple[str, Options]]) -> list[str]:
    """Options to tell groups apart by, the best names first; one for all that differ alike."""
    names = {options["name"] for _, options in groups}
    digests = any(re.fullmatch("[0-9a-f]{8}", name) for name in names)
    keys = dict.fromkeys(key for _, options in groups for key in options if key != "method.name")
    ranked = sorted(keys, key=lambda key: key != "name" if not digests else key == "name")
    alike: dict[tuple[int, ...], str] = {}
    for key in ranked:
        column = [options.get(key, ABSENT) for _, options in groups]
        alike.setdefault(tuple(column.index(value) for value in column), key)
    return list(alike.values())


def _values(groups: Sequence[tuple[str, Options]], keys: Sequence[str]) -> set[tuple[str, ...]]:
    return {(task, *(options.get(key, ABSENT) for key in keys)) for task, options in groups}


def _find_key(word: str, known: Sequence[str]) -> str:
    """The option that a word of the user means."""
    exact = [key for key in known if word in (key, SHORT.get(key))]
    found = exact or [key for key in known if key.endswith(f".{word}")]
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(f"by={word} may be {' or '.join(found)}; write which")
    names = {SHORT.get(key, key): key for key in known} | {key.split(".")[-1]: key for key in known}
    close = difflib.get_close_matches(word, names, n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(close)}?" if close else "see config.yaml of a run for all of them"
    raise InputError(f"no run has an option {word!r} to group by; {hint}")


def _short_key(key: str, known: Sequence[str]) -> str:
    """The shortest end of a dotted key that no other key has."""
    parts = key.split(".")
    ends = [".".join(parts[start:]) for start in reversed(range(len(parts)))]
    return next(end for end in ends if sum(f".{other}".endswith(f".{end}") for other in known) == 1)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _natural(text: str) -> tuple[int, float, str]:
    """Sorting key: numbers by their size, before words."""
    try:
        return 0, float(text), text
    except ValueError:
        return 1, 0.0, text
