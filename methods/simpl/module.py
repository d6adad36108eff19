"""SiMPL's meta-training phase."""

import copy
from collections.abc import Sequence
from itertools import chain

import torch
from tensordict import TensorDict
from torch import Tensor, nn

from lightning_skills.data.skill_env import SkillExecution
from lightning_skills.losses.skill_rl import actor_loss, analytic_kl, critic_loss, td_target
from lightning_skills.nets.gaussian import Gaussian
from lightning_skills.nets.numpy_mlp import frozen
from lightning_skills.nets.skill_model import SkillModel
from lightning_skills.optim import FusedAdam, GrowingAdam
from lightning_skills.phases.base import CollectEpisodes, Instruction, Metrics, PhaseContext, UpdateTasks
from lightning_skills.phases.context_meta import ContextMetaModule
from lightning_skills.phases.skill_rl import join
from methods.simpl.config import SimplOptions
from methods.simpl.losses import embedding_loss, multiplier_loss
from methods.simpl.networks import Multiplier, TaskEncoder, corrected, torch_mlp


class SimplModule(ContextMetaModule):
    """Skill-based meta-policy learning (SiMPL, Nam et al., ICLR 2022, sec. 4.3), as in the authors' code.

    A transition is one skill: state, skill, sum of its rewards, end, next state. The policy is a correction of the
    frozen skill prior, given an embedding of the task. Embeddings of small contexts, which say little, are trained
    beside those of large ones, each with its own multipliers, which only grow.

    Differs from the authors' code: the prior is evaluated once per transition; the number of updates follows from all
    transitions since the warm-up together, not rounded in each epoch; multipliers step once an update, after the
    policy. The multiplier of a task that is not in a batch moves on by Adam's momentum, as under their torch.

    Args:
        context: Its ``options`` are :class:`SimplOptions`, its artefact "skills" a closed-loop model of states.
    """

    kind = "simpl"
    networks = ("encoder", "policy", "critics", "large_alpha")
    options: SimplOptions

    def __init__(self, context: PhaseContext) -> None:
        super().__init__(context, context.options.large_context)
        options, env = self.options, context.env
        self.skills = SkillModel.from_artefact(context.artefacts["skills"])
        self.skill_dim = self.skills.latent_dim
        known = env.state_dim + options.embedding_dim
        self.encoder = TaskEncoder(2 * env.state_dim + self.skill_dim + 2, options.embedding_dim, options.encoder_width)
        self.policy = torch_mlp(known, 2 * self.skill_dim, options.layers, options.width)
        self.critics = nn.ModuleList(
            torch_mlp(known + self.skill_dim, 1, options.layers, options.width) for _ in range(2)
        )
        self.target_critics = copy.deepcopy(self.critics)
        self.small_lambda = Multiplier(options.small_embedding_weight)
        self.large_lambda = Multiplier(options.large_embedding_weight, len(self.train_tasks))
        self.small_alpha, self.large_alpha = Multiplier(options.small_alpha), Multiplier(options.large_alpha)
        self._prior = frozen(self.skills.prior_net)
        self.keep_frozen(self.skills, self.target_critics)

    # Acting

    def skill_execution(self) -> SkillExecution:
        """A skill runs as it is, through the mean of the low-level policy; time limits are not terminal."""
        return SkillExecution(self.skills.low_level(None), self.skills.horizon, self.skill_dim, bound=None)

    def posterior(self, context: TensorDict) -> Gaussian:
        """``[G, d]`` given contexts ``[G, N]``."""
        after = context["next"]
        ended = after["terminated"].to(after["reward"].dtype)
        seen = [context["observation"], context["action"], after["reward"], ended, after["observation"]]
        return self.encoder(torch.cat(seen, dim=-1).to(self.device))

    def settled(self, posterior: Gaussian) -> Tensor:
        """Its mean."""
        return posterior.mean

    @torch.no_grad()
    def act(self, observation: TensorDict, state: TensorDict, explore: bool) -> tuple[Tensor, TensorDict, TensorDict]:
        """A skill ``[N, d]``: a sample if ``explore``, else the mean."""
        seen = observation["observation"]
        prior = Gaussian.from_output(self._prior(seen.cpu()).to(self.device))
        policy = corrected(prior, self.policy(torch.cat([seen, state["embedding"].to(self.device)], dim=-1)))
        skill = policy.rsample() if explore else policy.mean
        return skill, state, TensorDict({}, batch_size=observation.batch_size)

    def annotate(self, transitions: TensorDict) -> TensorDict:
        """Add mean and log std of the frozen prior at both states."""
        for part in (transitions, transitions["next"]):
            prior = Gaussian.from_output(self._prior(part["observation"]))
            part.set("prior_mean", prior.mean).set("prior_log_std", prior.log_std)
        return transitions

    # Plan

    def capacity(self) -> int:
        """Both views of every task."""
        return 2 * self.options.capacity * len(self.train_tasks + self.test_tasks)

    def plan(self) -> Sequence[Instruction]:
        """A warm-up; then epochs: an episode of each task with an embedding from the prior, one from the posterior."""
        options, tasks = self.options, self.train_tasks
        new = self.transitions - self.digested
        if new:
            drawn = (options.small_tasks + options.large_tasks) * options.batch_size
            return [self._updates(max(1, int(options.reuse * new / drawn)))]
        if self.env_frames >= options.frames:
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
        self._followers: list[Tensor] = [*self.target_critics.parameters()]
        self._leaders: list[Tensor] = [*self.critics.parameters()]
        return [self.critic_optimizer, self.actor_optimizer, self.multiplier_optimizer]

    def update(self, batch: TensorDict) -> Metrics:
        """One step on ``context_0`` and ``context_1`` of tasks and ``transitions`` ``[G, B]`` of all of them."""
        options, transitions = self.options, batch["transitions"].flatten(0, 1)
        small = len(batch["context_0", "observation"])
        posteriors = [self.posterior(batch["context_0"]), self.posterior(batch["context_1"])]
        posterior = Gaussian(*(torch.cat(parts) for parts in zip(*posteriors, strict=True)))
        groups = len(posterior.mean)
        embedding = self._drawn(posterior, options.batch_size)
        skill, divergence, next_skill, next_divergence = self._propose(transitions, embedding.detach())
        alpha = torch.cat([self.small_alpha().expand(small), self.large_alpha().expand(groups - small)])
        alpha = alpha.repeat_interleave(options.batch_size)
        after = transitions["next"]
        with torch.no_grad():
            known = torch.cat([after["observation"], embedding, next_skill], dim=-1)
            next_value = torch.cat([critic(known) for critic in self.target_critics], dim=-1).amin(-1)
        reward, terminated = after["reward"].squeeze(-1), after["terminated"].squeeze(-1)
        clipped = next_divergence.clamp(max=options.divergence_clip)
        target = td_target(reward, terminated, next_value, clipped, alpha, options.discount)
        weight = torch.cat([self.small_lambda().expand(small), self.large_lambda()[batch["task"][small:]]])
        loss, metrics = critic_loss(self._values(transitions, embedding, transitions["action"]), target)
        kl, of_embedding = embedding_loss(posterior, weight)
        self.step(self.critic_optimizer, loss + kl)
        values = self._values(transitions, embedding.detach(), skill, learning=0)
        actor, of_actor = actor_loss(values, divergence, alpha)
        self.step(self.actor_optimizer, actor)
        of_multipliers = self._grow(posterior, divergence.view(groups, -1).mean(-1), weight, small)
        with torch.no_grad():
            torch._foreach_lerp_(self._followers, self._leaders, options.tau)
        return metrics | of_embedding | of_actor | of_multipliers

    def _drawn(self, posterior: Gaussian, count: int) -> Tensor:
        """Embeddings ``[G count, d]``, another one for every transition."""
        shape = (count, *posterior.mean.shape)
        return Gaussian(*(part.expand(shape) for part in posterior)).rsample().transpose(0, 1).flatten(0, 1)

    def _propose(self, transitions: TensorDict, embedding: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Skills of the policy ``[G B, d]`` and its KL to the prior ``[G B]`` at both states, in one pass."""
        known = torch.cat([join(transitions, "observation"), embedding.repeat(2, 1)], dim=-1)
        prior = Gaussian(join(transitions, "prior_mean"), join(transitions, "prior_log_std"))
        policy = corrected(prior, self.policy(known, learning=len(embedding)))
        (skill, next_skill), (divergence, next_divergence) = (
            each.chunk(2) for each in (policy.rsample(), analytic_kl(policy, prior))
        )
        return skill, divergence, next_skill.detach(), next_divergence.detach()

    def _values(self, transitions: TensorDict, embedding: Tensor, skill: Tensor, learning: int | None = None) -> Tensor:
        """Of both critics, ``[G B, 2]``."""
        known = torch.cat([transitions["observation"], embedding, skill], dim=-1)
        return torch.cat([critic(known, learning=learning) for critic in self.critics], dim=-1)

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
