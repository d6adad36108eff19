"""Whatever is registered composes, runs and resumes exactly; a new method is covered by being registered."""

import pytest

from lightning_skills import config, plugins
from lightning_skills.pipeline import Pipeline
from lightning_skills.testing import check_kills, check_method, served_distributions, served_pairs

CHEAP = ("target", "maze", "gymnasium", "locomotion", "blocks", "kitchen")
"""Envs by what a smoke run costs there; those of others come last."""


def kinds(method):
    """Kinds of phases that a method has."""
    return {(phase.data, phase.per_task) for phase in plugins.methods()[method].phases}


def telling(served, places):
    """Of ``(method, place)``: every method in its cheapest place, and in every place each kind of phase."""
    ranked = sorted(served, key=lambda pair: places(pair[1]))
    chosen = {method: (method, place) for method, place in reversed(ranked)}
    pairs = list(chosen.values())
    seen = {(place, kind) for method, place in pairs for kind in kinds(method)}
    for method, place in sorted(ranked, key=lambda pair: len(kinds(pair[0])), reverse=True):
        new = {(place, kind) for kind in kinds(method)} - seen
        pairs += [(method, place)] * bool(new)
        seen |= new
    return pairs


def cost(env):
    return CHEAP.index(env) if env in CHEAP else len(CHEAP)


PAIRS = telling(served_pairs(), cost)
IN_PARTS = list({(place[1], *sorted(kinds(place[0]))): place for place in served_distributions()}.values())
"""A method for each env and kinds of phases: what runs phases once for each task sees no more of a method."""
STARTED = [(*pair, None) for pair in served_pairs() if pair not in PAIRS]
STARTED += [place for place in served_distributions() if place not in IN_PARTS]


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """Demonstrations are made once for all tests, also of several workers."""
    folder = tmp_path_factory.getbasetemp()
    return (folder.parent if folder.name.startswith("popen") else folder) / "demonstrations"


@pytest.mark.parametrize(("method", "env"), PAIRS)
def test_every_method_runs_and_resumes_exactly(method, env, tmp_path, data):
    check_method(method, env, tmp_path, words=[f"data_dir={data}"])


@pytest.mark.parametrize(("method", "env", "task"), STARTED)
def test_every_method_starts_elsewhere(method, env, task, tmp_path, data):
    """It composes with that env's presets, and its first phase is built with data or worlds and has something to do."""
    words = [f"method={method}", f"env={env}", "debug=smoke", f"runs_dir={tmp_path}", f"data_dir={data}"]
    pipeline = Pipeline(config.load([*words, *([] if task is None else [f"env.task={task}"])]))
    first = pipeline.parts[0]
    module, _ = pipeline._build(first, pipeline._recorded() if first.phase.data == "offline" else None)
    assert module.plan()


# On one env for each: the state of all others is in the checkpoints compared above.
@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize(("method", "env"), dict(served_pairs()).items())
def test_every_method_survives_kills(method, env, ranks, tmp_path, data):
    check_kills(method, env, tmp_path, ranks, words=[f"data_dir={data}"])


@pytest.mark.parametrize(("method", "env", "task"), IN_PARTS)
def test_phases_of_one_task_run_in_parts_and_resume_exactly(method, env, task, tmp_path, data):
    check_method(method, env, tmp_path, words=[f"env.task={task}", f"data_dir={data}"])


# Of one method: the phases of all others are killed above, and what is left does not depend on them.
@pytest.mark.parametrize("ranks", [1, 2])
def test_runs_in_parts_survive_kills(ranks, tmp_path):
    check_kills("sac", "target", tmp_path, ranks, words=["env.task=both"])


@pytest.mark.parametrize("decoder", ["open_loop", "conditioned", "closed_loop"])
def test_so_does_every_decoder_of_spirl_on_images(decoder, tmp_path, data):
    words = ["env.images=true", f"method.skills.decoder={decoder}", "method.skills.target_kl=1.0", f"data_dir={data}"]
    check_method("spirl", "maze", tmp_path, words=words)


def test_so_does_a_policy_of_actions_on_images(tmp_path, data):
    check_method("flat_prior", "maze", tmp_path, words=["env.images=true", f"data_dir={data}"])


@pytest.mark.parametrize("method", ["spirl", "sac"])
def test_so_does_whoever_collects_ahead(method, tmp_path, data):
    check_method(method, "maze", tmp_path, words=["collect.ahead=true", f"data_dir={data}"])
