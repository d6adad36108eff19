import numpy as np
import pytest
import torch

from lightning_skills.data import trajectories
from lightning_skills.data.offline import OfflineData
from lightning_skills.errors import InputError
from lightning_skills.phases.base import Update
from tests.data.planned import Planned


@pytest.fixture
def labelled(tmp_path):
    """Trajectories of 5, 12 and 40 rows whose states say (trajectory, row)."""
    pieces = [
        {
            "observation": np.stack([np.full(length, index), np.arange(length)], 1).astype(np.float32),
            "action": np.zeros((length, 1), np.float32),
        }
        for index, length in enumerate((5, 12, 40))
    ]
    return trajectories.write(tmp_path / "set", {}, pieces)


def test_windows_are_consecutive_rows_of_one_trajectory(labelled):
    torch.manual_seed(0)
    batch = OfflineData(Planned(11), labelled).sample(Update(1, batch_size=4000, window=11))["observation"]
    assert batch.shape == (4000, 11, 2)
    assert (batch[:, :, 0] == batch[:, :1, 0]).all()
    assert (batch[:, 1:, 1] - batch[:, :-1, 1] == 1).all()


def test_trajectories_are_drawn_uniformly_then_starts(labelled):
    torch.manual_seed(0)
    first = OfflineData(Planned(11), labelled).sample(Update(1, batch_size=30_000, window=11))["observation"][:, 0]
    assert set(first[:, 0].tolist()) == {1.0, 2.0}  # the first one is too short
    share = (first[:, 0] == 1).float().mean()
    assert abs(share - 0.5) < 0.02
    long_starts = first[first[:, 0] == 2][:, 1]
    counts = torch.bincount(long_starts.long())
    assert len(counts) == 30  # starts 0 to 29, all of them
    assert counts.min() > 0.7 * counts.float().mean()


def test_trajectories_shorter_than_the_window(labelled):
    OfflineData(Planned(40), labelled)
    with pytest.raises(InputError, match="longest trajectory has 40 rows, windows need 41"):
        OfflineData(Planned(41), labelled)
