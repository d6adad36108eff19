"""Which commands train recorded runs anew."""

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from lightning_skills import config
from lightning_skills.config_tree import flatten, may_change
from lightning_skills.errors import InputError
from lightning_skills.recorded import RecordedRun

PROGRAM = ("python", "-m", "lightning_skills", "train")
"""Found in a checkout and where the package is installed; no run records by which of its commands it was started."""
NAMES = {"method.name": "method", "env.name": "env"}
"""How the words of ``train.py`` call these options."""
AMBIGUOUS = {"null", "true", "false"}
"""Read as something else than text."""


def commands(runs: Sequence[RecordedRun]) -> list[str]:
    """Command lines, one for the runs that differ in the seed alone.

    They give the options in which a run differs from what its method and env are by themselves. If these are not
    registered here, all of them are given.
    """
    seeds: dict[tuple[str, ...], list[int]] = {}
    defaults: dict[tuple[str, ...], Mapping[str, Any]] = {}
    for run in runs:
        head = _head(run.options)
        if head not in defaults:
            defaults[head] = _defaults(head)
        seeds.setdefault((*head, *_changes(run.options, defaults[head])), []).append(run.seed)
    return [_command(words, sorted(set(found))) for words, found in seeds.items()]


def _head(options: Mapping[str, Any]) -> tuple[str, ...]:
    """What is trained and where, on which the defaults of the other options depend."""
    keys = ["method.name", "env.name", "env.task", *(["data"] if options.get("data") is not None else [])]
    return tuple(f"{NAMES.get(key, key)}={_written(options[key])}" for key in keys)


def _defaults(head: Sequence[str]) -> Mapping[str, Any]:
    try:
        return flatten(config.load(head).resolved())
    except InputError:
        return {}


def _changes(options: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[str]:
    given = {*NAMES, "env.task", "data", "seed", "sources", "name"}
    keys = [key for key in options if key not in given and not may_change(key)]
    changed = [key for key in keys if key not in defaults or options[key] != defaults[key]]
    # The name is always written: without it, it would follow from the words.
    return [f"{key.removeprefix('sources.')}={_written(options[key])}" for key in [*changed, "name"]]


def _command(words: Sequence[str], seeds: Sequence[int]) -> str:
    sweep = ["-m"] if len(seeds) > 1 else []
    return " ".join(map(_quoted, [*PROGRAM, *sweep, *words, f"seed={','.join(map(str, seeds))}"]))


def _quoted(word: str) -> str:
    """A word for the shell; shlex makes four quotes of every one."""
    return f'"{word}"' if "'" in word and not set(word) & set('"$`\\!') else shlex.quote(word)


def _written(value: Any) -> str:
    """A value as a word of ``train.py`` has it."""
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_written, value))}]"
    if isinstance(value, str):
        return value if _is_plain(value) else f"'{_escaped(value)}'"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)


def _is_plain(text: str) -> bool:
    """Whether text needs no quotes."""
    try:
        float(text)
    except ValueError:
        return re.fullmatch(r"[\w./:-]+", text) is not None and text.lower() not in AMBIGUOUS
    return False


def _escaped(text: str) -> str:
    """Quotes, and backslashes before a quote, are escaped."""
    return re.sub(r"(\\*)('|$)", lambda found: found[1] * 2 + found[2].replace("'", r"\'"), text)
