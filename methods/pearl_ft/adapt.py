"""PEARL-ft's last phase: a meta-trained actor-critic learns one target task."""

import copy

import torch
from tensordict import TensorDict
from torch import Tensor

from lightning_skills.losses.skill_rl import actor_loss, critic_loss, multiplier_loss, td_target
from lightning_skills.nets.gaussian import Gaussian
from lightning_skills.nets.multiplier import Multiplier
from lightning_skills.optim import FusedAdam, follow
from lightning_skills.phases.base import Metrics, PhaseContext
from lightning_skills.phases.pearl import PearlAgent
from lightning_skills.phases.target_task import TargetTaskModule, sizes_of, take_over
from methods.pearl_ft.config import PearlFtOptions


class PearlFtModule(TargetTaskModule, PearlAgent):
    """Soft actor-critic that goes on from PEARL in a target task (SiMPL, Nam et al., ICLR 2022, sec. 5.2).

    The task's embedding is the mean of the posterior given the first episodes, as in SiMPL. Policy, critics and alpha
    go on from meta-training; target critics begin as copies of the critics and take the place of PEARL's value network.
    The entropy aimed at is -dim(A). Critics go on with the reward, and its scale, that they were meta-trained on.

    Args:
        context: Its ``options`` are :class:`PearlFtOptions`.

    Raises:
        InputError: if "meta" is of other states or actions, learned from a reward that is not there, or was written by
            another version.
    """

    options: PearlFtOptions

    def __init__(self, context: PhaseContext) -> None:
        meta = context.artefacts["meta"]
        super().__init__(context, sizes_of(meta, self.sizes_type))
        self.alpha = Multiplier(1.0)
        for name in ("encoder", "policy", "critics", "alpha"):
            take_over(self.get_submodule(name), meta, name)
        self.target_critics = copy.deepcopy(self.critics)
        self.keep_frozen(self.encoder, self.target_critics)

    def settled(self, posterior: Gaussian) -> Tensor:
        """Its mean; nothing but zeros if it is blind."""
        return posterior.mean * (not self.sizes.task_blind)

    def optimizer_of_alpha(self) -> FusedAdam:
        """It grows and shrinks."""
        return FusedAdam(self.alpha.parameters(), lr=self.options.lr)

    def update(self, batch: TensorDict) -> Metrics:
        """One step on transitions ``[B]``."""
        following, alpha, embedding = batch["next"], self.alpha(), self.embedding.expand(len(batch), -1)
        known, beyond = (torch.cat([part["observation"], embedding], dim=-1) for part in (batch, following))
        with torch.no_grad():
            _, u, log_prob = self._sampled(beyond)
            value = self._values(beyond, u, critics=self.target_critics).amin(-1)
        reward = self.sizes.reward_scale * following[self.sizes.train_reward].squeeze(-1)
        terminated = following["terminated"].squeeze(-1)
        target = td_target(reward, terminated, value, log_prob, alpha, self.options.discount)
        critic, metrics = critic_loss(self._values(known, batch["action"]), target)
        self.step(self.critic_optimizer, critic)
        _, u, log_prob = self._sampled(known)
        actor, of_actor = actor_loss(self._values(known, u, learning=0), log_prob, alpha)
        self.step(self.actor_optimizer, actor)
        self.step(self.alpha_optimizer, multiplier_loss(alpha, log_prob, float(self.context.env.action_dim)))
        follow(self.target_critics, self.critics, self.options.tau)
        return metrics | of_actor | {"alpha": alpha.detach().mean()}
