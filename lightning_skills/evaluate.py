"""``python -m lightning_skills evaluate``: a trained policy in fresh worlds.

Without options it repeats the final evaluation of the run, to the last bit.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from lightning_skills import report, summaries, task_pictures, trained
from lightning_skills.data.batch_env import BatchEnv
from lightning_skills.errors import InputError
from lightning_skills.evaluation.adaptation import Adaptation
from lightning_skills.evaluation.protocol import adapts, final
from lightning_skills.evaluation.rollouts import Rollouts
from lightning_skills.quiet import quiet
from lightning_skills.trained import Trained
from lightning_skills.words import check_free, one_place, options_and_places, options_of

PROTOCOL = ("episodes", "seed", "explore")
"""Options of the run's ``evaluation`` that may be others here."""
OPTIONS = {
    **dict.fromkeys(PROTOCOL, ""),
    "checkpoint": "",
    "phase": "",
    "record_video": "false",
    "out": "evaluation",
    "overwrite": "false",
    "uri": "",
}
NUMBERS = "evaluation.json"


def main(words: Sequence[str]) -> int:
    """The command: a run's folder or a model, and ``key=value`` options, also of the env; returns the exit status.

    Raises:
        InputError: if an option is wrong, there is no such policy, the env cannot be filmed, or there is an evaluation
            already.
    """
    of_env, others = options_of(words, "env")
    options, places = options_and_places(others, OPTIONS)
    changed = [*(f"evaluation.{key}={options[key]}" for key in PROTOCOL if options[key]), *of_env]
    out = Path(options["out"])
    video = _video(options["record_video"], out)
    quiet()
    where = options["uri"] or None
    policy = trained.load(one_place(places), changed, where, options["checkpoint"] or None, options["phase"] or None)
    if options["episodes"] and adapts(policy.module):
        raise InputError("this policy adapts to tasks, in as many episodes as its own options say; leave out episodes")
    check_free(out / NUMBERS, options["overwrite"])
    env = policy.pipeline.probe
    if video is not None and env.film(env.observe()["observation"][:1]) is None:
        raise InputError(f"env {policy.run.env.name!r} cannot be filmed; leave out record_video")
    report.make_folder(out)
    rollouts = final(policy.module, policy.pipeline.worlds, policy.run.config.evaluation)
    numbers = _numbers(policy, rollouts)
    (out / NUMBERS).write_text(json.dumps(numbers, indent=2))
    (out / "episodes.csv").write_text(report.csv_table(_episodes(rollouts)))
    if video is not None:
        report.film(env, rollouts.trajectories[int(np.argmax(rollouts.returns))], video)
    looks = [("look at", str(path)) for path in _pictures(env, rollouts, out)]
    print(report.summary_table([*_table(policy, numbers, out, video), *looks]))
    return 0


def _pictures(env: BatchEnv, rollouts: Rollouts, out: Path) -> list[Path]:
    """What a meta-learner knows of tasks and where it goes, drawn as far as that can be."""
    ways, known = out / "adaptation.png", out / "embeddings.png"
    for earlier in (ways, known):
        earlier.unlink(missing_ok=True)
    if isinstance(rollouts, Adaptation):
        task_pictures.adaptation(env, rollouts, ways)
        task_pictures.embeddings(rollouts.embeddings, known)
    return [path for path in (ways, known) if path.exists()]


def _video(word: str, out: Path) -> Path | None:
    if word in ("true", "false"):
        return out / "film.gif" if word == "true" else None
    if Path(word).suffix != ".gif":
        raise InputError(f"record_video={word}: write true, or a path that ends in .gif")
    return Path(word)


def _numbers(policy: Trained, rollouts: Rollouts) -> dict[str, Any]:
    """What ``summary.json`` says, and of what it is said."""
    run = policy.run
    return {
        "policy": policy.place,
        "method": run.method.name,
        "env": {"name": run.env.name, **asdict(run.config.env)},
        "seed": run.config.evaluation.seed,
        **summaries.judged(policy.phase.name, rollouts),
    }


def _episodes(rollouts: Rollouts) -> list[dict[str, object]]:
    count = len(rollouts.returns)
    columns: dict[str, np.ndarray] = {"episode": np.arange(count)}
    if isinstance(rollouts, Adaptation):
        columns["task"] = np.repeat(rollouts.tasks, count // len(rollouts.tasks))
    columns |= {"return": rollouts.returns, "success": rollouts.success.astype(int), "frames": rollouts.frames}
    columns |= rollouts.info
    return [{name: values[index].item() for name, values in columns.items()} for index in range(count)]


def _table(policy: Trained, numbers: Mapping[str, Any], out: Path, video: Path | None) -> list[tuple[str, str]]:
    run = policy.run
    films = [("film", str(video))] if video is not None else []
    return [
        ("policy", f"{policy.place} ({run.method.name}, phase {policy.phase.name})"),
        ("env", f"{run.env.name} {run.config.env.task}"),
        ("evaluation", f"{summaries.episodes(numbers)}, seed {numbers['seed']}"),
        *summaries.outcome(numbers),
        ("numbers", f"{out / NUMBERS}, {out / 'episodes.csv'}"),
        *films,
    ]
