"""Transitions at both of their states, s and then s', so that a network sees them in one pass."""

from collections.abc import Callable

import torch
from tensordict import TensorDict
from torch import Tensor

from lightning_skills.data.rendering import SCENE, Renderer, look
from lightning_skills.nets.gaussian import Gaussian


def at_both(transitions: TensorDict, key: str) -> Tensor:
    """A quantity of transitions ``[B, ...]`` at s, then at s', ``[2 B, ...]``."""
    return torch.cat([transitions[key], transitions["next"][key]])


def seen_at_both(transitions: TensorDict, renderer: Renderer | None) -> Tensor:
    """States or images of transitions ``[B]`` at s, then at s', ``[2 B, ...]``."""
    key = "observation" if renderer is None else SCENE
    return look({key: at_both(transitions, key)}, renderer)


def add_prior(transitions: TensorDict, seen: Tensor, prior: Callable[[Tensor], Tensor]) -> None:
    """Add mean and log std of a frozen prior at both states.

    Args:
        transitions: ``[B]``.
        seen: What the prior sees of them, ``[2 B, ...]``.
        prior: Gives its output ``[2 B, 2 d]``.
    """
    both = Gaussian.from_output(prior(seen).cpu())
    means, log_stds = both.mean.chunk(2), both.log_std.chunk(2)
    for part, mean, log_std in zip((transitions, transitions["next"]), means, log_stds, strict=True):
        part.set("prior_mean", mean).set("prior_log_std", log_std)
