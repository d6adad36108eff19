"""``python -m lightning_skills``: what is registered, data sets, training."""

import difflib
import re
import sys
from collections.abc import Sequence

from lightning_skills import command, plugins
from lightning_skills.errors import InputError

HELP = """\
usage: python -m lightning_skills COMMAND

  methods                                what there is to train, one line each
  envs                                   where, one line each
  tasks ENV                              what env.task may be there
  experiments                            the settings of papers' cells and of our tables, for experiment=NAME
  train key=value ...                    the same as train.py
  report RUN_OR_FOLDER|mlflow:EXPERIMENT... [out=report] [metric=success] [by=method] [uri=TRACKING_URI]
                                         curves and tables over recorded runs
  explore RUN_OR_FOLDER... [frames=100000] [out=exploration] [method.KEY=VALUE ...] [env.KEY=VALUE ...]
                                         where priors lead before any reward is seen, beside random actions
  evaluate RUN|models:/NAME/VERSION [episodes=N] [seed=K] [explore=false] [env.task=NAME] [record_video=true]
           [checkpoint=best|newest] [phase=NAME] [out=evaluation] [overwrite=true] [uri=TRACKING_URI]
                                         a trained policy in fresh worlds, by default those of the run's own evaluation
  export RUN|models:/NAME/VERSION [env.task=NAME] [checkpoint=best|newest] [phase=NAME] [out=policy]
         [overwrite=true] [uri=TRACKING_URI]
                                         a trained policy as a program that runs on torch alone
  check PROGRAM.pt2                      whether a program is of the kind that export writes; others may run code
  data generate env=NAME [env.task=NAME] [env.KEY=VALUE ...] [data_dir=data] [debug=smoke]
                                         make the env's data set (or say that it is there); for most envs there are
                                         env.data.trajectories=N  env.data.seed=0  env.data.workers=1, and
                                         train.py env=NAME --cfg prints all of an env's options
  data describe PATH                     what a data set holds
  data validate PATH                     read every value and check it
  data import SOURCE PATH [key=value ...]
                                         make the data set PATH from minari:ID or from an HDF5 file in D4RL's layout;
                                         observation=KEY,KEY  columns=0:9,18:39  horizon=ROWS  action_scale=NUMBER
  data export PATH minari:ID [env=ID]    make a Minari data set from the data set PATH
"""
HELP_WORDS = {"--help", "-h"}


def main(words: Sequence[str]) -> int:
    """Run one command; returns the exit status."""
    match list(words):
        case ["train", *rest]:
            return command.train(rest)
        case [*given] if not given or HELP_WORDS.intersection(given):
            print(_help(given))
            return 0
        case ["methods"]:
            return _list(plugins.methods())
        case ["envs"]:
            return _list(plugins.envs())
        case ["tasks", env]:
            return command.guard(lambda: _tasks(env))
        case ["experiments"]:
            return command.guard(_experiments)
        case ["report", *rest]:
            return command.guard(lambda: _report(rest))
        case ["explore", *rest]:
            return command.guard(lambda: _explore(rest))
        case ["evaluate", *rest]:
            return command.guard(lambda: _evaluate(rest))
        case ["export", *rest]:
            return command.guard(lambda: _export_policy(rest))
        case ["check", file]:
            return command.guard(lambda: _check_program(file))
        case ["data", "generate", *rest]:
            return command.guard(lambda: _generate(rest))
        case ["data", "describe", path]:
            return command.guard(lambda: _describe(path, check=False))
        case ["data", "validate", path]:
            return command.guard(lambda: _describe(path, check=True))
        case ["data", "import", source, path, *rest]:
            return command.guard(lambda: _import(source, path, rest))
        case ["data", "export", path, target, *rest]:
            return command.guard(lambda: _export(path, target, rest))
    return command.guard(lambda: _refuse(words))


def _refuse(words: Sequence[str]) -> int:
    """Say of words that are no command, or not those of their command, what is wrong with them."""
    known = [" ".join(part.split()[: 2 if part.split()[0] == "data" else 1]) for part in _parts()[1:]]
    asked = " ".join(words[: 2 if words[0] == "data" else 1])
    if asked not in known:
        close = difflib.get_close_matches(asked, known, n=1) or known
        hint = f"did you mean {close[0]}?" if len(close) == 1 else f"there is {', '.join(known)}"
        raise InputError(f"there is no command {asked!r}; {hint}")
    print(f"error: cannot run {' '.join(words)!r}: it does not take these words\n{_help(words)}", file=sys.stderr)
    return command.BAD_INPUT


def _help(words: Sequence[str]) -> str:
    """The parts of the page on the command that these words begin with; without one, the whole page."""
    head, *parts = _parts()
    asked = [word for word in words if word not in HELP_WORDS][: 2 if "data" in words[:1] else 1]
    chosen = [part for part in parts if part.split()[: len(asked)] == asked]
    return "\n".join([head, *(chosen or parts)])


def _parts() -> list[str]:
    """The head of the page, and what it says of each command."""
    return re.split(r"\n(?=  \w)", HELP)


def _list(registry: plugins.Registry) -> int:
    width = max(map(len, [*registry, *registry.broken]), default=0)
    for name in registry:
        print(f"{name:<{width}}  {registry[name].summary}")
    for name, reason in registry.broken.items():
        print(f"{name:<{width}}  cannot be used: {reason}", file=sys.stderr)
    return 0


def _tasks(env: str) -> int:
    from lightning_skills import listings

    print("\n".join(listings.tasks(env)))
    return 0


def _experiments() -> int:
    from lightning_skills import listings

    print("\n".join(listings.experiments()))
    return 0


def _report(words: Sequence[str]) -> int:
    from lightning_skills import comparison

    return comparison.main(words)


def _explore(words: Sequence[str]) -> int:
    command.starting()
    from lightning_skills import exploration

    return exploration.main(words)


def _evaluate(words: Sequence[str]) -> int:
    command.starting()
    from lightning_skills import evaluate

    return evaluate.main(words)


def _export_policy(words: Sequence[str]) -> int:
    command.starting()
    from lightning_skills import export

    return export.main(words)


def _check_program(file: str) -> int:
    from pathlib import Path

    from lightning_skills.program_check import check

    check(Path(file))
    print(f"{file} is of the kind that export writes; to load it runs nothing but the operators of a policy")
    return 0


def _generate(words: Sequence[str]) -> int:
    from lightning_skills import config
    from lightning_skills.data import trajectories
    from lightning_skills.data.demonstrations import demonstrations

    return _print(trajectories.describe(demonstrations(*config.load_env(words))))


def _describe(path: str, check: bool) -> int:
    from pathlib import Path

    from lightning_skills.data import trajectories

    dataset = trajectories.load(Path(path))
    if check:
        trajectories.validate(dataset)
    return _print(trajectories.describe(dataset))


def _import(source: str, path: str, words: Sequence[str]) -> int:
    from pathlib import Path

    from lightning_skills.data import d4rl_files, importing, minari_sets, trajectories

    options = importing.parse(words)
    if source.startswith(minari_sets.PREFIX):
        recording = minari_sets.read(source.removeprefix(minari_sets.PREFIX), options)
    else:
        recording = d4rl_files.read(Path(source), options)
    return _print(trajectories.describe(importing.save(recording, Path(path), options)))


def _export(path: str, target: str, words: Sequence[str]) -> int:
    from pathlib import Path

    from lightning_skills.data import minari_sets, trajectories

    if not target.startswith(minari_sets.PREFIX):
        raise InputError(f"cannot export to {target!r}; write minari:ID")
    dataset = trajectories.load(Path(path))
    made = minari_sets.export(dataset, target.removeprefix(minari_sets.PREFIX), minari_sets.make_env(words))
    rows = {"id": made.id, "path": made.storage.data_path, "episodes": made.total_episodes, "steps": made.total_steps}
    return _print([(key, str(value)) for key, value in rows.items()])


def _print(rows: Sequence[tuple[str, str]]) -> int:
    from lightning_skills.report import summary_table

    print(summary_table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
