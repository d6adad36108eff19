import shlex

import pytest

from lightning_skills import config
from lightning_skills.config_tree import flatten, may_change
from lightning_skills.recorded import RecordedRun
from lightning_skills.reproduce import commands


def recorded(*words, **changes):
    """A run as its config is recorded."""
    return RecordedRun("here", flatten(config.load(words).resolved()) | changes, [], None)


def composed(command):
    """The configs that a command trains."""
    python, flag, package, train, *words = shlex.split(command)
    assert (python, flag, package, train) == ("python", "-m", "lightning_skills", "train")
    jobs = config.sweep(words[1:]) if words[0] == "-m" else [words]
    return [matters(flatten(config.load(job).resolved())) for job in jobs]


def matters(options):
    """Without what is not computed with, such as where things lie."""
    return {key: value for key, value in options.items() if not may_change(key)}


@pytest.mark.parametrize(
    "words",
    [
        ["method=spirl", "env=maze"],
        ["method=sac", "env=maze", "env.task=spirl40", "seed=3", "name=strong", "method.rl.lr=1e-5"],
        ["method=spirl", "env=maze", "debug=smoke", "name='1e5'", "data='a b/c,d'", "skills=runs/spirl/seed0"],
        ["method=spirl", "env=maze", "name='null'", "evaluation.explore=false", "method.skills.target_kl=0.5"],
        ["method=spirl", "env=maze", 'name="it\'s"', "data='back\\slash\\\\'"],
        ["method=spirl", "env=maze", "name='$HOME!'", 'data="a\'$b"'],
        ["method=reward_weighted", "env=target", "name=0123abcd", "debug=smoke"],
    ],
)
def test_a_command_gives_the_config_again(words):
    run = recorded(*words)
    (command,) = commands([run])
    assert composed(command) == [matters(run.options)]


def test_a_command_says_what_differs_and_no_more():
    words = ["method=spirl", "env=maze", "seed=2", "name=x", "method.rl.lr=1e-5", "runs_dir=/there", "logging=csv"]
    assert commands([recorded(*words)]) == [
        "python -m lightning_skills train method=spirl env=maze env.task=small20 method.rl.lr=1e-05 name=x seed=2"
    ]


def test_quotes_are_readable_in_a_shell():
    (command,) = commands([recorded("method=spirl", "env=maze", "name='1e5'")])
    assert command.endswith("env.task=small20 \"name='1e5'\" seed=0")


def test_runs_that_differ_in_the_seed_are_one_sweep():
    runs = [recorded("method=spirl", "env=maze", f"seed={seed}") for seed in (10, 2, 0)]
    other = recorded("method=sac", "env=maze")
    (sweep, single) = commands([runs[0], other, *runs[1:]])
    assert (
        sweep == "python -m lightning_skills train -m method=spirl env=maze env.task=small20 name=default seed=0,2,10"
    )
    assert single == "python -m lightning_skills train method=sac env=maze env.task=small20 name=default seed=0"
    assert composed(sweep) == [matters(run.options) for run in reversed(runs)]


def test_runs_with_artefacts_of_their_own_have_commands_of_their_own():
    runs = [
        recorded("method=spirl", "env=maze", f"seed={seed}", f"skills=runs/seed{seed}", "name=x") for seed in (0, 1)
    ]
    assert [line.split()[7:] for line in commands(runs)] == [
        [f"skills=runs/seed{seed}", "name=x", f"seed={seed}"] for seed in (0, 1)
    ]


def test_a_method_that_is_not_here_has_all_its_options():
    options = {"method.name": "away", "method.rl.sizes": [1, 2], "method.rl.x": None, "env.name": "maze"}
    run = RecordedRun("here", options | {"env.task": "a", "seed": 0, "name": "n", "logging.mlflow": True}, [], None)
    assert commands([run]) == [
        "python -m lightning_skills train method=away env=maze env.task=a "
        "'method.rl.sizes=[1,2]' method.rl.x=null name=n seed=0"
    ]
