"""What SiMPL's meta-training and its adaptation to a task share: networks, how they act, and what the losses see."""

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor, nn

from lightning_skills.data.skill_env import SkillExecution
from lightning_skills.losses.skill_rl import analytic_kl, td_target
from lightning_skills.nets.gaussian import Gaussian
from lightning_skills.nets.numpy_mlp import frozen
from lightning_skills.nets.skill_model import SkillModel
from lightning_skills.phases.base import PhaseContext
from lightning_skills.phases.context_meta import ContextMetaModule
from lightning_skills.phases.skill_rl import join
from methods.simpl.networks import TaskEncoder, corrected, torch_mlp


@dataclass(frozen=True)
class Sizes:
    """Of the networks.

    Args:
        embedding_dim: Length of a task embedding, d.
        encoder_width: Of the task encoder.
        layers: Hidden layers of policy and critics.
        width: Of each of these.
    """

    embedding_dim: int
    encoder_width: int
    layers: int
    width: int


class SimplAgent(ContextMetaModule):
    """An actor-critic over skills that knows its task by an embedding.

    A transition is one skill: state, skill, sum of its rewards, end, next state. The policy is a correction of the
    frozen skill prior.

    Args:
        context: Its ``options`` have ``divergence_clip``, ``discount`` and ``tau`` too, and its artefact "skills" is a
            closed-loop model of states.
        sizes: Of the networks.
        context_size: As of :class:`ContextMetaModule`.
    """

    context_keys = ("observation", "action", ("next", "reward"), ("next", "terminated"), ("next", "observation"))

    def __init__(self, context: PhaseContext, sizes: Sizes, context_size: int = 0) -> None:
        super().__init__(context, sizes.embedding_dim, context_size)
        self.sizes, state_dim = sizes, context.env.state_dim
        self.skills = SkillModel.from_artefact(context.artefacts["skills"])
        self.skill_dim = self.skills.latent_dim
        known = state_dim + sizes.embedding_dim
        self.encoder = TaskEncoder(2 * state_dim + self.skill_dim + 2, sizes.embedding_dim, sizes.encoder_width)
        self.policy = torch_mlp(known, 2 * self.skill_dim, sizes.layers, sizes.width)
        self.critics = nn.ModuleList(torch_mlp(known + self.skill_dim, 1, sizes.layers, sizes.width) for _ in range(2))
        self.target_critics = copy.deepcopy(self.critics)
        self._prior = frozen(self.skills.prior_net)
        self.keep_frozen(self.skills, self.target_critics)

    def settings(self) -> Mapping[str, Any]:
        """The sizes of the networks."""
        return asdict(self.sizes)

    # Acting

    def skill_execution(self) -> SkillExecution:
        """A skill runs as it is, through the mean of the low-level policy; time limits are not terminal."""
        return SkillExecution(self.skills.low_level(None), self.skills.horizon, self.skill_dim, bound=None)

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

    # Learning, on transitions ``[B]`` with embeddings ``[B, d]``

    def _propose(self, transitions: TensorDict, embedding: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Skills of the policy ``[B, d]`` and its KL to the prior ``[B]`` at both states, in one pass."""
        known = torch.cat([join(transitions, "observation"), embedding.repeat(2, 1)], dim=-1)
        prior = Gaussian(join(transitions, "prior_mean"), join(transitions, "prior_log_std"))
        policy = corrected(prior, self.policy(known, learning=len(embedding)))
        (skill, next_skill), (divergence, next_divergence) = (
            each.chunk(2) for each in (policy.rsample(), analytic_kl(policy, prior))
        )
        return skill, divergence, next_skill.detach(), next_divergence.detach()

    def _values(self, transitions: TensorDict, embedding: Tensor, skill: Tensor, learning: int | None = None) -> Tensor:
        """Of both critics, ``[B, 2]``."""
        known = torch.cat([transitions["observation"], embedding, skill], dim=-1)
        return torch.cat([critic(known, learning=learning) for critic in self.critics], dim=-1)

    @torch.no_grad()
    def _target(
        self, following: TensorDict, embedding: Tensor, skill: Tensor, divergence: Tensor, alpha: Tensor
    ) -> Tensor:
        """Of the critics ``[B]``; the divergence is clipped here, and nowhere else."""
        known = torch.cat([following["observation"], embedding, skill], dim=-1)
        value = torch.cat([critic(known) for critic in self.target_critics], dim=-1).amin(-1)
        reward, terminated = following["reward"].squeeze(-1), following["terminated"].squeeze(-1)
        clipped = divergence.clamp(max=self.options.divergence_clip)
        return td_target(reward, terminated, value, clipped, alpha, self.options.discount)

    @torch.no_grad()
    def _track(self) -> None:
        followers: list[Tensor] = [*self.target_critics.parameters()]
        leaders: list[Tensor] = [*self.critics.parameters()]
        torch._foreach_lerp_(followers, leaders, self.options.tau)
