"""Whatever is registered composes, runs and resumes exactly; a new method is covered by being registered."""

import pytest

from lightning_skills.testing import check_kills, check_method, served_distributions, served_pairs


@pytest.mark.parametrize(("method", "env"), served_pairs())
def test_every_method_runs_and_resumes_exactly(method, env, tmp_path):
    check_method(method, env, tmp_path)


# On one env for each: the state of all others is in the checkpoints compared above.
@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize(("method", "env"), dict(served_pairs()).items())
def test_every_method_survives_kills(method, env, ranks, tmp_path):
    check_kills(method, env, tmp_path, ranks)


@pytest.mark.parametrize(("method", "env", "task"), served_distributions())
def test_every_method_of_one_task_runs_in_parts_and_resumes_exactly(method, env, task, tmp_path):
    check_method(method, env, tmp_path, words=[f"env.task={task}"])


# Of one method: the phases of all others are killed above, and what is left does not depend on them.
@pytest.mark.parametrize("ranks", [1, 2])
def test_runs_in_parts_survive_kills(ranks, tmp_path):
    check_kills("sac", "target", tmp_path, ranks, words=["env.task=both"])


@pytest.mark.parametrize("decoder", ["open_loop", "conditioned", "closed_loop"])
def test_so_does_every_decoder_of_spirl_on_images(decoder, tmp_path):
    words = ["env.images=true", f"method.skills.decoder={decoder}", "method.skills.target_kl=1.0"]
    check_method("spirl", "maze", tmp_path, words=words)


def test_so_does_a_policy_of_actions_on_images(tmp_path):
    check_method("flat_prior", "maze", tmp_path, words=["env.images=true"])


@pytest.mark.parametrize("method", ["spirl", "sac"])
def test_so_does_whoever_collects_ahead(method, tmp_path):
    check_method(method, "maze", tmp_path, words=["collect.ahead=true"])
