import os

import pytest
import torch
from tensordict import TensorDict

from lightning_skills.data import segments
from lightning_skills.data.replay import Replay


def transitions(first, last):
    values = torch.arange(first, last, dtype=torch.float32)
    return TensorDict({"observation": values[:, None], "next": {"reward": values[:, None]}}, batch_size=[last - first])


def contents(buffer):
    return sorted(buffer._storage.get(slice(None))["observation"].squeeze(1).tolist())


@pytest.fixture(autouse=True)
def small_segments(monkeypatch):
    monkeypatch.setattr(segments, "SEGMENT", 10)


def test_the_oldest_are_overwritten():
    buffer = Replay(25)
    buffer.extend(transitions(0, 20))
    buffer.extend(transitions(20, 40))
    assert len(buffer) == 25
    assert contents(buffer) == [float(value) for value in range(15, 40)]


@pytest.mark.parametrize("before", [0, 7])
@pytest.mark.parametrize("count", [20, 25, 83, 6000])
def test_of_more_than_fit_the_newest_remain_where_they_belong(before, count):
    buffer, one_by_one = Replay(25), Replay(25)
    buffer.extend(transitions(0, before + 1))
    buffer.extend(transitions(before + 1, before + count))
    for index in range(before + count):
        one_by_one.extend(transitions(index, index + 1))
    stored, expected = (each._storage.get(slice(0, len(each)))["observation"] for each in (buffer, one_by_one))
    assert buffer.written == one_by_one.written == before + count
    assert torch.equal(stored, expected)


@pytest.mark.parametrize("written", [7, 25, 40])
def test_a_loaded_buffer_goes_on_like_the_saved_one(tmp_path, written):
    buffer, other = Replay(25), Replay(25)
    buffer.extend(transitions(0, written))
    buffer.save(tmp_path / "a", None, 0)
    other.load(tmp_path / "a", buffer.written)
    for one in (buffer, other):
        one.extend(transitions(100, 105))
    assert torch.equal(buffer._storage.get(slice(None))["observation"], other._storage.get(slice(None))["observation"])
    torch.manual_seed(0)
    first = buffer.sample(8)
    torch.manual_seed(0)
    assert torch.equal(first["next", "reward"], other.sample(8)["next", "reward"])


def test_unchanged_segments_are_hard_links(tmp_path):
    buffer = Replay(45)
    buffer.extend(transitions(0, 32))
    buffer.save(tmp_path / "a", None, 0)
    before = buffer.written
    buffer.extend(transitions(32, 47))  # fills segment 3 and 4, and wraps around into segment 0
    buffer.save(tmp_path / "b", tmp_path / "a", before)
    linked = {
        path.name: os.stat(path).st_ino == os.stat(tmp_path / "a" / path.name).st_ino
        for path in (tmp_path / "b").iterdir()
        if (tmp_path / "a" / path.name).exists()
    }
    assert [linked[f"segment_{first:09d}.safetensors"] for first in (0, 10, 20, 30)] == [False, True, True, False]
    other = Replay(45)
    other.load(tmp_path / "b", buffer.written)
    assert contents(other) == contents(buffer) == [float(value) for value in range(2, 47)]


def test_a_batch_covers_the_buffer_uniformly():
    buffer = Replay(100)
    buffer.extend(transitions(0, 10))
    torch.manual_seed(0)
    drawn = buffer.sample(20_000)["observation"].squeeze(1)
    counts = torch.bincount(drawn.long(), minlength=10)
    assert counts.min() > 1800
    assert counts.max() < 2200


def test_memory_grows_with_what_is_held():
    buffer = Replay(10_000)
    for first in range(0, 90, 9):
        buffer.extend(transitions(first, first + 9))
    assert buffer.at(torch.arange(90))["observation"].squeeze(1).tolist() == list(range(90))
    assert 90 <= buffer._storage.max_size < 200
