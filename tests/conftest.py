import os

import numpy as np
import pytest
import torch

from lightning_skills.data import trajectories


def pytest_configure():
    """One thread in this process and in those it starts: on small nets and busy cores, two take far longer."""
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)


@pytest.fixture
def point_data(tmp_path):
    """Twenty random trajectories of the maze's shapes."""
    rng = np.random.default_rng(0)

    def make(lengths=(30,) * 20, **changes):
        pieces = []
        for length in lengths:
            piece = {
                "observation": rng.normal(size=(length, 4)).astype(np.float32),
                "action": rng.uniform(-1, 1, size=(length, 2)).astype(np.float32),
            }
            pieces.append({**piece, **{key: change(piece[key]) for key, change in changes.items()}})
        return trajectories.write(tmp_path / "data_set", {"made": "by hand"}, pieces)

    return make
