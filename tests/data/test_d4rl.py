"""HDF5 files in D4RL's layout: value by value against what was written, and what is refused."""

import hashlib

import h5py
import numpy as np
import pytest
import torch

from lightning_skills import __main__ as cli
from lightning_skills.data import trajectories
from lightning_skills.data.offline import OfflineData
from lightning_skills.phases.base import Update
from tests.data.planned import Planned

ROWS = 24


@pytest.fixture
def arrays():
    """Trajectories of 7 rows (terminal), 9 rows (timeout), and 8 that the record cuts short."""
    rng = np.random.default_rng(0)
    terminals, timeouts = np.zeros((2, ROWS), dtype=bool)
    terminals[6] = timeouts[15] = True
    return {
        "observations": rng.normal(size=(ROWS, 4)).astype(np.float32),
        "actions": rng.uniform(-1, 1, size=(ROWS, 2)).astype(np.float32),
        "rewards": rng.normal(size=ROWS).astype(np.float32),
        "terminals": terminals,
        "timeouts": timeouts,
        "infos/goal": rng.normal(size=(ROWS, 3)).astype(np.float32),
        "infos/step": np.arange(ROWS),
    }


@pytest.fixture
def bring(tmp_path, capsys):
    """Write arrays to a file and import it; the data set, or the line of the error."""

    def imported(arrays, *words):
        with h5py.File(tmp_path / "recorded.hdf5", "w") as file:
            for key, array in arrays.items():
                file.create_dataset(key, data=array)
        status = cli.main(["data", "import", str(tmp_path / "recorded.hdf5"), str(tmp_path / "set"), *words])
        captured = capsys.readouterr()
        if status == 0:
            assert "trajectories" in captured.out
            return trajectories.load(tmp_path / "set")
        assert status == 2
        assert captured.err.startswith("error: ")
        assert captured.err.count("\n") == 1
        assert [path.name for path in tmp_path.iterdir()] == ["recorded.hdf5"], "something was left behind"
        return captured.err

    return imported


def test_values_arrive_unchanged_and_ends_split(arrays, bring, tmp_path):
    data = bring(arrays)
    trajectories.validate(data)
    assert data.lengths.tolist() == [7, 9, 8]
    expected = {"observation": "observations", "action": "actions", "reward": "rewards"}
    expected |= {"terminated": "terminals", "truncated": "timeouts"}
    assert data.steps.keys() == expected.keys()
    for ours, theirs in expected.items():
        np.testing.assert_array_equal(data.steps[ours], arrays[theirs])
        assert data.steps[ours].dtype == arrays[theirs].dtype
    digest = hashlib.sha256((tmp_path / "recorded.hdf5").read_bytes()).hexdigest()
    assert data.recipe == {
        "source": "d4rl",
        "id": "recorded.hdf5",
        "digest": digest,
        "observation": [],
        "columns": [],
        "horizon": None,
        "action_scale": 1.0,
    }


def test_windows_stay_within_a_trajectory(arrays, bring):
    arrays["observations"][:, 0] = np.repeat([0, 1, 2], [7, 9, 8])
    arrays["observations"][:, 1] = np.arange(ROWS)

    torch.manual_seed(0)
    batch = OfflineData(Planned(8), bring(arrays)).sample(Update(1, batch_size=500, window=8))["observation"]
    assert set(batch[:, 0, 0].tolist()) == {1.0, 2.0}
    assert (batch[:, :, 0] == batch[:, :1, 0]).all()
    assert (batch[:, 1:, 1] - batch[:, :-1, 1] == 1).all()


def test_files_without_rewards_and_timeouts(arrays, bring):
    data = bring({key: arrays[key] for key in ("observations", "actions", "terminals")})
    assert data.lengths.tolist() == [7, 17]
    assert data.steps.keys() == {"observation", "action", "terminated"}


def test_columns_of_other_shapes_and_types(arrays, bring):
    terminals = arrays["terminals"].astype(np.float32)[:, None]
    data = bring({**arrays, "terminals": terminals, "rewards": arrays["rewards"][:, None]})
    assert data.lengths.tolist() == [7, 9, 8]
    assert data.steps["terminated"].dtype == bool
    np.testing.assert_array_equal(data.steps["reward"], arrays["rewards"])


def test_chosen_arrays_stand_side_by_side(arrays, bring):
    keys = ["infos/goal", "observations", "infos/goal"]
    data = bring(arrays, f"observation={','.join(keys)}")
    np.testing.assert_array_equal(data.steps["observation"], np.concatenate([arrays[key] for key in keys], axis=1))
    assert data.recipe["observation"] == keys


def test_horizon_ends_trajectories_too(arrays, bring):
    assert bring(arrays, "horizon=4").lengths.tolist() == [4, 3, 4, 4, 1, 4, 4]


def test_horizon_alone(arrays, bring):
    assert bring({key: arrays[key] for key in ("observations", "actions")}, "horizon=10").lengths.tolist() == [
        10,
        10,
        4,
    ]


def test_actions_are_divided(arrays, bring):
    data = bring({**arrays, "actions": arrays["actions"] * 4}, "action_scale=4")
    np.testing.assert_array_equal(data.steps["action"], arrays["actions"])
    trajectories.validate(data)


def nan(array):
    array = array.copy()
    array[9, ...] = np.nan
    return array


@pytest.mark.parametrize(
    ("key", "change", "message"),
    [
        ("observations", None, "lacks 'observations'; it has actions, infos, rewards, terminals, timeouts"),
        ("actions", None, "lacks 'actions'"),
        ("observations", lambda array: array[:-1], "actions has 24 rows, observations has 23"),
        ("rewards", lambda array: array[:-1], r"rewards must be one number for each of 24 rows, not float32 [23]"),
        ("terminals", lambda array: array.astype("S5"), "terminals must be one number for each of 24 rows, not |S5"),
        ("observations", lambda array: array[:, 0], "observations must be a float matrix"),
        (
            "actions",
            lambda array: (array * 9).astype(int),
            "actions must be a float matrix, one vector per row, not int64",
        ),
        ("observations", nan, "observation is not finite at row 2 of trajectory 1"),
        ("actions", nan, "action is not finite at row 2 of trajectory 1"),
        ("rewards", nan, "reward is not finite at row 2 of trajectory 1"),
    ],
)
def test_bad_arrays(arrays, bring, key, change, message):
    changed = {**arrays, key: change(arrays[key])} if change else {name: arrays[name] for name in arrays if name != key}
    assert message in bring(changed)


def test_no_rows(arrays, bring):
    assert "is empty: observations has no rows" in bring({key: array[:0] for key, array in arrays.items()})


def test_actions_beyond_their_range(arrays, bring):
    arrays["actions"][3, 1], arrays["actions"][20, 0] = -2.5, 1.25
    message = bring(arrays)
    assert "actions lie in [-2.5, 1.25], beyond [-1, 1]" in message
    assert "2.5 or more" in message
    assert "beyond [-2, 2]" in bring(arrays, "action_scale=2")


def test_nothing_marks_an_end(arrays, bring):
    arrays["terminals"][:] = arrays["timeouts"][:] = False
    assert "give horizon=ROWS, the rows of each (horizon=24 if all is one trajectory)" in bring(arrays)
    del arrays["terminals"], arrays["timeouts"]
    assert "neither terminals nor timeouts mark the end" in bring(arrays)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("horizn=3", "unknown option 'horizn'; there is horizon"),
        ("frames=3", "unknown option 'frames'; there is observation, columns, horizon, action_scale"),
        ("horizon", "cannot read 'horizon'; options are written key=value"),
        ("horizon=three", "option 'horizon' must be a number, not 'three'"),
        ("horizon=0", "option 'horizon' must be above 0"),
        ("action_scale=nan", "option 'action_scale' must be above 0 and finite"),
        ("observation=infos", "infos must be a float matrix, one vector per row, not Group"),
        ("observation=infos/step", "infos/step must be a float matrix"),
        ("observation=infos/none", "lacks 'infos/none'"),
    ],
)
def test_bad_options(arrays, bring, word, message):
    assert message in bring(arrays, word)


def test_missing_damaged_and_foreign_files(arrays, bring, tmp_path, capsys):
    def refused(source, message, target="other"):
        assert cli.main(["data", "import", str(source), str(tmp_path / target)]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert message in error
        assert not (tmp_path / "other").exists()

    bring(arrays)
    file = tmp_path / "recorded.hdf5"
    refused(tmp_path / "none.hdf5", "no file")
    refused(tmp_path, "no file")
    refused(file, "exists already", target="set")
    file.write_bytes(file.read_bytes()[:3000])
    refused(file, "is no HDF5 file, or damaged")
    file.write_text("state,action\n")
    refused(file, "is no HDF5 file, or damaged")


def test_a_link_that_leads_nowhere(arrays, tmp_path, capsys):
    path = tmp_path / "recorded.hdf5"
    with h5py.File(path, "w") as file:
        file["observations"] = arrays["observations"]
        file["actions"] = h5py.ExternalLink("none.hdf5", "/actions")
    assert cli.main(["data", "import", str(path), str(tmp_path / "set")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "set").exists()
