import dataclasses

import pytest

from lightning_skills import config, plugins
from lightning_skills.config_tree import flatten
from lightning_skills.errors import InputError

SAMPLE = ["method=reward_weighted", "env=target"]


def test_options_travel_as_the_plugins_frozen_dataclass():
    run = config.load([*SAMPLE, "method.policy.lr=1e-4", "env.task=far", "seed=3"])
    assert run.config.method.policy.lr == 1e-4
    assert run.config.env.task == "far"
    with pytest.raises(dataclasses.FrozenInstanceError):
        run.config.method.policy.lr = 1.0


@pytest.mark.parametrize("name", list(plugins.methods()))
def test_composed_defaults_are_the_dataclass_defaults_under_the_preset(name):
    method, envs = plugins.methods()[name], plugins.envs()
    for env in envs:
        if not method.requires <= envs[env].provides:
            continue
        presets = (key.partition("/") for key in method.presets)
        for task in {envs[env].config().task, *(task for owner, _, task in presets if owner == env and task)}:
            run = config.load([f"method={name}", f"env={env}", f"env.task={task}"])
            flat = flatten(dataclasses.asdict(run.config.method))
            default = flatten(dataclasses.asdict(method.config()))
            assert flat == {**default, **method.preset(env, task)}


def test_the_users_words_overrule_preset_and_smoke():
    assert config.load([*SAMPLE, "debug=smoke"]).config.method.policy.frames == 40
    assert config.load([*SAMPLE, "debug=smoke", "method.policy.frames=41"]).config.method.policy.frames == 41


def test_where_a_run_lives():
    assert str(config.load(SAMPLE).directory) == "runs/reward_weighted/target-near/default/seed0"
    named = config.load([*SAMPLE, "name=mine", "runs_dir=/elsewhere", "seed=2", "env.task=far"])
    assert str(named.directory) == "/elsewhere/reward_weighted/target-far/mine/seed2"
    digest = config.load([*SAMPLE, "method.policy.lr=1"]).config.name
    assert digest not in ("default", config.load([*SAMPLE, "method.policy.lr=2"]).config.name)
    assert digest == config.load([*SAMPLE, "method.policy.lr=1", "logging=csv", "seed=5"]).config.name
    smoke = config.load([*SAMPLE, "debug=smoke"]).config
    assert (smoke.name, smoke.logging.experiment, smoke.logging.register) == ("smoke", "lightning_skills_smoke", False)


def test_an_artefact_from_elsewhere_is_named_by_its_phase():
    assert config.load(["method=spirl", "env=maze", "skills=/a/run"]).config.sources == {"skills": "/a/run"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["method=reward_weightd", "env=target"], "unknown method 'reward_weightd'; did you mean reward_weighted"),
        (["method=reward_weighted", "env=targt"], "unknown env 'targt'; did you mean target"),
        ([*SAMPLE, "method.policy.lrr=1"], "unknown option 'method.policy.lrr'; did you mean method.policy.lr"),
        ([*SAMPLE, "sed=1"], "unknown option 'sed'; did you mean seed"),
        ([*SAMPLE, "method.policy.lr=fast"], "option 'method.policy.lr': 'fast' is not a number"),
        ([*SAMPLE, "seed=one"], "option 'seed': 'one' is not an integer"),
        ([*SAMPLE, "seed=null"], "option 'seed': it cannot be null"),
        ([*SAMPLE, "logging.mlflow=maybe"], "option 'logging.mlflow': 'maybe' is neither true nor false"),
        ([*SAMPLE, "logging.experiment=[1]"], "option 'logging.experiment': [1] is not text"),
        ([*SAMPLE, "method.policy=3"], "option 'method.policy': 3 is a single value, and it has options of its own"),
        ([*SAMPLE, "mehtod=sac"], "unknown option 'mehtod'; did you mean method?"),
        ([*SAMPLE, "polcy=/a/run"], "unknown option 'polcy'; did you mean policy?"),
        ([*SAMPLE, "seed=0,1"], "seed=0,1: several values need a sweep, -m"),
        ([*SAMPLE, "name="], "name is ''; it names one folder, without '/'"),
        ([*SAMPLE, "name=.."], "name is '..'; it names one folder, without '/'"),
        ([*SAMPLE, "name=."], "name is '.'; it names one folder, without '/'"),
        ([*SAMPLE, "env.task=fra"], "env 'target' has no task 'fra'; did you mean far"),
        ([*SAMPLE, "phase=rl"], "method 'reward_weighted' has no phase 'rl'; it has policy"),
        (["method=bc_sac", "env=maze", "skills=/a"], "method 'bc_sac' has no phase 'skills'; it has prior, rl"),
        (["experiment=spirl_mase"], "unknown experiment 'spirl_mase'; did you mean spirl_maze"),
        ([*SAMPLE, "trainer=tpu"], "unknown trainer 'tpu'; there is default"),
        ([*SAMPLE, "seed"], "cannot read 'seed'"),
        ([*SAMPLE, "+seed=1"], "cannot add or delete options"),
        (["method=spirl", "env=target"], "it needs demonstrations"),
        (["method=simpl", "env=maze", "collect.ahead=true"], "phase 'meta' of method 'simpl' runs whole episodes"),
        (["method=simpl", "env=maze", "env.task=spirl40"], "method 'simpl' needs a distribution of tasks"),
    ],
)
def test_bad_words_are_one_line_that_names_what_to_mend(words, message):
    with pytest.raises(InputError) as error:
        config.load(words)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (
            ["method=sac", "env=locomotion"],
            "env 'locomotion' has distributions cheetah-vel, cheetah-dir, ant-goal, ant-dir, humanoid-dir, "
            "walker-rand-params, hopper-rand-params, point-robot, sparse-point-robot and 744 single tasks, "
            "cheetah-vel-0, cheetah-vel-1, cheetah-vel-2, ..., sparse-point-robot-99",
        ),
        (["method=simpl", "env=kitchen"], "env 'kitchen' has distributions simpl"),
        (SAMPLE, "env 'target' has distributions both and 2 single tasks, near, far"),
    ],
)
def test_an_unknown_task_is_told_what_there_is_in_short(words, offered):
    with pytest.raises(InputError) as error:
        config.load([*words, "env.task=xyzzy"])
    assert str(error.value).partition("; ")[2] == offered


def test_phases_that_do_not_run_do_not_keep_others_from_running_ahead():
    words = ["method=simpl", "env=maze", "phase=skills", "collect.ahead=true"]
    assert config.load(words).config.collect.ahead


def test_a_sweep_is_every_combination():
    jobs = list(config.sweep(["method=a,b", "env=target", "seed=range(0,2)"]))
    assert jobs == [[f"method={m}", "env=target", f"seed={s}"] for m in "ab" for s in (0, 1)]


@pytest.mark.parametrize("file", sorted((config.CONF / "experiment").glob("*.yaml")), ids=lambda file: file.stem)
def test_every_experiment_composes(file):
    run = config.load([f"experiment={file.stem}"])
    assert run.config.name == file.stem


@pytest.mark.parametrize("file", sorted((config.CONF / "experiment").glob("*.yaml")), ids=lambda file: file.stem)
def test_smoke_makes_every_experiment_small(file):
    run = config.load([f"experiment={file.stem}", "debug=smoke"])
    for spec, options in ((run.method, run.config.method), (run.env, run.config.env)):
        assert spec.smoke.items() <= flatten(dataclasses.asdict(options)).items()
    assert run.config.evaluation.episodes == 2


def test_the_users_words_overrule_an_experiment_and_its_smoke():
    words = ["experiment=spirl_maze", "debug=smoke", "method.skills.updates=7", "env.data.trajectories=5"]
    options = config.load(words).config
    assert (options.method.skills.updates, options.env.data.trajectories) == (7, 5)


def test_the_task_that_an_experiment_names_brings_its_preset():
    run = config.load(["experiment=blocks_sparse"])
    assert run.config.env.task != run.env.config().task
    assert run.config.method.rl.frames == run.method.presets["blocks/sparse11"]["rl.frames"]
    told = config.load(["experiment=blocks_sparse", "env.task=dense11"])
    assert told.config.method.rl.frames == run.method.presets["blocks"]["rl.frames"]
