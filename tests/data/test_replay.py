import os

import pytest
import torch
from safetensors.torch import load_file, save_file
from tensordict import TensorDict

from lightning_skills.data import segments
from lightning_skills.data.replay import Replay
from lightning_skills.files import DamagedError


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


def stored(path):
    """A buffer of three segments."""
    buffer = Replay(45)
    buffer.extend(transitions(0, 25))
    buffer.save(path, None, 0)
    return buffer


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: None, r"segment_000000010\.safetensors is missing"),
        (
            lambda rows: {key: value[:-1] for key, value in rows.items()},
            r"10\.safetensors is damaged .* 9 rows, not 10",
        ),
        (lambda rows: {key: value.double() for key, value in rows.items()}, r"10\.safetensors is damaged .*columns"),
        (
            lambda rows: {key: value.repeat(1, 2) for key, value in rows.items()},
            r"10\.safetensors is damaged .*columns",
        ),
        (lambda rows: {"observation": rows["observation"]}, r"10\.safetensors is damaged .*columns"),
    ],
)
def test_what_is_not_as_it_was_saved_is_refused(change, said, tmp_path):
    buffer, file = stored(tmp_path / "a"), tmp_path / "a" / "segment_000000010.safetensors"
    rows = change(load_file(file))
    file.unlink()
    if rows is not None:
        save_file({key: value.contiguous() for key, value in rows.items()}, file)
    with pytest.raises(DamagedError, match=said):
        Replay(45).load(tmp_path / "a", buffer.written)


def test_the_last_segments_are_missed_too(tmp_path):
    buffer = stored(tmp_path / "a")
    with pytest.raises(DamagedError, match=r"a is damaged .* 25 transitions of 31"):
        Replay(45).load(tmp_path / "a", buffer.written + 6)
    (tmp_path / "a" / "segment_000000020.safetensors").unlink()
    with pytest.raises(DamagedError, match=r"segment_000000020\.safetensors is missing"):
        Replay(45).load(tmp_path / "a", buffer.written)


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
