"""Scripted demonstrations: they get their subtasks done, keep to the recipe and can be replayed bit for bit."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from envs.kitchen import demos, sequences
from envs.kitchen.config import DemoConfig, KitchenConfig
from envs.kitchen.env import KitchenEnv
from envs.kitchen.tasks import LETTERS, SIMPL_TEST, SIMPL_TRAIN, SUBTASKS, KitchenTask, spelled_out
from lightning_skills.errors import InputError

NAMES = list(SUBTASKS)
CONFIG = KitchenConfig(data=DemoConfig(trajectories=6))


def with_data(**options):
    return replace(CONFIG, data=replace(CONFIG.data, **options))


@pytest.fixture(scope="module")
def made():
    return list(demos.generate(CONFIG))


def same(left, right):
    return len(left) == len(right) and all(
        a.keys() == b.keys() and all(np.array_equal(a[key], b[key]) for key in a)
        for a, b in zip(left, right, strict=True)
    )


def subtasks(trajectory):
    return tuple(NAMES[place] for place in trajectory["episode/subtasks"])


def test_shapes_and_ranges(made):
    assert len(made) == 6
    for trajectory in made:
        rows = len(trajectory["observation"])
        assert 60 < rows <= 281
        assert trajectory["observation"].shape == (rows, 60)
        assert trajectory["action"].shape == (rows, 9)
        assert {trajectory[key].dtype for key in ("observation", "action")} == {np.dtype(np.float32)}
        assert np.abs(trajectory["action"]).max() <= 1
        assert np.abs(trajectory["action"][:, :7]).max() < 0.9, "the arm's actions are no bang-bang control"
        assert len(set(subtasks(trajectory))) == 4
        assert (np.diff(trajectory["episode/steps"]) >= 0).all()


def test_actions_replayed_in_the_task_show_the_same_and_do_it_with_the_last_one(made):
    for trajectory in made:
        task = KitchenTask(subtasks(trajectory), spelled_out("mkbl"))
        env = KitchenEnv([task], [int(trajectory["episode/seed"])])
        observation, paid = env.observe()["observation"], []
        for recorded, action in zip(trajectory["observation"][:-1], trajectory["action"][:-1], strict=True):
            assert np.array_equal(observation[0], recorded)
            assert sum(paid) < 4
            step = env.step(action[None])
            observation = step.observation["observation"]
            paid.append(step.reward[0])
        assert np.array_equal(observation[0], trajectory["observation"][-1])
        assert step.success[0]
        assert np.array_equal(np.repeat(np.arange(len(paid)) + 1, np.int64(paid)), trajectory["episode/steps"])


def test_data_depend_on_the_seed_alone_not_on_batches_and_workers(made, monkeypatch):
    alone = [a.trajectory() for a in demos.attempts(CONFIG, [1, 0], worlds=1)]
    seeds = [int(trajectory["episode/seed"]) for trajectory in made]
    refilled = [a.trajectory() for a in demos.attempts(CONFIG, range(3), worlds=2)]
    assert same(alone, [refilled[1], refilled[0]])
    for trajectory in refilled:
        place = seeds.index(int(trajectory["episode/seed"]))
        assert all(np.array_equal(made[place][key], trajectory[key]) for key in trajectory)
    monkeypatch.setattr(demos, "CHUNK", 2)
    assert same(list(demos.generate(with_data(trajectories=3, workers=2))), made[:3])
    other = next(demos.attempts(with_data(seed=1, max_steps=5), [0]))
    assert not np.array_equal(np.stack(other.actions), made[0]["action"][:5])


def test_those_that_take_too_long_are_dropped_and_counted(made):
    lengths = [len(trajectory["action"]) - 1 for trajectory in made]
    limit = sorted(lengths)[2]
    assert sum(int(trajectory["episode/dropped"].sum()) for trajectory in made) == 0, "all of the first six succeed"
    quick = [trajectory for trajectory in made if len(trajectory["action"]) - 1 <= limit]
    kept = list(demos.generate(with_data(trajectories=len(quick), max_steps=limit)))
    assert [int(t["episode/seed"]) for t in kept] == [int(t["episode/seed"]) for t in quick]
    expected = [np.zeros(7, dtype=int) for _ in kept]
    for place, trajectory in enumerate(made):
        if lengths[place] > limit and (after := sum(length <= limit for length in lengths[:place])) < len(kept):
            undone = subtasks(trajectory)[int((trajectory["episode/steps"] <= limit).sum())]
            expected[after][NAMES.index(undone)] += 1
    assert np.array_equal([trajectory["episode/dropped"] for trajectory in kept], expected)
    assert np.sum(expected) > 0


def test_what_was_dropped_is_told_by_the_one_kept_next(monkeypatch):
    tried = [
        demos.Attempt(index, 0, ("kettle", "microwave"), list(range(count)), [np.zeros(60)], [])
        for index, count in enumerate((2, 1, 0, 1, 2, 2, 0, 2))
    ]
    monkeypatch.setattr(demos, "_in_order", lambda config: iter(tried))
    dropped = [trajectory["episode/dropped"].tolist() for trajectory in demos.generate(with_data(trajectories=4))]
    told = [{name: count for name, count in zip(NAMES, counts, strict=True) if count} for counts in dropped]
    assert told == [{}, {"microwave": 2, "kettle": 1}, {}, {"kettle": 1}]


def test_hopeless_options_are_an_error():
    with pytest.raises(InputError, match=r"in a row failed; give more env\.data\.max_steps"):
        next(demos.generate(with_data(max_steps=3)))


@pytest.mark.parametrize("letter", list(LETTERS))
def test_each_subtask_is_done_at_the_first_try(letter, monkeypatch):
    tries = []
    script = demos.SCRIPTS[LETTERS[letter]]
    monkeypatch.setitem(demos.SCRIPTS, LETTERS[letter], lambda hand: tries.append(1) or script(hand))
    monkeypatch.setattr(sequences, "draw", lambda kind, rng: letter)
    done = [attempt.undone is None for attempt in demos.attempts(with_data(max_steps=110, seed=7), range(6))]
    assert sum(done) >= 5
    assert len(tries) <= 7


@pytest.mark.parametrize(
    ("letters", "joint", "goal"),
    [("bl", 11, -0.88), ("tl", 15, -0.92), ("hm", 21, 1.45)],
    ids=("bottom", "top", "hinge"),
)
def test_knobs_and_the_hinge_cabinet_end_near_their_goals_and_not_at_the_edge(letters, joint, goal, monkeypatch):
    monkeypatch.setattr(sequences, "draw", lambda kind, rng: letters)
    made = list(demos.attempts(with_data(seed=7), range(8)))
    assert all(attempt.undone is None for attempt in made)
    end = np.array([attempt.observations[-1][joint] for attempt in made])
    assert end.mean() == pytest.approx(goal, abs=0.09)
    assert np.abs(end - goal).max() < 0.25


def test_action_noise_and_jitter_are_what_varies_beyond_scripts():
    def actions(**options):
        return np.stack(next(demos.attempts(with_data(max_steps=25, **options), [0])).actions)

    plain = actions(action_noise=0.0, jitter=0.0)
    noisy = actions(action_noise=0.3, jitter=0.0)
    assert np.abs(np.diff(noisy[:, :7], axis=0)).mean() > 2 * np.abs(np.diff(plain[:, :7], axis=0)).mean()
    assert not np.array_equal(plain, actions(action_noise=0.0, jitter=0.05))


def test_the_goal_is_observed_as_in_the_env():
    def shown(config):
        data = replace(config.data, max_steps=1)
        return next(demos.attempts(replace(config, data=data), [0])).observations[0]

    assert shown(replace(CONFIG, goal=False)).shape == (30,)
    for task in ("mkbl", "mlsh"):
        env = KitchenEnv([KitchenTask(spelled_out(task), spelled_out(task))], [0])
        assert np.array_equal(shown(replace(CONFIG, task=task))[30:], env.observe()["observation"][0, 30:])


@pytest.fixture(scope="module")
def mixed():
    rng = np.random.default_rng(0)
    return [sequences.draw("mixed", rng) for _ in range(10_000)]


def test_mixed_never_holds_the_target_of_spirl_and_a_few_percent_of_skimos(mixed):
    assert "mkbl" not in mixed
    assert mixed.count("mlsh") / len(mixed) == pytest.approx(0.609 * 0.057, abs=0.006)
    assert set(mixed) == {*SIMPL_TRAIN, *SIMPL_TEST}


def test_mixed_follows_the_tree(mixed):
    for before, follows in sequences.TREE.items():
        after = Counter(sequence[len(before)] for sequence in mixed if sequence.startswith(before))
        for letter in LETTERS:
            share = follows.get(letter, 0.0) / sum(follows.values())
            deviation = np.sqrt(share * (1 - share) / after.total())
            assert after[letter] / after.total() == pytest.approx(share, abs=4.5 * deviation)


def test_random_holds_all_subtasks_in_all_places():
    rng = np.random.default_rng(0)
    drawn = [sequences.draw("random", rng) for _ in range(3_000)]
    assert all(len(set(sequence)) == 4 for sequence in drawn)
    assert len(set(drawn)) > 0.9 * 840
    for place in range(4):
        counts = Counter(sequence[place] for sequence in drawn)
        assert {letter: counts[letter] / 3_000 for letter in LETTERS} == pytest.approx(
            dict.fromkeys(LETTERS, 1 / 7), rel=0.2
        )


def test_summary_counts_what_was_dropped_and_what_followed():
    place = {letter: NAMES.index(name) for letter, name in LETTERS.items()}
    dropped = np.zeros((4, 7), dtype=int)
    dropped[1, place["k"]], dropped[3, place["k"]], dropped[3, place["h"]] = 2, 1, 1
    done = np.array([[place[letter] for letter in sequence] for sequence in ("mkbs", "mbts", "mkbt", "kbts")])
    told = demos.summary({"episode/dropped": dropped, "episode/subtasks": done})
    assert told["tried"] == 8
    assert told["dropped"] == {"kettle": 3, "hinge cabinet": 1}
    assert told["first"] == {"m": 75.0, "k": 25.0}
    assert told["after m"] == {"k": 66.7, "b": 33.3}
    assert told["after mkb"] == {"s": 50.0, "t": 50.0}


def test_recipe_tells_data_sets_apart():
    base = demos.recipe(CONFIG)
    for option, value in (
        ("sequences", "random"),
        ("trajectories", 3),
        ("max_steps", 99),
        ("action_noise", 0.1),
        ("jitter", 0.0),
        ("seed", 5),
    ):
        assert demos.recipe(with_data(**{option: value})) != base
    assert demos.recipe(replace(CONFIG, noise=0.0)) != base
    assert demos.recipe(replace(CONFIG, goal=False)) != base
    assert demos.recipe(replace(CONFIG, task="mlsh")) != base
    assert demos.recipe(with_data(workers=7)) == base
    assert demos.recipe(replace(CONFIG, task="simpl-mlsh", ordered=False)) == base, "shows the same goal, same data"
