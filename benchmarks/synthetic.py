"""Transitions of random numbers, as our buffers and as plain ones take them."""

import numpy as np
import torch
from tensordict import TensorDict


def transitions(state_dim: int, action_dim: int, count: int) -> TensorDict:
    """Random (skill) transitions ``[count]``."""
    following = {
        "observation": torch.randn(count, state_dim),
        "reward": torch.rand(count, 1),
        "terminated": torch.rand(count, 1) < 0.03,
    }
    now = {"observation": torch.randn(count, state_dim), "action": torch.randn(count, action_dim)}
    return TensorDict({**now, "next": TensorDict(following, [count])}, [count])


def as_arrays(batch: TensorDict) -> dict[str, np.ndarray]:
    """The same for a plain replay buffer."""
    following = batch["next"]
    return {
        "observation": batch["observation"].numpy(),
        "action": batch["action"].numpy(),
        "next_observation": following["observation"].numpy(),
        "reward": following["reward"].numpy(),
        "done": following["terminated"].float().numpy(),
    }
