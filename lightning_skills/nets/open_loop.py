"""The decoder of SPiRL's paper: a skill becomes all of its actions at once."""

import torch
from torch import Tensor, nn

from lightning_skills.nets.mlp import MLP, initialise

CONDITION_LAYERS = 6
"""Hidden layers of the MLPs that a conditioned decoder starts from (SPiRL's code)."""


class OpenLoopDecoder(nn.Module):
    """An LSTM that is fed the skill and its own last action (SPiRL, Pertsch et al. 2020, sec. 3.2 and app. B).

    First action and state of the LSTM are trained vectors; at the time of the paper they were constant zeros by
    accident. A conditioned decoder (app. D) predicts them from the observation at the start.

    Differs from the authors' code in speed only. Embedding and head are linear, so an action that is fed back is a
    linear map of the LSTM's output: multiplied into the recurrent weights, it leaves an LSTM with constant input, and
    the head is applied to all steps at once.

    Args:
        latent_dim: Length of a skill, d.
        action_dim: Length of an action, A.
        horizon: Actions of a skill, H.
        width: Features of embedding and LSTM state.
        trained_start: Whether an unconditioned decoder learns its first action and state.
        context_dim: Length of what a conditioned decoder starts from, F; None for an unconditioned one.
    """

    def __init__(
        self,
        latent_dim: int,
        action_dim: int,
        horizon: int,
        width: int,
        trained_start: bool = True,
        context_dim: int | None = None,
    ) -> None:
        super().__init__()
        self.sizes = [action_dim, width, width]
        self.horizon = horizon
        self.embedding = nn.Linear(action_dim + latent_dim, width)
        self.lstm = nn.LSTM(width, width)
        self.head = nn.Linear(width, action_dim)
        self.start: nn.Parameter | None = None
        self.first_action: MLP | None = None
        self.first_state: MLP | None = None
        if context_dim is None:
            self.start = nn.Parameter(torch.zeros(sum(self.sizes)), requires_grad=trained_start)
        else:
            self.first_action = MLP(context_dim, action_dim, CONDITION_LAYERS, width, normalised=True)
            self.first_state = MLP(context_dim, 2 * width, CONDITION_LAYERS, width, normalised=True)
        self.apply(initialise)
        remember(self.lstm)

    def forward(self, skill: Tensor, context: Tensor | None = None) -> Tensor:
        """Actions ``[B, H, A]`` of skills ``[B, d]``, given the context ``[B, F]`` of a conditioned decoder."""
        action, hidden, cell = self._starts(len(skill), context)
        weight_input, weight_hidden, bias_input, bias_hidden = self.lstm.parameters()
        of_action, of_skill = (weight_input @ self.embedding.weight).split([action.shape[1], skill.shape[1]], dim=1)
        bias = torch.addmv(bias_input + bias_hidden, weight_input, self.embedding.bias)
        gates = torch.addmm(torch.addmm(bias, skill, of_skill.t()), action, of_action.t())
        hidden, cell = lstm_step(torch.addmm(gates, hidden, weight_hidden.t()), cell)
        outputs = [hidden]
        recurrent = (weight_hidden + of_action @ self.head.weight).t()
        constant = torch.addmm(torch.addmv(bias, of_action, self.head.bias), skill, of_skill.t())
        for _ in range(self.horizon - 1):
            hidden, cell = lstm_step(torch.addmm(constant, hidden, recurrent), cell)
            outputs.append(hidden)
        return self.head(torch.stack(outputs, dim=1))

    def _starts(self, items: int, context: Tensor | None) -> tuple[Tensor, ...]:
        if self.start is not None:
            return self.start.expand(items, -1).split(self.sizes, dim=1)
        assert self.first_action is not None
        assert self.first_state is not None
        return self.first_action(context), *self.first_state(context).chunk(2, dim=1)


def lstm_step(gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """Output and cell ``[B, w]`` after a step, from the gates ``[B, 4 w]`` before their nonlinearities."""
    admit, forget, candidate, emit = gates.chunk(4, dim=1)
    cell = torch.addcmul(forget.sigmoid() * cell, admit.sigmoid(), candidate.tanh())
    return emit.sigmoid() * cell.tanh(), cell


def remember(lstm: nn.LSTM) -> None:
    """Set both biases of the forget gate to 1: the LSTM keeps what it has, at first (SPiRL's code)."""
    for bias in [*lstm.parameters()][2:]:
        # Gates lie in the order input, forget, cell, output.
        nn.init.ones_(bias.data[lstm.hidden_size : 2 * lstm.hidden_size])
