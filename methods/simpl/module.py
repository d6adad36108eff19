"""SiMPL's meta-training phase."""

from collections.abc import Sequence
from itertools import chain

import torch
from tensordict import TensorDict
from torch import Tensor

from lightning_skills.losses.skill_rl import multiplier_loss
from lightning_skills.nets.gaussian import Gaussian
from lightning_skills.nets.multiplier import Multiplier
from lightning_skills.optim import FusedAdam, GrowingAdam
from lightning_skills.phases.base import CollectEpisodes, Instruction, Metrics, PhaseContext, UpdateTasks
from lightning_skills.phases.skill_agent import Learners, SkillActorCritic
from lightning_skills.ranks import share
from methods.simpl.config import SimplOptions, SimplSizes
from methods.simpl.losses import embedding_loss
from methods.simpl.networks import TaskEncoder


class SimplModule(SkillActorCritic):
    """Skill-based meta-policy learning (SiMPL, Nam et al., ICLR 2022, sec. 4.3), as in the authors' code.

    Embeddings of small contexts, which say little, are trained beside those of large ones, each with its own
    multipliers, which only grow.

    Differs from the authors' code: the budget is in env frames, not in epochs; the prior is not evaluated in updates,
    but at both states of a transition when that is stored; multipliers step once an update, after the policy. The
    multiplier of a task that is not in a batch moves on by Adam's momentum, as under their torch.

    Args:
        context: Its ``options`` are :class:`SimplOptions`.

    Raises:
        InputError: if the tasks of a batch cannot be shared evenly by the ranks.
    """

    kind = "simpl"
    networks = ("encoder", "policy", "critics", "large_alpha")
    sizes_type = SimplSizes
    options: SimplOptions

    def __init__(self, context: PhaseContext) -> None:
        options: SimplOptions = context.options
        super().__init__(context, options.layers, options.width, options.embedding_dim, options.large_context)
        for count in (options.small_tasks, options.large_tasks):
            share(count, context.world_size, "a group of {} tasks")
        self.sizes, size = options, (options.embedding_dim, options.encoder_width)
        self.encoder = TaskEncoder(context.env.state_dim, self.skill_dim, *size)
        self.small_lambda = Multiplier(options.small_embedding_weight)
        self.large_lambda = Multiplier(options.large_embedding_weight, len(self.train_tasks))
        self.small_alpha, self.large_alpha = Multiplier(options.small_alpha), Multiplier(options.large_alpha)

    # Plan

    def progress(self) -> tuple[int, int]:
        """(env frames done, env frames in all)."""
        return self.env_frames, self.options.frames * len(self.train_tasks)

    def plan(self) -> Sequence[Instruction]:
        """A warm-up; then epochs: an episode of each task with an embedding from the prior, one from the posterior."""
        options, tasks = self.options, self.train_tasks
        new = self.transitions - self.digested
        if new:
            drawn = (options.small_tasks + options.large_tasks) * options.batch_size
            return [self._updates(max(1, int(options.reuse * new / drawn)))]
        done, wanted = self.progress()
        if done >= wanted:
            return []
        epoch = [
            CollectEpisodes(tasks, "prior", into=("context", "replay")),
            CollectEpisodes(tasks, "context", into=("replay",)),
        ]
        if self.env_frames:
            return epoch
        return [
            CollectEpisodes(tasks, "prior", transitions=options.large_context, into=("context",), counted=False),
            CollectEpisodes(tasks, "context", transitions=options.batch_size, into=("replay",), counted=False),
            *epoch,
        ]

    def _updates(self, count: int) -> UpdateTasks:
        options = self.options
        contexts = (options.small_context, options.large_context)
        return UpdateTasks(count, (options.small_tasks, options.large_tasks), contexts, options.batch_size)

    def adaptation(self) -> Sequence[CollectEpisodes]:
        """Episodes with embeddings from the prior, then some with the posterior's mean, given all of the first."""
        options = self.options
        return [
            CollectEpisodes(self.test_tasks, "prior", options.conditioning_episodes, into=("context",)),
            CollectEpisodes(self.test_tasks, "all", options.evaluation_episodes),
        ]

    # Learning

    def build_optimizers(self) -> Sequence[torch.optim.Optimizer]:
        """Adam of critics and encoder, of the policy, and of the multipliers."""
        lr = self.options.lr
        multipliers = (self.small_lambda, self.large_lambda, self.small_alpha, self.large_alpha)
        self.critic_optimizer = FusedAdam([*self.critics.parameters(), *self.encoder.parameters()], lr=lr)
        self.actor_optimizer = FusedAdam(self.policy.parameters(), lr=lr)
        self.multiplier_optimizer = GrowingAdam(chain.from_iterable(each.parameters() for each in multipliers), lr=lr)
        return [self.critic_optimizer, self.actor_optimizer, self.multiplier_optimizer]

    def update(self, batch: TensorDict) -> Metrics:
        """One step on ``context_0`` and ``context_1`` of tasks and ``transitions`` ``[G, B]`` of all of them."""
        options, transitions = self.options, batch["transitions"].flatten(0, 1)
        small = len(batch["context_0", "observation"])
        posteriors = [self.posterior(batch["context_0"]), self.posterior(batch["context_1"])]
        posterior = Gaussian(*(torch.cat(parts) for parts in zip(*posteriors, strict=True)))
        groups = len(posterior.mean)
        embedding = self._drawn(posterior, options.batch_size)
        weight = torch.cat([self.small_lambda().expand(small), self.large_lambda()[batch["task"][small:]]])
        kl, of_embedding = embedding_loss(posterior, weight)
        learners = Learners(self.policy, self.critics, self.target_critics, kl)
        alpha = torch.cat([self.small_alpha().expand(small), self.large_alpha().expand(groups - small)])
        alpha = alpha.repeat_interleave(options.batch_size)
        divergence, metrics = self.improve(learners, transitions, embedding, alpha)
        of_multipliers = self._grow(posterior, divergence.view(groups, -1).mean(-1), weight, small)
        self._track()
        return metrics | of_embedding | of_multipliers

    def _drawn(self, posterior: Gaussian, count: int) -> Tensor:
        """Embeddings ``[G count, d]``, another one for every transition."""
        shape = (count, *posterior.mean.shape)
        return Gaussian(*(part.expand(shape) for part in posterior)).rsample().transpose(0, 1).flatten(0, 1)

    def _grow(self, posterior: Gaussian, divergence: Tensor, weight: Tensor, small: int) -> Metrics:
        """One step of all multipliers; ``divergence`` and ``weight`` are ``[G]``."""
        options, kl = self.options, posterior.kl_to_standard().sum(-1)
        losses = (
            multiplier_loss(weight[:small], kl[:small], options.small_embedding_target),
            multiplier_loss(weight[small:], kl[small:], options.large_embedding_target),
            multiplier_loss(self.small_alpha(), divergence[:small].mean(), options.small_divergence),
            multiplier_loss(self.large_alpha(), divergence[small:].mean(), options.large_divergence),
        )
        self.step(self.multiplier_optimizer, torch.stack(losses).sum())
        return {
            "kl_small": kl[:small].detach().mean(),
            "divergence_small": divergence[:small].detach().mean(),
            "alpha_small": self.small_alpha().detach().mean(),
            "alpha_large": self.large_alpha().detach().mean(),
            "lambda_large": self.large_lambda().detach().mean(),
        }
