"""PEARL's and SiMPL's meta-training updates, written plainly in the structure of the authors' code.

Every class starts from the weights of ours, so that losses and weights can be compared. What is plain here, in both:
a ring buffer for each task, gathered from in a Python loop; critics that are not frozen while the policy learns; every
loss evaluates its networks anew; an optimizer for each network, and optimizers and target networks that loop over
parameters. In PEARL: posteriors multiplied and embeddings drawn task by task, the latter twice. In SiMPL: heads of
attention split and concatenated again, keys and values of every element projected; the skill prior, with BatchNorm
unfolded, evaluated in every pass, by the policy and again for the divergence; embeddings drawn task by task. What they
do beside that (statistics, checks of shapes, distribution objects) is left out.
"""

import copy
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.plain import Batch, NumpyReplay, log_prob, plain_mlp, split, tanh_slope
from lightning_skills.nets.mlp import MLP
from lightning_skills.nets.set_transformer import HEADS, Attention, InducedAttention
from lightning_skills.phases.pearl import PearlModule
from methods.simpl.module import SimplModule

Draw = tuple[Tensor, Tensor]
"""Mean and standard deviation."""


def gather(buffers: Sequence[NumpyReplay], tasks: Iterable[int], count: int) -> Batch:
    """So many transitions of each of G tasks, ``[G, count, ...]``."""
    batches = [buffers[task].sample(count) for task in tasks]
    return {key: torch.stack([batch[key] for batch in batches]) for key in batches[0]}


def draw(distribution: Draw) -> Tensor:
    """A reparameterised sample."""
    mean, std = distribution
    return mean + std * torch.randn_like(mean)


def kl(left: Draw, right: Draw) -> Tensor:
    """KL(left || right), summed over the last axis."""
    ratio = (left[0] - right[0]) / right[1]
    return (torch.log(right[1]) - torch.log(left[1]) + 0.5 * ((left[1] / right[1]) ** 2 + ratio**2 - 1)).sum(-1)


def standard(like: Tensor) -> Draw:
    """N(0, 1)."""
    return torch.zeros_like(like), torch.ones_like(like)


def adam(network: nn.Module | Tensor, lr: float) -> torch.optim.Optimizer:
    """Of one network."""
    parameters = [network] if isinstance(network, Tensor) else network.parameters()
    return torch.optim.Adam(parameters, lr=lr, foreach=False)


def descend(optimizers: Mapping[str, torch.optim.Optimizer], loss: Tensor, *names: str) -> None:
    """One step of some networks."""
    for name in names:
        optimizers[name].zero_grad()
    loss.backward()
    for name in names:
        optimizers[name].step()


def follow(leader: nn.Module, follower: nn.Module, tau: float) -> None:
    """Polyak averaging."""
    for source, target in zip(leader.parameters(), follower.parameters(), strict=True):
        target.data.copy_(tau * source.data + (1 - tau) * target.data)


class PlainPearl(nn.Module):
    """PEARL's update.

    Args:
        module: Whose weights and options it copies.
    """

    def __init__(self, module: PearlModule) -> None:
        super().__init__()
        self.options = module.options
        self.encoder, self.policy = plain_mlp(module.encoder.factors), plain_mlp(module.policy)
        self.value, self.target_value = plain_mlp(module.value), plain_mlp(module.target_value)
        self.critics = nn.ModuleList(plain_mlp(cast(MLP, critic)) for critic in module.critics)
        networks = {"encoder": self.encoder, "policy": self.policy, "value": self.value}
        networks |= {"critic_0": self.critics[0], "critic_1": self.critics[1]}
        self.optimizers = {name: adam(network, self.options.lr) for name, network in networks.items()}

    def _posteriors(self, context: Batch) -> list[Draw]:
        seen = torch.cat([context["observation"], context["action"], context["reward"]], dim=-1)
        factors = self.encoder(seen.view(-1, seen.shape[-1])).view(*seen.shape[:2], -1)
        means, spreads = torch.chunk(factors, 2, dim=-1)
        posteriors = []
        for mean, variance in zip(torch.unbind(means), torch.unbind(functional.softplus(spreads)), strict=True):
            clamped = torch.clamp(variance, min=1e-7)
            total = 1 / torch.sum(torch.reciprocal(clamped), dim=0)
            posteriors.append((total * torch.sum(mean / clamped, dim=0), torch.sqrt(total)))
        return posteriors

    def _act(self, known: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        mean, log_std = split(self.policy(known), -20, 2)
        u = mean + log_std.exp() * torch.randn_like(mean)
        density = (log_prob(mean, log_std, u) - tanh_slope(u)).sum(-1, keepdim=True)
        return torch.tanh(u), density, mean, log_std

    def update(self, task: Tensor, contexts: Sequence[Batch], batch: Batch) -> dict[str, Tensor]:
        """One step on ``contexts[0]`` ``[T, N]`` and transitions ``[T, B]``; actions are those executed."""
        options, count = self.options, batch["reward"].shape[1]
        flat = {key: value.reshape(-1, value.shape[-1]) for key, value in batch.items()}
        posteriors = self._posteriors(contexts[0])
        for _ in range(2):
            embeddings = [draw(posterior) for posterior in posteriors]
        embedding = torch.cat([each.repeat(count, 1) for each in embeddings])
        known = torch.cat([flat["observation"], embedding.detach()], dim=-1)
        action, density, mean, log_std = self._act(known)

        inputs = torch.cat([flat["observation"], embedding, flat["action"]], dim=-1)
        values = [critic(inputs) for critic in self.critics]
        value = self.value(known)
        with torch.no_grad():
            future = self.target_value(torch.cat([flat["next_observation"], embedding], dim=-1))
        target = options.reward_scale * flat["reward"] + (1 - flat["done"]) * options.discount * future
        critic_loss = sum(((each - target) ** 2).mean() for each in values)
        divergence = sum(kl(posterior, standard(posterior[0])) for posterior in posteriors)
        descend(self.optimizers, critic_loss + options.kl_weight * divergence, "encoder", "critic_0", "critic_1")

        inputs = torch.cat([known, action], dim=-1)
        smallest = torch.min(*(critic(inputs) for critic in self.critics))
        value_loss = ((value - (smallest - density).detach()) ** 2).mean()
        descend(self.optimizers, value_loss, "value")
        follow(self.value, self.target_value, options.tau)
        policy_loss = (density - smallest).mean()
        penalty = options.output_penalty * ((mean**2).mean() + (log_std**2).mean())
        descend(self.optimizers, policy_loss + penalty, "policy")
        losses = {"critic_loss": critic_loss, "kl": divergence / len(posteriors)}
        return losses | {"value_loss": value_loss, "policy_loss": policy_loss}


def attend(block: Attention, queries: Tensor, keys: Tensor) -> Tensor:
    """A multi-head attention block whose heads are stacked along the batch axis and put side by side again."""
    q, k, v = block.query(queries), block.key(keys), block.value(keys)
    part, groups = q.shape[-1] // HEADS, len(q)
    heads = [torch.cat(each.split(part, dim=2), dim=0) for each in (q, k, v)]
    scores = torch.softmax(heads[0].bmm(heads[1].transpose(1, 2)) / math.sqrt(q.shape[-1]), dim=2)
    attended = torch.cat((heads[0] + scores.bmm(heads[2])).split(groups, dim=0), dim=2)
    return attended + functional.relu(block.output(attended))


def induced(block: InducedAttention, x: Tensor) -> Tensor:
    """Elements attend to points that have attended to them."""
    return attend(block.spread, x, attend(block.gather, block.points.repeat(len(x), 1, 1), x))


class PlainSimpl(nn.Module):
    """SiMPL's update.

    Args:
        module: Whose weights and options it copies.
    """

    def __init__(self, module: SimplModule) -> None:
        super().__init__()
        self.options = module.options
        self.transformer = copy.deepcopy(module.encoder.transformer)
        self.policy, self.prior = plain_mlp(module.policy), plain_mlp(module.skills.prior_net).requires_grad_(False)
        self.own_prior = copy.deepcopy(self.prior)
        self.critics = nn.ModuleList(plain_mlp(cast(MLP, critic)) for critic in module.critics)
        self.target_critics = nn.ModuleList(plain_mlp(cast(MLP, critic)) for critic in module.target_critics)
        names = ("small_lambda", "large_lambda", "small_alpha", "large_alpha")
        self.multipliers = nn.ParameterDict({name: getattr(module, name).parameter.detach().clone() for name in names})
        networks: Mapping[str, nn.Module | Tensor] = {"encoder": self.transformer, "policy": self.policy}
        networks |= {"critic_0": self.critics[0], "critic_1": self.critics[1], **self.multipliers}
        self.optimizers = {name: adam(network, self.options.lr) for name, network in networks.items()}

    def train(self, mode: bool = True) -> "PlainSimpl":
        """BatchNorm of the priors keeps its statistics."""
        super().train(mode)
        self.prior.eval()
        self.own_prior.eval()
        return self

    def _encode(self, context: Batch) -> Draw:
        keys = ("observation", "action", "reward", "done", "next_observation")
        x, network = torch.cat([context[key] for key in keys], dim=-1), self.transformer
        x = induced(network.second, induced(network.first, x))
        summary = attend(network.pooling, network.seed.repeat(len(x), 1, 1), x).squeeze(1)
        mean, spread = torch.chunk(network.head(summary), 2, dim=-1)
        return mean, 1e-3 + functional.softplus(spread + math.log(math.expm1(1.0)))

    def _policy(self, state: Tensor, embedding: Tensor) -> Draw:
        mean, log_std = split(self.own_prior(state))
        shift, spread = torch.chunk(self.policy(torch.cat([state, embedding], dim=-1)), 2, dim=-1)
        before = torch.log(torch.expm1(log_std.exp()))
        return mean + shift, 1e-3 + functional.softplus(before + spread)

    def _divergence(self, policy: Draw, state: Tensor) -> Tensor:
        with torch.no_grad():
            mean, log_std = split(self.prior(state))
        return kl(policy, (mean, log_std.exp()))

    def update(self, task: Tensor, contexts: Sequence[Batch], batch: Batch) -> dict[str, Tensor]:
        """One step on the contexts of small and of large groups and transitions ``[G, B]`` of all of them."""
        options, (groups, count) = self.options, batch["reward"].shape[:2]
        flat = {key: value.reshape(groups * count, -1) for key, value in batch.items()}
        reward, done = flat["reward"].squeeze(-1), flat["done"].squeeze(-1)
        small = len(contexts[0]["reward"])
        encoded = [self._encode(context) for context in contexts]
        posteriors = [(mean[i], std[i]) for mean, std in encoded for i in range(len(mean))]
        embedding = torch.cat([draw((mean.expand(count, -1), std.expand(count, -1))) for mean, std in posteriors])
        fixed = embedding.detach()
        alphas = [self._multiplier("small_alpha").detach()] * small
        alphas += [self._multiplier("large_alpha").detach()] * (groups - small)
        alpha = torch.cat([each.repeat(count) for each in alphas])

        with torch.no_grad():
            following = self._policy(flat["next_observation"], embedding)
            divergence = self._divergence(following, flat["next_observation"]).clamp(max=options.divergence_clip)
            inputs = torch.cat([flat["next_observation"], embedding, draw(following)], dim=-1)
            value = torch.min(*(critic(inputs) for critic in self.target_critics)).squeeze(-1)
            target = reward + (1 - done) * options.discount * (value - alpha * divergence)
        inputs = torch.cat([flat["observation"], embedding, flat["action"]], dim=-1)
        values = [critic(inputs).squeeze(-1) for critic in self.critics]
        critic_loss = sum(0.5 * ((value - target) ** 2).mean() for value in values)
        divergences = torch.stack([kl(posterior, standard(posterior[0])) for posterior in posteriors])
        small_weight, large_weight = self._multiplier("small_lambda"), self._multiplier("large_lambda")[task[small:]]
        weight = torch.cat([small_weight.expand(small), large_weight])
        descend(
            self.optimizers, critic_loss + (weight.detach() * divergences).mean(), "encoder", "critic_0", "critic_1"
        )
        for leader, follower in zip(self.critics, self.target_critics, strict=True):
            follow(leader, follower, options.tau)
        kls = divergences.detach()
        self._grow("small_lambda", small_weight, kls[:small], options.small_embedding_target)
        self._grow("large_lambda", large_weight, kls[small:], options.large_embedding_target)

        policy = self._policy(flat["observation"], fixed)
        divergence = self._divergence(policy, flat["observation"])
        inputs = torch.cat([flat["observation"], fixed, draw(policy)], dim=-1)
        smallest = torch.min(*(critic(inputs) for critic in self.critics)).squeeze(-1)
        actor_loss = (-smallest + alpha * divergence).mean()
        descend(self.optimizers, actor_loss, "policy")
        means = divergence.detach().view(groups, count).mean(-1)
        self._grow("small_alpha", self._multiplier("small_alpha"), means[:small], options.small_divergence)
        self._grow("large_alpha", self._multiplier("large_alpha"), means[small:], options.large_divergence)
        return {"critic_loss": critic_loss / 2, "kl": kls.mean(), "actor_loss": actor_loss}

    def _multiplier(self, name: str) -> Tensor:
        return functional.softplus(self.multipliers[name])

    def _grow(self, name: str, weight: Tensor, divergence: Tensor, wanted: float) -> None:
        self.optimizers[name].zero_grad()
        (weight * (wanted - divergence)).mean().backward()
        self.multipliers[name].grad.clamp_(max=0)
        self.optimizers[name].step()
