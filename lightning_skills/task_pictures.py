"""Pictures of how a meta-learner adapts: what it knows of each task, and where it goes before and after it knows."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from lightning_skills.data.batch_env import BatchEnv
from lightning_skills.evaluation.adaptation import Adaptation
from lightning_skills.report import new_figure, save_png, trajectory_panels

TASKS = 4
"""Whose ways are drawn."""
EPISODES = 8
"""Of each, at most."""
SIDE = 4.4
"""Width and height of the picture of embeddings in inches."""


def embeddings(known: Mapping[str, Sequence[Sequence[float]]], out: Path) -> bool:
    """Draw task embeddings, by task ``[E][d]``, into a PNG: the two directions in which they differ most.

    Returns:
        Whether there is a picture; False if all embeddings are one.
    """
    points = np.array(list(known.values()))
    plane = principal_plane(points.reshape(-1, points.shape[-1])).reshape(*points.shape[:2], 2)
    if not plane.any():
        return False
    with new_figure(SIDE, SIDE, out) as figure:
        from matplotlib import colormaps

        axes = figure.add_subplot()
        colours = colormaps["turbo"](np.linspace(0.05, 0.95, len(known)))
        for name, own, colour in zip(_short(known), plane, colours, strict=True):
            axes.scatter(own[:, 0], own[:, 1], color=colour, s=18, alpha=0.8, linewidths=0)
            axes.annotate(name, own.mean(axis=0), (4, 3), textcoords="offset points", fontsize=7)
        axes.set(title="embeddings of tasks it was not trained on", xlabel="first direction", ylabel="second direction")
        axes.set_aspect("equal", adjustable="datalim")
        save_png(figure, out)
    return True


def _short(names: Collection[str]) -> list[str]:
    """Names without the words with which all of them begin."""
    words = [name.split("-") for name in names]
    shared = next((place for place, each in enumerate(zip(*words, strict=False)) if len(set(each)) > 1), 0)
    return ["-".join(each[shared:]) for each in words]


def principal_plane(points: np.ndarray) -> np.ndarray:
    """Points ``[n, d]`` along their two first principal axes, ``[n, 2]``; the second is 0 if d is 1."""
    centred = points - points.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    along = centred @ axes[:2].T
    return np.pad(along, ((0, 0), (0, 2 - along.shape[1])))


def adaptation(env: BatchEnv, result: Adaptation, out: Path) -> bool:
    """Draw the ways of the first and the last episodes in some of the tasks, side by side, into a PNG.

    Returns:
        Whether there is a picture; False if this env has none.
    """
    tasks = env.info.tasks
    assert tasks is not None
    indices = dict(zip(tasks.test, tasks.test_indices, strict=True))
    panels, drawn = [], []
    for place, name in enumerate(result.tasks[:TASKS]):
        for stage, episodes in (("before", result.before), ("after", result.trajectories)):
            each = len(episodes) // len(result.tasks)
            own = episodes[place * each : (place + 1) * each]
            panels.append((f"{name}, {stage}", own[:EPISODES]))
            drawn.append(indices[name])
    return trajectory_panels(env, panels, out, drawn)
