"""The named tasks: how many, which for testing, and what the authors' code draws."""

import math
import subprocess
import sys

import numpy as np
import pytest

from envs.locomotion import ENV
from envs.locomotion.tasks import DISTRIBUTIONS, TASKS
from lightning_skills import config, plugins
from lightning_skills.errors import InputError

SIZES = {
    "cheetah-vel": (100, 30),
    "ant-goal": (150, 30),
    "humanoid-dir": (100, 30),
    "walker-rand-params": (40, 10),
    "hopper-rand-params": (40, 10),
    "point-robot": (80, 20),
    "sparse-point-robot": (80, 20),
}


def goals(family):
    distribution = DISTRIBUTIONS[family]
    return [TASKS[name].goal for name in distribution.train + distribution.test]


@pytest.mark.parametrize(("family", "sizes"), SIZES.items())
def test_training_tasks_come_first_and_are_not_tested(family, sizes):
    train, test = DISTRIBUTIONS[family].train, DISTRIBUTIONS[family].test
    assert (len(train), len(test)) == sizes
    assert train + test == tuple(f"{family}-{number}" for number in range(sum(sizes)))
    assert len(set(goals(family))) == sum(sizes)


@pytest.mark.parametrize(("family", "first", "second"), [("cheetah-dir", -1, 1), ("ant-dir", 0, math.pi)])
def test_two_directions_are_trained_and_tested(family, first, second):
    assert DISTRIBUTIONS[family].train == DISTRIBUTIONS[family].test
    assert goals(family)[:2] == [(first,), (second,)]
    assert TASKS[f"{family}-forward"].goal == (max(first, 0) if family == "ant-dir" else 1,)


def test_every_family_is_a_distribution_and_every_task_is_registered():
    assert set(DISTRIBUTIONS) == {*SIZES, "cheetah-dir", "ant-dir"}
    assert ENV.tasks == tuple(TASKS)
    assert ENV.distributions == tuple(DISTRIBUTIONS)
    named = {name for each in DISTRIBUTIONS.values() for name in each.train + each.test}
    assert named == set(TASKS)


# The authors seed numpy's global stream with 1337, then draw with its global functions.
@pytest.fixture
def seeded():
    before = np.random.get_state()
    np.random.seed(1337)
    yield np.random
    np.random.set_state(before)


def test_velocities_are_the_authors(seeded):
    assert goals("cheetah-vel") == [(seeded.uniform(0.0, 3.0),) for _ in range(130)]


def test_places_in_the_square_are_the_authors(seeded):
    assert goals("point-robot") == [(seeded.uniform(-1.0, 1.0), seeded.uniform(-1.0, 1.0)) for _ in range(100)]


def test_places_on_the_half_circle_are_the_authors(seeded):
    angles = [number * math.pi / 99 for number in range(100)]
    order = np.arange(100)
    seeded.shuffle(order)
    expected = [(math.cos(angles[number]), math.sin(angles[number])) for number in order]
    assert np.array(goals("sparse-point-robot")) == pytest.approx(np.array(expected), abs=1e-12)


def test_unseeded_families_are_what_the_authors_code_draws_after_the_same_seed(seeded):
    state = seeded.get_state()
    turns = [seeded.random_sample() for _ in range(360)]
    expected = []
    for turn, share in zip(turns[:180], turns[180:], strict=True):
        angle, distance = 2 * math.pi * turn, 3 * math.sqrt(share)
        expected.append((distance * math.cos(angle), distance * math.sin(angle)))
    assert np.array(goals("ant-goal")) == pytest.approx(np.array(expected), abs=1e-12)
    seeded.set_state(state)
    angles = [2 * math.pi * seeded.random_sample() for _ in range(130)]
    assert [goal for (goal,) in goals("humanoid-dir")] == pytest.approx(angles)


def test_names_select_a_task_or_a_distribution(made):
    one, several = made("cheetah-vel-17"), made("cheetah-vel")
    assert one.info.tasks is None
    assert several.info.tasks == DISTRIBUTIONS["cheetah-vel"]
    with pytest.raises(InputError) as refused:
        made("zzz")
    first, *_, last = TASKS
    assert str(refused.value).startswith(f"unknown locomotion task 'zzz'; there are {first}, ")
    assert str(refused.value).endswith(f", ..., {last}")
    with pytest.raises(InputError, match="unknown locomotion task 'cheetah-vel-130'; did you mean"):
        made("cheetah-vel-130")
    for task in ("cheetah-vel-17", "cheetah-vel"):
        assert config.load(["method=sac", "env=locomotion", f"env.task={task}"]).config.env.task == task
    with pytest.raises(InputError, match="needs a distribution of tasks"):
        config.load(["method=pearl", "env=locomotion", "env.task=cheetah-vel-17"])


def test_it_offers_tasks_and_no_demonstrations():
    assert plugins.envs()["locomotion"].provided == {"tasks"}


def test_listing_loads_nothing_heavy():
    code = (
        "import sys, envs.locomotion;"
        "print([m for m in ('torch', 'mujoco', 'gymnasium', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
