"""The replay buffer of many tasks against lists of Python that are told the same."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tensordict import TensorDict

from lightning_skills.data import segments
from lightning_skills.data.task_replay import VIEWS as VIEWS_FILE
from lightning_skills.data.task_replay import TaskReplay
from lightning_skills.files import DamagedError

TASKS, VIEWS = 5, {"small": 7, "large": 40}
SHARES = [0.6, 0.1, 0.1, 0.15, 0.05]
"""Of each task in what is collected."""


def transitions(first, count):
    """Transition number n holds n, and -n after it."""
    number = torch.arange(first, first + count, dtype=torch.float32)[:, None]
    return TensorDict({"observation": number, "next": TensorDict({"observation": -number}, [count])}, [count])


class Lists:
    """The same buffer, slowly."""

    def __init__(self):
        self.written = 0
        self.kept = {name: [[] for _ in range(TASKS)] for name in VIEWS}

    def extend(self, task, into):
        for one in task:
            for name in into:
                self.kept[name][one] = [*self.kept[name][one], self.written][-VIEWS[name] :]
            self.written += 1

    def clear(self, tasks, name):
        for task in tasks:
            self.kept[name][task] = []


def told_the_same(seed, rounds=200):
    rng, replay, lists = np.random.default_rng(seed), TaskReplay(TASKS, VIEWS), Lists()
    for _ in range(rounds):
        task = rng.choice(TASKS, rng.integers(0, 9), p=SHARES)
        into = [name for name in VIEWS if rng.random() < 0.7]
        replay.extend(torch.from_numpy(task), transitions(lists.written, len(task)), into)
        lists.extend(task.tolist(), into)
        if rng.random() < 0.2:
            gone = rng.permutation(TASKS)[:2].tolist()
            replay.views["small"].clear(gone)
            lists.clear(gone, "small")
        yield replay, lists


def held(replay, task, view):
    found = replay.all(task, view)
    assert torch.equal(found["next", "observation"], -found["observation"])
    return found["observation"].flatten().int().tolist()


@pytest.mark.parametrize("seed", range(5))
def test_views_hold_the_newest_of_each_task_however_many_others_have(seed):
    for replay, lists in told_the_same(seed):
        for view in VIEWS:
            assert [held(replay, task, view) for task in range(TASKS)] == lists.kept[view]
            assert replay.views[view].sizes.tolist() == [len(numbers) for numbers in lists.kept[view]]
    assert len(lists.kept["large"][0]) == VIEWS["large"] < lists.written / 2  # the first task has overflowed


def test_memory_is_used_again():
    *_, (replay, lists) = told_the_same(0, 3000)
    everything = TASKS * sum(VIEWS.values())
    assert lists.written > 20 * everything
    assert replay.table.room < 2 * everything


def test_samples_are_uniform_over_what_a_task_has():
    *_, (replay, lists) = told_the_same(seed=3)
    tasks = torch.tensor([task for task in range(TASKS) for _ in range(2)])
    torch.manual_seed(0)
    batch = replay.sample(tasks, 4000, "large")
    assert batch.batch_size == (10, 4000)
    for task, row in zip(tasks.tolist(), batch["observation"][..., 0], strict=True):
        numbers, counts = row.unique(return_counts=True)
        assert numbers.int().tolist() == lists.kept["large"][task]
        expected = 4000 / len(numbers)
        assert (counts - expected).abs().max() < 5 * expected**0.5


def test_a_transition_in_two_views_is_stored_once():
    replay = TaskReplay(TASKS, VIEWS)
    replay.extend(torch.tensor([1, 1, 4]), transitions(0, 3), ["small", "large"])
    assert replay.written == 3
    assert held(replay, 1, "small") == held(replay, 1, "large") == [0, 1]


def test_what_was_saved_is_loaded_and_goes_on_alike(tmp_path):
    *_, (replay, _) = told_the_same(seed=4)
    replay.save(tmp_path / "saved", None, 0)
    again = TaskReplay(TASKS, VIEWS).load(tmp_path / "saved", replay.written)
    for _ in range(60):
        for each in (replay, again):
            each.extend(torch.tensor([0, 3, 3]), transitions(each.written, 3), ["small", "large"])
    for task in range(TASKS):
        for view in VIEWS:
            assert held(again, task, view) == held(replay, task, view)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda views: views.pop("small/end"), "small/end"),
        (lambda views: views.update({"small/first": views["small/first"][:-1]}), "in place of"),
        (lambda views: views.update({"large/rows": views["large/rows"].int()}), "in place of"),
        (lambda views: views.update({"large/rows": views["large/rows"][:, :3]}), "more entries than there is room for"),
        (lambda views: views["small/end"].add_(100), "more entries than there is room for"),
        (lambda views: views["large/rows"].add_(100_000), "large holds transitions that are not there"),
    ],
)
def test_views_that_are_not_as_they_were_saved_are_refused(change, said, tmp_path):
    *_, (replay, _) = told_the_same(seed=4)
    replay.save(tmp_path / "saved", None, 0)
    views = load_file(tmp_path / "saved" / VIEWS_FILE)
    change(views)
    save_file({key: value.contiguous() for key, value in views.items()}, tmp_path / "saved" / VIEWS_FILE)
    with pytest.raises(DamagedError, match=rf"views\.safetensors is damaged \(.*{said}"):
        TaskReplay(TASKS, VIEWS).load(tmp_path / "saved", replay.written)


def test_a_segment_that_is_missing_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(segments, "SEGMENT", 10)
    *_, (replay, _) = told_the_same(seed=4)
    replay.save(tmp_path / "saved", None, 0)
    max((tmp_path / "saved").glob("segment_*")).unlink()
    with pytest.raises(DamagedError, match=r"segment_\d+\.safetensors is missing"):
        TaskReplay(TASKS, VIEWS).load(tmp_path / "saved", replay.written)


def test_a_chain_of_checkpoints_shares_what_is_unchanged_and_loses_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(segments, "SEGMENT", 10)
    previous, written, linked = None, 0, 0
    for number, (replay, lists) in enumerate(told_the_same(seed=2, rounds=40)):
        folder = tmp_path / str(number)
        replay.save(folder, previous, written)
        again = TaskReplay(TASKS, VIEWS).load(folder, replay.written)
        for view in VIEWS:
            assert [held(again, task, view) for task in range(TASKS)] == lists.kept[view]
        linked += sum(file.stat().st_nlink > 1 for file in folder.glob("segment_*"))
        previous, written = folder, replay.written
    assert linked > 20


def test_tasks_are_dealt_to_another_number_of_buffers():
    shards = [TaskReplay(TASKS, VIEWS) for _ in range(2)]
    for number in range(30):  # task t lies in shard t % 2
        task = number % TASKS
        into = ["small", "large"] if number % 3 else ["large"]
        shards[task % 2].extend(torch.tensor([task]), transitions(number, 1), into)
    dealt = [TaskReplay(TASKS, VIEWS) for _ in range(3)]
    for part, replay in enumerate(dealt):
        replay.deal(shards, part, 3)
    for task in range(TASKS):
        numbers = range(task, 30, TASKS)
        assert held(dealt[task % 3], task, "large") == [*numbers]
        assert held(dealt[task % 3], task, "small") == [number for number in numbers if number % 3]
        assert held(dealt[(task + 1) % 3], task, "large") == []


def test_the_only_task_is_dealt_entry_by_entry():
    shards = [TaskReplay(1, VIEWS) for _ in range(2)]
    for number in range(12):
        into = ["small", "large"] if number >= 4 else ["large"]
        shards[number % 2].extend(torch.tensor([0]), transitions(number, 1), into)
    whole, *dealt = [TaskReplay(1, VIEWS) for _ in range(3)]
    whole.deal(shards, 0, 1)
    assert held(whole, 0, "large") == [*range(12)]
    assert held(whole, 0, "small") == [*range(5, 12)]  # the newest, seven of eight
    for part, replay in enumerate(dealt):
        replay.deal([whole], part, 2)
    assert [held(replay, 0, "large") for replay in dealt] == [[*range(0, 12, 2)], [*range(1, 12, 2)]]
    assert [held(replay, 0, "small") for replay in dealt] == [[5, 7, 9, 11], [6, 8, 10]]
