from pathlib import Path

import numpy as np
import pytest

from envs.kitchen import model


@pytest.fixture(scope="session")
def demonstrations():
    """Actions ``[T, 9]`` that do the tasks of their names, one subtask after the other, where there is no noise."""
    with np.load(Path(__file__).parent / "demonstrations.npz") as actions:
        return {name: actions[name].astype(np.float32) for name in actions}


@pytest.fixture(scope="session")
def whole():
    return model.whole()
