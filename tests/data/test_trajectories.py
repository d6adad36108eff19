import json
import threading

import numpy as np
import pytest

from lightning_skills.data import trajectories
from lightning_skills.errors import InputError


def test_what_is_written_is_what_is_read(tmp_path):
    first = {
        "observation": np.ones((3, 4), np.float32),
        "action": np.zeros((3, 2), np.float32),
        "episode/goal": np.array([1, 2]),
    }
    second = {
        "observation": np.zeros((5, 4), np.float32),
        "action": np.ones((5, 2), np.float32),
        "episode/goal": np.array([3, 4]),
    }
    data = trajectories.write(tmp_path / "set", {"seed": 1}, iter([first, second]))
    assert data.lengths.tolist() == [3, 5]
    assert data.starts.tolist() == [0, 3]
    np.testing.assert_array_equal(
        data.steps["observation"], np.concatenate([first["observation"], second["observation"]])
    )
    np.testing.assert_array_equal(data.episodes["episode/goal"], [[1, 2], [3, 4]])
    trajectories.validate(data)
    assert data.recipe == {"seed": 1}


def test_missing_and_damaged_sets_are_refused(tmp_path, point_data):
    with pytest.raises(InputError, match="no data set at"):
        trajectories.load(tmp_path / "nowhere")
    path = point_data().path
    whole = (path / "action.npy").read_bytes()
    (path / "action.npy").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"action\.npy is damaged"):
        trajectories.load(path)
    (path / "action.npy").unlink()
    with pytest.raises(InputError, match=r"action\.npy is missing"):
        trajectories.load(path)
    (path / "dataset.json").write_text("{")
    with pytest.raises(InputError, match=r"dataset\.json is damaged"):
        trajectories.load(path)


@pytest.mark.parametrize(
    ("key", "array", "message"),
    [
        ("observation", np.zeros((599, 4), np.float32), "observation has 599 rows, lengths add up to 600"),
        ("action", np.zeros((600, 2, 1), np.float32), "action must be a float matrix"),
        ("action", np.zeros((600, 2), np.int64), "action must be a float matrix"),
        ("lengths", np.zeros(20, np.int64), "lengths must be a vector of positive numbers"),
    ],
)
def test_misshapen_sets_are_refused(point_data, key, array, message):
    path = point_data().path
    np.save(path / f"{key}.npy", array)
    with pytest.raises(InputError, match=message):
        trajectories.load(path)


def test_values_that_must_not_be_there(point_data):
    def poison(values):
        values = values.copy()
        values[7, 0] = np.nan
        return values

    with pytest.raises(InputError, match="observation is not finite at row 7"):
        trajectories.validate(point_data(observation=poison))


def test_numbers_that_float32_cannot_hold(point_data):
    with pytest.raises(InputError, match="observation is not finite at row 0"):
        trajectories.validate(point_data(observation=lambda values: np.full(values.shape, 1e300)))


def test_actions_outside_their_range(point_data):
    with pytest.raises(InputError, match=r"actions leave \[-1, 1\]"):
        trajectories.validate(point_data(action=lambda values: values * 3))


def test_a_changed_value_shows_in_the_digest(point_data):
    data = point_data()
    values = np.load(data.path / "observation.npy")
    values[3, 1] += 1e-3
    np.save(data.path / "observation.npy", values)
    with pytest.raises(InputError, match="do not match the digest"):
        trajectories.validate(trajectories.load(data.path))


def test_an_object_array_runs_no_code(point_data):
    path = point_data().path
    np.save(path / "action.npy", np.array([print] * 600, dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match=r"action\.npy is damaged"):
        trajectories.load(path)


def test_a_failed_write_leaves_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    piece = {"observation": np.zeros((3, 4), np.float32), "action": np.zeros((3, 2), np.float32)}
    with pytest.raises(InputError, match=r"cannot write .*set: "):
        trajectories.write(tmp_path / "file" / "set", {}, [piece])
    with pytest.raises(InputError, match="no trajectory"):
        trajectories.write(tmp_path / "set", {}, [])
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"action": np.zeros((3, 2), np.int64)}, "action must be a float matrix, not int64"),
        ({"action": np.zeros(3, np.float32)}, "action must be a float matrix"),
        ({"action": np.zeros((2, 2), np.float32)}, "action has 2 rows, lengths add up to 3"),
        ({"action": None}, "lacks action"),
        ({"observation": None}, "lacks observation"),
        ({key: np.zeros((0, 2), np.float32) for key in ("observation", "action")}, "a vector of positive numbers"),
    ],
)
def test_what_could_not_be_read_again_is_not_written(tmp_path, change, message):
    piece = {"observation": np.zeros((3, 4), np.float32), "action": np.zeros((3, 2), np.float32), **change}
    with pytest.raises(InputError, match=message):
        trajectories.write(tmp_path / "set", {}, [{key: array for key, array in piece.items() if array is not None}])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"observation": np.zeros((3, 4)), "action": np.zeros((3, 2)), "reward": np.zeros(3)}, "differ in their keys"),
        ({"observation": np.zeros((3, 4)), "action": np.zeros((3, 1))}, "differ in their shapes"),
    ],
)
def test_trajectories_that_do_not_go_together_are_not_written(tmp_path, other, message):
    piece = {"observation": np.zeros((3, 4)), "action": np.zeros((3, 2))}
    with pytest.raises(InputError, match=message):
        trajectories.write(tmp_path / "set", {}, [piece, other])
    assert not list(tmp_path.iterdir())


def test_the_cache_generates_once_and_by_recipe(tmp_path):
    calls = []

    def generate():
        calls.append(1)
        yield {"observation": np.zeros((3, 4), np.float32), "action": np.zeros((3, 2), np.float32)}

    def use(recipe):
        return trajectories.cached(tmp_path, "maze", recipe, generate)

    threads = [threading.Thread(target=use, args=({"seed": 0},)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1
    assert use({"seed": 0}).path != use({"seed": 1}).path
    assert len(calls) == 2


def test_describe_names_what_is_there(point_data):
    data = point_data()
    rows = dict(trajectories.describe(data))
    assert rows["trajectories"] == "20"
    assert rows["digest"] == json.loads((data.path / "dataset.json").read_text())["digest"][:16]


def test_a_summary_is_kept_and_described(tmp_path):
    pieces = [{"observation": np.zeros((rows, 4)), "action": np.zeros((rows, 2))} for rows in (3, 5)]

    def longest(arrays):
        return {"longest": int(arrays["lengths"].max())}

    told = trajectories.cached(tmp_path, "env", {"seed": 1}, lambda: pieces, longest)
    assert told.summary == {"longest": 5}
    assert dict(trajectories.describe(told))["summary: longest"] == "5"
    assert trajectories.cached(tmp_path, "env", {"seed": 1}, list).summary == {"longest": 5}, "read again"
    assert trajectories.write(tmp_path / "plain", {}, pieces).summary == {}
