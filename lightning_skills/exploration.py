"""``python -m lightning_skills explore``: where priors lead before any reward is seen.

SPiRL's authors judge a prior by such rollouts, not by its loss (Pertsch et al. 2020, fig. 5): the policy of an online
phase acts before its first update, which is sampling from the prior, beside uniform skills or random actions.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lightning_skills import config, report, trained
from lightning_skills.command import Tolerance
from lightning_skills.data.batch_env import BatchEnv
from lightning_skills.errors import InputError
from lightning_skills.evaluation.rollouts import Rollouts, rollout
from lightning_skills.evaluation.statistics import describe
from lightning_skills.groups import group_runs
from lightning_skills.parts import Part
from lightning_skills.pipeline import Pipeline
from lightning_skills.plugins import Phase
from lightning_skills.quiet import quiet
from lightning_skills.recorded import find_runs
from lightning_skills.run_options import Run
from lightning_skills.words import options_and_places, options_of

OPTIONS = {"frames": "100000", "out": "exploration"}


@dataclass(frozen=True)
class Visits:
    """Places that rollouts came by.

    Args:
        together: How many in all episodes.
        an_episode: How many in one, on average.
        places: How many there are.
    """

    together: int
    an_episode: float
    places: int


@dataclass(frozen=True)
class Exploration:
    """What one explorer of one run did.

    Args:
        label: What it is called, after the group of runs it belongs to.
        seed: The run's seed.
        rollouts: Its episodes.
        visits: Places it visited; None in an env without places.
    """

    label: str
    seed: int
    rollouts: Rollouts
    visits: Visits | None


def main(words: Sequence[str]) -> int:
    """The command: runs of one task, or folders above them, and ``key=value`` options, also of method and env.

    Returns the exit status.

    Raises:
        InputError: if an option is wrong, or runs are of several tasks. A run that is bad is said and left out.
    """
    changes, others = options_of(words, "method", "env")
    options, places = options_and_places(others, OPTIONS)
    if not options["frames"].isdecimal() or not int(options["frames"]):
        raise InputError(f"frames={options['frames']}: must be a positive number of env frames")
    skip = Tolerance()
    given = dict(word.split("=", 1) for word in changes)
    groups = group_runs([replace(run, options={**run.options, **given}) for run in find_runs(places, skip)])
    tasks = sorted({group.task for group in groups})
    if len(tasks) > 1:
        raise InputError(f"these runs are of several tasks ({', '.join(tasks)}); explore one at a time")
    if not groups:
        return skip.status
    quiet()
    chosen: list[tuple[str, Run]] = []
    for label, folder in [(str(group), each.folder) for group in groups for each in group.runs]:
        with skip():
            run = config.restore(folder)
            chosen.append((label, trained.changed(run, online_phase(run), str(folder), folder, changes)))
    if not chosen:
        return skip.status
    out = report.make_folder(Path(options["out"]))
    found: list[Exploration] = []
    explored: list[Run] = []
    for label, run in chosen:
        with skip():
            found += explore(run, int(options["frames"]), label)
            explored.append(run)
    if not found:
        return skip.status
    table = report.markdown_table(summarise(found))
    (out / "table.md").write_text(f"{table}\n")
    (out / "table.csv").write_text(report.csv_table([per_seed(each) for each in found]))
    first = {each.label: each for each in reversed(found)}
    drawn = [
        report.Snapshot(f"{label}: {_in_short(each)}", each.rollouts.trajectories)
        for label, each in sorted(first.items())
    ]
    pictured = report.trajectory_panels(Pipeline(explored[0]).probe, drawn, out / "paths.png")
    print(f"{table}\n\nlook at  {out / 'paths.png' if pictured else out / 'table.csv'}")
    return skip.status


def explore(run: Run, frames: int, group: str = "") -> list[Exploration]:
    """Let every explorer of a run's online phase act for about so many env frames, in whole episodes.

    The run's seed seeds the worlds and the sampling; another explorer of the same run sees the same worlds. Where
    episodes end at the goal, those of a good explorer are shorter, and its frames fewer.

    Args:
        run: Its first phases are trained.
        frames: Of full episodes.
        group: What the run's group is called, if there are several.

    Raises:
        InputError: if the run has no online phase, or what that needs is not trained.
    """
    pipeline, phase = Pipeline(run), online_phase(run)
    if pipeline.probe.info.tasks is not None:
        raise InputError(f"{run.directory}: its phase {phase.name!r} is in parts; explore a run of one task")
    env, module = pipeline.probe, pipeline.module(Part(phase))
    episodes = max(1, round(frames / env.info.horizon))
    found = []
    for policy, name in module.explorers().items():
        rollouts = rollout(module, pipeline.worlds, episodes, run.config.seed, explore=True, policy=policy)
        label = f"{group}: {name}" if group else name
        found.append(Exploration(label, run.config.seed, rollouts, visits(env, rollouts.trajectories)))
    return found


def visits(env: BatchEnv, trajectories: Sequence[np.ndarray]) -> Visits | None:
    """The places that episodes' state trajectories (each ``[T, state_dim]``) came by; None in an env without any."""
    masks = [mask for each in trajectories if (mask := env.visited(each)) is not None]
    if not masks:
        return None
    visited = np.stack(masks)
    return Visits(int(visited.any(axis=0).sum()), float(visited.sum(axis=1).mean()), visited.shape[1])


def online_phase(run: Run) -> Phase:
    """The first phase that acts in one task.

    Raises:
        InputError: if the run's method has none.
    """
    if run.method.online_phase is None:
        raise InputError(f"{run.directory}: method {run.method.name!r} has no online phase to explore with")
    return run.method.online_phase


def _in_short(exploration: Exploration) -> str:
    if exploration.visits is None:
        return f"return {exploration.rollouts.returns.mean():.2f}"
    return f"{exploration.visits.together} places"


def per_seed(exploration: Exploration) -> dict[str, Any]:
    """A row of the full table."""
    rollouts = exploration.rollouts
    return {
        "explorer": exploration.label,
        "seed": exploration.seed,
        "env frames": int(rollouts.frames.sum()),
        **_places(exploration.visits),
        **_results(rollouts),
    }


def _places(visits: Visits | None) -> dict[str, float]:
    if visits is None:
        return {}
    return {"visited": visits.together, "an episode": visits.an_episode, "places": visits.places}


def _results(rollouts: Rollouts) -> dict[str, float]:
    """Means over the episodes, by column."""
    info = {name.replace("_", " "): float(values.mean()) for name, values in rollouts.info.items()}
    return {"return": float(rollouts.returns.mean()), "success": float(rollouts.success.mean()), **info}


def summarise(explorations: Sequence[Exploration]) -> list[dict[str, str]]:
    """A row per explorer over its seeds."""
    rows = []
    for label in dict.fromkeys(each.label for each in explorations):
        group = [each for each in explorations if each.label == label]
        results = [_results(each.rollouts) for each in group]
        rows.append(
            {
                "explorer": label,
                "seeds": str(len(group)),
                "env frames": f"{np.mean([each.rollouts.frames.sum() for each in group]):.0f}",
                **_visited([each.visits for each in group if each.visits is not None]),
                **{column: str(describe([each[column] for each in results])) for column in results[0]},
            }
        )
    return rows


def _visited(group: Sequence[Visits]) -> dict[str, str]:
    if not group:
        return {}
    return {
        "visited": str(describe([each.together for each in group])),
        "an episode": str(describe([each.an_episode for each in group])),
        "of": str(group[0].places),
    }
