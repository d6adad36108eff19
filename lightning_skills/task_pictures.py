"""Pictures of how a meta-learner adapts: what it knows of each task, and where it goes before and after it knows."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from lightning_skills.data.batch_env import BatchEnv
from lightning_skills.evaluation.adaptation import Adaptation
from lightning_skills.report import Snapshot, new_figure, save_png, trajectory_panels

TASKS = 4
"""Whose ways are drawn."""
EPISODES = 8
"""Of each, at most."""
SIDE = 4.4
"""Width and height of the picture of embeddings in inches."""


def embeddings(known: Mapping[str, Sequence[Sequence[float]]], out: Path) -> bool:
    """Draw task embeddings, by task ``[E][d]``, into a PNG: the two directions in which they differ most.

    Returns:
        Whether there is a picture; False if there are no embeddings, or all are one.
    """
    points = np.array(list(known.values()))
    if not known or (points == points[0, 0]).all():
        return False
    plane = principal_plane(points.reshape(-1, points.shape[-1])).reshape(*points.shape[:2], 2)
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
    """Draw the ways of the first episodes in some of the tasks, and below them those of the last, into a PNG.

    Returns:
        Whether there is a picture; False if this env has none.
    """
    tasks = env.info.tasks
    assert tasks is not None
    stages = (("before", result.before), ("after", result.trajectories))
    panels = [
        Snapshot(f"{name}, {stage}", _of(place, episodes, len(result.tasks)), tasks.test_index(name))
        for stage, episodes in stages
        if episodes
        for place, name in enumerate(result.tasks[:TASKS])
    ]
    return trajectory_panels(env, panels, out)


def _of(place: int, episodes: Sequence[np.ndarray], tasks: int) -> Sequence[np.ndarray]:
    """Some of the episodes of one of so many tasks, which follow one after another."""
    each = len(episodes) // tasks
    return episodes[place * each : (place + 1) * each][:EPISODES]
