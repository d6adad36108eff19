"""The demonstrations that an env makes of its own, made once and kept."""

from pathlib import Path
from typing import Any

from lightning_skills.bars import style
from lightning_skills.data import trajectories
from lightning_skills.data.trajectories import Dataset
from lightning_skills.errors import InputError
from lightning_skills.plugins import EnvSpec, resolve


def demonstrations(env: EnvSpec, options: Any, data_dir: Path, progress: bool = True) -> Dataset:
    """The data set that belongs to an env's options, generated on first use with a progress bar.

    Args:
        env: The env.
        options: Its config.
        data_dir: Where data sets are kept.
        progress: Whether to show the bar.

    Raises:
        InputError: if the env makes none, or they cannot be written.
    """
    if env.demonstrations is None:
        raise InputError(f"env {env.name!r} has no demonstrations of its own; give a data set with data=PATH")
    demos = resolve(env.demonstrations)
    recipe = demos.recipe(options)
    bar, seconds = style()
    return trajectories.cached(
        data_dir,
        env.name,
        recipe,
        lambda: bar(
            demos.generate(options),
            desc="demonstrations",
            total=recipe.get("trajectories"),
            unit=" trajectories",
            mininterval=seconds,
            miniters=1,
            disable=not progress,
        ),
        getattr(demos, "summary", None),
    )
