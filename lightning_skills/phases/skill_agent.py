"""Policies over skills that correct the skill prior: how they act, and what losses see of them and their critics."""

import copy
from collections.abc import Callable, Iterable
from typing import NamedTuple, cast

import torch
from tensordict import TensorDict
from torch import Tensor, nn

from lightning_skills.data.skill_env import SkillExecution
from lightning_skills.errors import InputError
from lightning_skills.losses.skill_rl import actor_loss, analytic_kl, critic_loss, td_target
from lightning_skills.nets.corrected_prior import corrected
from lightning_skills.nets.gaussian import Gaussian
from lightning_skills.nets.mlp import torch_mlp
from lightning_skills.nets.numpy_mlp import frozen
from lightning_skills.nets.skill_model import SkillModel
from lightning_skills.optim import follow
from lightning_skills.phases.base import Metrics, PhaseContext
from lightning_skills.phases.both_states import add_prior, at_both
from lightning_skills.phases.context_meta import ContextMetaModule

Network = Callable[..., Tensor]
"""Features ``[B, ..., in]``, and how many of the B train it (:class:`lightning_skills.nets.mlp.AffineChain`)."""


class Learners(NamedTuple):
    """A policy, its critics and their targets, and a loss that is added to the critics'."""

    policy: Network
    critics: Iterable[nn.Module | Network]
    target_critics: Iterable[nn.Module | Network]
    beside: Tensor | float = 0.0


class Improvement(NamedTuple):
    """What a step of :class:`Learners` gave: the policy's KL to the prior at s ``[B, ...]``, and metrics."""

    divergence: Tensor
    metrics: Metrics


class SkillAgent(ContextMetaModule):
    """Base of phases whose policy over skills is a correction of the frozen skill prior (SiMPL, Nam et al., ICLR 2022).

    A transition is one skill: state, skill, sum of its rewards, end, next state. A phase that learns builds
    ``critic_optimizer`` and ``actor_optimizer``.

    Args:
        context: As of :class:`ContextMetaModule`; its artefact "skills" is a closed-loop model of states.
        layers: Hidden layers of the policy.
        width: Of each of these.
        embedding_dim: As of :class:`ContextMetaModule`; with 0 the policy knows nothing of its task.
        context_size: As of :class:`ContextMetaModule`.

    Raises:
        InputError: if the skills are of another model, or of states or actions of other lengths than the environment's.
    """

    critic_optimizer: torch.optim.Optimizer
    actor_optimizer: torch.optim.Optimizer
    context_keys = ("observation", "action", ("next", "reward"), ("next", "terminated"), ("next", "observation"))

    def __init__(
        self, context: PhaseContext, layers: int, width: int, embedding_dim: int = 0, context_size: int = 0
    ) -> None:
        super().__init__(context, embedding_dim, context_size)
        self.skills = _closed_loop(context)
        self.skill_dim = self.skills.latent_dim
        self.known_dim = context.env.state_dim + embedding_dim
        self.policy = torch_mlp(self.known_dim, 2 * self.skill_dim, layers, width)
        self._prior = frozen(self.skills.prior_net)
        self.keep_frozen(self.skills)

    def skill_execution(self) -> SkillExecution:
        """A skill runs as it is, through the mean of the low-level policy; time limits are not terminal."""
        return SkillExecution(self.skills.low_level(None), self.skills.horizon, self.skill_dim, bound=None)

    def settled(self, posterior: Gaussian) -> Tensor:
        """Its mean."""
        return posterior.mean

    def act(self, observation: TensorDict, state: TensorDict, explore: bool) -> tuple[Tensor, TensorDict, TensorDict]:
        """A skill ``[N, d]``: a sample if ``explore``, else the mean."""
        return self._act(self.policy, observation, state, explore)

    @torch.no_grad()
    def _act(
        self, policy: Network, observation: TensorDict, state: TensorDict, explore: bool
    ) -> tuple[Tensor, TensorDict, TensorDict]:
        seen = observation["observation"]
        prior = Gaussian.from_output(self._prior(seen.cpu()).to(self.device))
        chosen = corrected(prior, policy(torch.cat([seen, state["embedding"].to(self.device)], dim=-1)))
        skill = chosen.rsample() if explore else chosen.mean
        return skill, state, TensorDict({}, batch_size=observation.batch_size)

    def annotate(self, transitions: TensorDict) -> TensorDict:
        """Add mean and log std of the frozen prior at both states."""
        add_prior(transitions, at_both(transitions, "observation"), self._prior)
        return transitions

    # Learning

    def improve(self, learners: Learners, transitions: TensorDict, embedding: Tensor, alpha: Tensor) -> Improvement:
        """One step of the critics, then one of the policy by them (SiMPL, sec. 4.3).

        Args:
            learners: What is improved.
            transitions: ``[B, ...]``.
            embedding: Of their tasks, ``[B, ..., d]``; what it comes from learns with the critics.
            alpha: Weight of the KL to the prior, broadcast to ``[B, ...]``.
        """
        options, known = self.options, embedding.detach()
        skill, divergence, next_skill, next_divergence = propose(learners.policy, transitions, known)
        following = transitions["next"]
        with torch.no_grad():  # the KL is clipped here, and nowhere else
            value = q_values(learners.target_critics, following, known, next_skill).amin(-1)
            penalty = next_divergence.clamp(max=options.divergence_clip)
        reward, terminated = following["reward"].squeeze(-1), following["terminated"].squeeze(-1)
        target = td_target(reward, terminated, value, penalty, alpha, options.discount)
        loss, metrics = critic_loss(q_values(learners.critics, transitions, embedding, transitions["action"]), target)
        self.step(self.critic_optimizer, loss + learners.beside)
        proposed = q_values(learners.critics, transitions, known, skill, learning=0)
        loss, of_actor = actor_loss(proposed, divergence, alpha)
        self.step(self.actor_optimizer, loss)
        return Improvement(divergence.detach(), metrics | of_actor)


class SkillActorCritic(SkillAgent):
    """A :class:`SkillAgent` with two critics, and their targets.

    Args:
        context: Its ``options`` have ``tau`` too.
        layers: Hidden layers of policy and critics.
        width: Of each of these.
        embedding_dim: As of :class:`SkillAgent`.
        context_size: As of :class:`SkillAgent`.
    """

    def __init__(
        self, context: PhaseContext, layers: int, width: int, embedding_dim: int = 0, context_size: int = 0
    ) -> None:
        super().__init__(context, layers, width, embedding_dim, context_size)
        seen = self.known_dim + self.skill_dim
        self.critics = nn.ModuleList(torch_mlp(seen, 1, layers, width) for _ in range(2))
        self.target_critics = copy.deepcopy(self.critics)
        self.keep_frozen(self.target_critics)

    def _track(self) -> None:
        follow(self.target_critics, self.critics, self.options.tau)


def _closed_loop(context: PhaseContext) -> SkillModel:
    artefact = context.artefacts["skills"]
    skills = cast(SkillModel, SkillModel.from_artefact(artefact))
    learned = skills.settings
    if learned.decoder != "closed_loop" or learned.image_shape is not None:
        sees = "states" if learned.image_shape is None else "images"
        raise InputError(f"this method needs closed-loop skills of states; these are of {sees}, {learned.decoder}")
    skills.require_lengths(context.env.state_dim, context.env.action_dim, artefact.named)
    return skills


# Of transitions ``[B, ...]`` with embeddings ``[B, ..., d]``


def propose(policy: Network, transitions: TensorDict, embedding: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Skills of the policy ``[B, ..., z]`` and its KL to the prior ``[B, ...]``, both at s and then at s'."""
    known = torch.cat([at_both(transitions, "observation"), torch.cat([embedding, embedding])], dim=-1)
    prior = Gaussian(at_both(transitions, "prior_mean"), at_both(transitions, "prior_log_std"))
    chosen = corrected(prior, policy(known, learning=len(embedding)))
    (skill, next_skill), (divergence, next_divergence) = (
        each.chunk(2) for each in (chosen.rsample(), analytic_kl(chosen, prior))
    )
    return skill, divergence, next_skill.detach(), next_divergence.detach()


def q_values(
    critics: Iterable[nn.Module | Network],
    transitions: TensorDict,
    embedding: Tensor,
    skill: Tensor,
    learning: int | None = None,
) -> Tensor:
    """Of the skills by each critic, ``[B, ..., critics]``; so many of the B train them."""
    known = torch.cat([transitions["observation"], embedding, skill], dim=-1)
    return torch.cat([cast(Network, critic)(known, learning=learning) for critic in critics], dim=-1)
