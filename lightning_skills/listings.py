"""What there is to choose from: the tasks of an env, the experiments."""

import re
from itertools import groupby, takewhile
from pathlib import Path

from lightning_skills import plugins
from lightning_skills.config import CONF

EXPERIMENTS = CONF / "experiment"
FEW = 9
"""Numbered tasks that get a line each."""


def tasks(env: str) -> list[str]:
    """What ``env.task`` may be, a line each, distributions first; of many numbered tasks one line.

    If the env itself decides, a line says so.

    Raises:
        InputError: if there is no such env.
    """
    spec = plugins.envs()[env]
    several = [f"{name}  (a distribution: tasks to train on, and others to test on)" for name in spec.distributions]
    families = (list(names) for _, names in groupby(spec.tasks, key=lambda name: name.rstrip("0123456789")))
    single = [line for names in families for line in (names if len(names) <= FEW else [f"{names[0]} ... {names[-1]}"])]
    return [*several, *single] or [f"env.task is whatever {env} takes: {spec.summary}"]


def experiments() -> list[str]:
    """Their names, each with the first sentence of its file's comment."""
    files = sorted(EXPERIMENTS.glob("*.yaml"))
    width = max(len(file.stem) for file in files)
    return [f"{file.stem:<{width}}  {_first_sentence(file)}" for file in files]


def _first_sentence(file: Path) -> str:
    _, *lines = file.read_text().splitlines()  # the first one is Hydra's
    comment = " ".join(line.removeprefix("# ") for line in takewhile(lambda line: line.startswith("# "), lines))
    return re.split(r"(?<!fig)\. ", comment)[0].removesuffix(".")
