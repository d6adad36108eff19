"""Trained policies as they act for one primitive step without an environment around them, for export."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from lightning_skills.nets.gaussian import Gaussian, squash
from lightning_skills.nets.mlp import MLP


class StepPolicy(nn.Module, ABC):
    """A deterministic policy that is asked at every primitive step: ``action, *state = policy(observation, *state)``.

    It does what a phase's ``act`` with ``explore=False``, its skill execution and the environment's clipping do
    together.

    Args:
        inputs: Length of an observation.
        outputs: Length of an action.
        state: What it carries from step to step, by name: the value of one world at the start of an episode.
    """

    def __init__(self, inputs: int, outputs: int, state: dict[str, Tensor]) -> None:
        super().__init__()
        self.inputs, self.outputs, self.state = inputs, outputs, state

    @abstractmethod
    def forward(self, observation: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Action ``[B, A]`` in [-1, 1] and the next state, for observations ``[B, S]`` and the state ``[B, ...]``."""


class FlatStepPolicy(StepPolicy):
    """A policy of primitive actions; it carries nothing.

    Args:
        policy: States to mean and log std of ``u``.
        bound: Of the action, :func:`lightning_skills.nets.gaussian.squash`; None takes ``u`` itself.
        slope: Of that at 0; None: the bound.
    """

    def __init__(self, policy: MLP, bound: float | None, slope: float | None = None) -> None:
        super().__init__(policy.first.in_features, policy.last.out_features // 2, {})
        self.policy, self.bound, self.slope = plain_layers(policy), bound, slope

    def forward(self, observation: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """See :class:`StepPolicy`."""
        return (squash(_mode(self.policy, observation), self.bound, self.slope).clamp(-1, 1),)


class SkillStepPolicy(StepPolicy):
    """A policy of skills that a closed-loop decoder executes.

    It carries the skill under way, ``latent`` ``[B, d]``, and ``steps`` ``[B]`` int64, the actions that it has given
    so far; where they are 0, a new skill is chosen.

    Args:
        policy: States to mean and log std of ``u``.
        decoder: ``[state, skill]`` to an action.
        horizon: Primitive steps of a skill.
        bound: Of the skill, :func:`lightning_skills.nets.gaussian.squash`; None takes ``u`` itself.
        tanh_actions: Whether decoded actions go through tanh.
        slope: Of the bound at 0; None: the bound.
    """

    def __init__(
        self,
        policy: MLP,
        decoder: MLP,
        horizon: int,
        bound: float | None,
        tanh_actions: bool,
        slope: float | None = None,
    ) -> None:
        latent = torch.zeros(policy.last.out_features // 2)
        state = {"latent": latent, "steps": torch.zeros((), dtype=torch.int64)}
        super().__init__(policy.first.in_features, decoder.last.out_features, state)
        self.policy, self.decoder = plain_layers(policy), plain_layers(decoder)
        self.horizon, self.bound, self.slope, self.tanh_actions = horizon, bound, slope, tanh_actions

    def forward(self, observation: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """See :class:`StepPolicy`."""
        latent, steps = state
        chosen = squash(_mode(self.policy, observation), self.bound, self.slope)
        latent = torch.where(steps[:, None] == 0, chosen, latent)
        action = self.decoder(torch.cat([observation, latent], dim=-1))
        action = torch.tanh(action) if self.tanh_actions else action
        return action.clamp(-1, 1), latent, (steps + 1) % self.horizon


def plain_layers(mlp: MLP) -> nn.Sequential:
    """A copy of an MLP as it is in eval mode, of Linear and LeakyReLU alone: BatchNorm is folded into the weights."""
    layers: list[nn.Module] = []
    for weight, bias in mlp.affine_maps():
        linear = nn.utils.skip_init(nn.Linear, weight.shape[1], weight.shape[0])
        linear.load_state_dict({"weight": weight.detach(), "bias": bias.detach()})
        layers += [linear, nn.LeakyReLU(mlp.slope)]
    return nn.Sequential(*layers[:-1]).requires_grad_(False).eval()


def _mode(policy: nn.Module, observation: Tensor) -> Tensor:
    return Gaussian.from_output(policy(observation)).mean
