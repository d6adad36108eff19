"""SPiRL's two updates and its loader, written plainly in the structure of the authors' code, to measure ours against.

Every class starts from the weights of ours, so that gradients can be compared. What is plain here: an LSTM cell called
once a step with its output head every time; items drawn one by one from a list of dictionaries and collated; the KL to
the prior as the mean of ten separate samples; the prior evaluated in every update; critics that are not frozen while
the policy learns; one optimizer per network; optimizers and target networks that loop over parameters; actions and
gradients checked for NaN, and eleven numbers read out, both in RL only. What they do beside that (nested attribute
dictionaries, copies of a batch, switching BatchNorm over and back in every pass) is left out.
"""

import copy
import math
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import default_collate

from lightning_skills.nets.mlp import MLP
from lightning_skills.nets.skill_model import SkillEncoder, SkillModel
from lightning_skills.phases.skill_rl import SkillRLModule

Batch = dict[str, Tensor]


class AttrDict(dict):
    """A dictionary whose items are attributes too."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


class WindowDataset:
    """Random windows from a list of trajectories, one item at a time.

    Args:
        trajectories: Each ``[T, ...]`` by key.
        window: Steps per item.
        batch_size: Items per batch.
    """

    def __init__(self, trajectories: Sequence[dict[str, np.ndarray]], window: int, batch_size: int) -> None:
        self.trajectories = [AttrDict(trajectory) for trajectory in trajectories]
        self.window, self.batch_size = window, batch_size

    def __getitem__(self, index: int) -> AttrDict:
        trajectory = np.random.choice(self.trajectories)
        start = np.random.randint(0, len(trajectory.observation) - self.window + 1)
        return AttrDict({key: value[start : start + self.window] for key, value in trajectory.items()})

    def batch(self) -> Batch:
        """A collated batch ``[batch_size, window, ...]``."""
        return default_collate([dict(self[index]) for index in range(self.batch_size)])


class NumpyReplay:
    """A dictionary of ring buffers.

    Args:
        capacity: Transitions kept.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity, self.written = capacity, 0
        self.arrays: dict[str, np.ndarray] = {}

    def append(self, transitions: dict[str, np.ndarray]) -> None:
        """Add transitions ``[n, ...]``."""
        count = len(transitions["reward"])
        rows = np.arange(self.written, self.written + count) % self.capacity
        for key, values in transitions.items():
            if key not in self.arrays:
                self.arrays[key] = np.empty((self.capacity, *values.shape[1:]), dtype=np.float32)
            self.arrays[key][rows] = values
        self.written += count

    def sample(self, batch_size: int) -> Batch:
        """A batch ``[batch_size, ...]``."""
        rows = np.random.randint(0, min(self.written, self.capacity), size=batch_size)
        return {key: torch.from_numpy(values[rows]) for key, values in self.arrays.items()}


def activation(mlp: MLP) -> nn.Module:
    """Between its layers."""
    return nn.LeakyReLU(mlp.slope, inplace=True) if mlp.slope else nn.ReLU()


def plain_mlp(mlp: MLP) -> nn.Sequential:
    """The same network as a chain of modules, with copies of its weights and statistics."""
    layers: list[nn.Module] = [mlp.first, activation(mlp)]
    for index, linear in enumerate(mlp.hidden):
        layers += [linear, *([mlp.norms[index]] if mlp.norms else []), activation(mlp)]
    return copy.deepcopy(nn.Sequential(*layers, mlp.last)).requires_grad_(True)


class PlainEncoder(nn.Module):
    """Embedding, LSTM cell and output head, called once a step; the last output is the one used."""

    def __init__(self, encoder: SkillEncoder) -> None:
        super().__init__()
        encoder = copy.deepcopy(encoder)
        self.embedding, self.head, self.posterior = encoder.embedding, encoder.head, encoder.posterior
        self.cell = nn.LSTMCell(encoder.lstm.input_size, encoder.lstm.hidden_size)
        for parameter, source in zip(self.cell.parameters(), encoder.lstm.parameters(), strict=True):
            parameter.data = source.data

    def forward(self, sequence: Tensor) -> Tensor:
        """``[B, H, A + S]`` to ``[B, 2 d]``."""
        hidden = cell = torch.zeros(len(sequence), self.cell.hidden_size)
        outputs = []
        for step in range(sequence.shape[1]):
            hidden, cell = self.cell(self.embedding(sequence[:, step]), (hidden, cell))
            outputs.append(self.head(hidden))
        return self.posterior(torch.stack(outputs, dim=1)[:, -1])


def split(output: Tensor, lowest: float = -10, highest: float = 2) -> tuple[Tensor, Tensor]:
    """Mean and clamped log std."""
    mean, log_std = torch.chunk(output, 2, dim=-1)
    return mean, torch.clamp(log_std, lowest, highest)


def log_prob(mean: Tensor, log_std: Tensor, value: Tensor) -> Tensor:
    """Log density per dimension."""
    return -0.5 * ((value - mean) / log_std.exp()) ** 2 - log_std - 0.5 * math.log(2 * math.pi)


def tanh_slope(u: Tensor) -> Tensor:
    """Log derivative of the tanh per dimension."""
    return 2 * (math.log(2) - u - nn.functional.softplus(-2 * u))


def check_numbers(tensors: Sequence[Tensor]) -> None:
    """Raise RuntimeError if there is a NaN."""
    if any(torch.isnan(tensor).any() for tensor in tensors):
        raise RuntimeError("not a number")


class PlainPretrain(nn.Module):
    """The skill model's update.

    Args:
        model: Whose weights it copies.
        beta: Weight of the KL.
    """

    def __init__(self, model: SkillModel, beta: float) -> None:
        super().__init__()
        self.encoder = PlainEncoder(model.encoder)
        self.decoder, self.prior = plain_mlp(model.decoder), plain_mlp(model.prior_net)
        self.beta, self.updates = beta, 0
        self.optimizer = torch.optim.RAdam(self.parameters(), lr=1e-3, foreach=False)

    def loss(self, batch: Batch) -> Tensor:
        """Of windows ``[B, H + 1]``."""
        states, actions = batch["observation"][:, :-1], batch["action"][:, :-1]
        mean, log_std = split(self.encoder(torch.cat([actions, states], dim=-1)))
        skill = mean + log_std.exp() * torch.randn_like(mean)
        repeated = skill[:, None].repeat(1, states.shape[1], 1)
        inputs = torch.cat([states, repeated], dim=-1).reshape(-1, states.shape[-1] + skill.shape[-1])
        decoded = self.decoder(inputs).reshape(actions.shape)
        reconstruction = -log_prob(decoded, torch.zeros_like(decoded), actions).mean()
        kl = (-log_std + (log_std.exp() ** 2 + mean**2) / 2 - 0.5).mean()
        prior = -log_prob(*split(self.prior(states[:, 0])), skill.detach()).sum(-1).mean()
        return reconstruction + self.beta * kl + prior

    def update(self, batch: Batch) -> None:
        """One step."""
        self.optimizer.zero_grad()
        self.loss(batch).backward()
        if self.updates < 100:
            nn.utils.clip_grad_norm_(self.parameters(), 1e-3)
        self.optimizer.step()
        self.updates += 1


class PlainSkillRL(nn.Module):
    """The prior-regularised actor-critic's update.

    Args:
        module: Whose weights and options it copies.
    """

    def __init__(self, module: SkillRLModule) -> None:
        super().__init__()
        assert module.skills is not None
        self.options, self.delta = module.options, module.target_divergence
        self.policy, self.prior = plain_mlp(module.policy).eval(), plain_mlp(module.skills.prior_net).eval()
        self.critics = nn.ModuleList(plain_mlp(cast(MLP, critic)) for critic in module.critics)
        self.targets = nn.ModuleList(plain_mlp(cast(MLP, critic)) for critic in module.target_critics)
        self.log_alpha = nn.Parameter(module.log_alpha.detach().clone())
        networks = [self.policy.parameters(), *(critic.parameters() for critic in self.critics), [self.log_alpha]]
        self.optimizers = [torch.optim.Adam(each, lr=self.options.lr, foreach=False) for each in networks]

    def _act(self, observation: Tensor) -> AttrDict:
        mean, log_std = split(self.policy(observation))
        u = mean + log_std.exp() * torch.randn_like(mean)
        # The density after the tanh, which the divergence to the prior makes superfluous, is computed there too.
        slope = math.log(2) + tanh_slope(u)  # of 2 tanh(u)
        density = torch.clamp(log_prob(mean, log_std, u).sum(-1), -20, 10) - slope.sum(-1)
        skill = 2 * torch.tanh(u)
        check_numbers([skill, density])
        prior = split(self.prior(observation))
        samples = [mean + log_std.exp() * torch.randn_like(mean) for _ in range(10)]
        differences = [log_prob(mean, log_std, x) - log_prob(prior[0].detach(), prior[1].detach(), x) for x in samples]
        kl = torch.stack([difference.sum(-1) for difference in differences]).mean(0)
        entropy = 0.5 + 0.5 * math.log(2 * math.pi) + log_std
        return AttrDict(skill=skill, kl=torch.clamp(kl, -100, 100), density=density, entropy=entropy)

    def losses(self, batch: Batch) -> tuple[list[Tensor], Batch]:
        """Of policy, each critic and alpha, on transitions ``[B]``; and what else is read out."""
        alpha = self.log_alpha.exp()
        now = self._act(batch["observation"])
        inputs = torch.cat([batch["observation"], now.skill], dim=-1)
        smaller = torch.min(*(critic(inputs) for critic in self.critics)).squeeze(-1)
        policy_loss = (-smaller + alpha.detach() * now.kl).mean()
        with torch.no_grad():
            following = self._act(batch["next_observation"])
            inputs = torch.cat([batch["next_observation"], following.skill], dim=-1)
            value = torch.min(*(target(inputs) for target in self.targets)).squeeze(-1) - alpha * following.kl
            target = batch["reward"].squeeze(-1) + (1 - batch["done"].squeeze(-1)) * self.options.discount * value
        inputs = torch.cat([batch["observation"], 2 * torch.tanh(batch["action"])], dim=-1)
        values = [critic(inputs).squeeze(-1) for critic in self.critics]
        critic_losses = [0.5 * ((value - target) ** 2).mean() for value in values]
        read_out = {"density": now.density, "entropy": now.entropy, "kl": now.kl, "target": target}
        read_out |= {"alpha": alpha, "q1": values[0], "q2": values[1]}
        return [policy_loss, *critic_losses, alpha * (self.delta - now.kl.mean()).detach()], read_out

    def update(self, batch: Batch) -> list[float]:
        """One step of everything; what is logged."""
        losses, read_out = self.losses(batch)
        for optimizer, loss in zip(self.optimizers, losses, strict=True):
            optimizer.zero_grad()
            loss.backward()
            gradients = [parameter.grad for group in optimizer.param_groups for parameter in group["params"]]
            check_numbers([loss, *gradients])
            optimizer.step()
        for critic, target in zip(self.critics, self.targets, strict=True):
            for parameter, follower in zip(critic.parameters(), target.parameters(), strict=True):
                follower.data.copy_(self.options.tau * parameter.data + (1 - self.options.tau) * follower.data)
        return [value.mean().item() for value in [*losses, *read_out.values()]]
