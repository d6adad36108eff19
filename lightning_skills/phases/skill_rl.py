"""Actor-critic over skills, or over primitive actions, regularised by a skill prior or by entropy."""

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from fractions import Fraction
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor, nn

from lightning_skills.artefacts import Artefact
from lightning_skills.data.rendering import SCENE, Renderer, look
from lightning_skills.data.skill_env import SkillExecution
from lightning_skills.errors import InputError
from lightning_skills.losses.skill_rl import (
    actor_loss,
    alpha_loss,
    analytic_kl,
    critic_loss,
    negative_entropy,
    sampled_kl,
    td_target,
)
from lightning_skills.nets.action_prior import ActionPrior
from lightning_skills.nets.behaviour import Behaviour
from lightning_skills.nets.conv import ConvMLP, perceptron
from lightning_skills.nets.gaussian import Gaussian, squash, unsquash
from lightning_skills.nets.mlp import MLP
from lightning_skills.nets.numpy_mlp import frozen
from lightning_skills.nets.skill_model import SkillModel
from lightning_skills.nets.standardiser import Standardiser
from lightning_skills.nets.step_policy import FlatStepPolicy, SkillStepPolicy, StepPolicy
from lightning_skills.optim import FusedAdam, follow
from lightning_skills.phases.base import Collect, Instruction, Metrics, PhaseContext, PhaseModule, Update
from lightning_skills.phases.both_states import add_prior, at_both, seen_at_both
from lightning_skills.phases.options import SkillRLOptions

BEHAVIOURS: dict[str, type[Behaviour]] = {model.kind: model for model in (SkillModel, ActionPrior)}
"""What an artefact is read as, by its kind."""
SKILL_RANGE = 2.0
"""Uniform skills without a bound lie within so many standard deviations of N(0, 1), as within the authors' bound."""


class SkillRLModule(PhaseModule):
    """Soft actor-critic whose action is a skill (SPiRL, Pertsch et al. 2020, Alg. 1) or a primitive action (SAC).

    A transition holds the policy's output ``u`` before the tanh; critics see ``squash(u)``, and the KL to the prior is
    taken between distributions of ``u``. With an artefact "skills" the action is a skill of its model, else it is
    primitive; with an "action_prior", regularised towards that. A policy that starts as a prior sees what the prior
    sees, images or states; critics and policies from scratch see states.

    Differs from the authors' code: analytic KL by default (same expectation), and the prior, which is frozen, is
    evaluated once per transition. BatchNorm of the policy stays in eval mode, as there, with its affine part trained.

    Args:
        context: Its ``options`` are :class:`SkillRLOptions`.

    Raises:
        InputError: if the options need a prior and there is none, or it is for other states or images.
    """

    def __init__(self, context: PhaseContext) -> None:
        super().__init__(context)
        self.options: SkillRLOptions = context.options
        self.skills = self._load_skills()
        state_dim = context.env.state_dim
        self.action_dim = self.skills.latent_dim if self.skills else context.env.action_dim
        self.policy_settings = self._policy_settings()
        self.policy = perceptron(**self.policy_settings)
        if self.skills and self.options.policy == "prior":
            self.policy.load_state_dict(self.skills.prior_net.state_dict())
        self.critics = nn.ModuleList(
            MLP(state_dim + self.action_dim, 1, self.options.critic_layers, self.options.critic_width) for _ in range(2)
        )
        self.target_critics = copy.deepcopy(self.critics)
        self.standardiser = Standardiser(state_dim) if self.options.standardise else None
        self.log_alpha = nn.Parameter(torch.tensor(math.log(self.options.initial_alpha)))
        self._policy_renderer = self._renderer_for(self.policy)
        self._prior_renderer = self._renderer_for(self.skills.prior_net) if self.skills else None
        regularised = self.skills if self.options.regulariser == "prior" else None
        self._frozen_prior = frozen(regularised.prior_net) if regularised else None
        self.keep_frozen(self.target_critics, *([self.skills] if self.skills else []))

    def _load_skills(self) -> Behaviour | None:
        if not self.context.artefacts:
            if "prior" in (self.options.policy, self.options.regulariser):
                raise InputError("policy=prior and regulariser=prior need a prior, but no phase hands one on")
            return None
        (artefact,) = self.context.artefacts.values()
        if artefact.kind not in BEHAVIOURS:
            raise InputError(f"cannot act by an artefact of kind {artefact.kind!r}; known are {', '.join(BEHAVIOURS)}")
        skills = BEHAVIOURS[artefact.kind].from_artefact(artefact)
        skills.require_lengths(self.context.env.state_dim, self.context.env.action_dim, artefact.named)
        learned, here = skills.settings.image_shape, self.renderer.image_shape if self.renderer else None
        looks = skills.low_level_sees or "prior" in (self.options.policy, self.options.regulariser)
        if looks and here != (learned and tuple(learned)):
            on = f"images of shape {tuple(learned)}" if learned else "states"
            shows = f"images of {here}" if here else "no images; set env.images=true"
            raise InputError(f"{artefact.kind}: learned on {on}, this environment shows {shows}")
        return skills

    def _policy_settings(self) -> dict[str, Any]:
        if self.skills and self.options.policy == "prior":
            return self.skills.prior_settings
        return {
            "inputs": self.context.env.state_dim,
            "outputs": 2 * self.action_dim,
            "layers": self.options.policy_layers,
            "width": self.options.policy_width,
            "normalised": False,
        }

    def _renderer_for(self, network: nn.Module) -> Renderer | None:
        return self.renderer if isinstance(network, ConvMLP) else None

    def train(self, mode: bool = True) -> "SkillRLModule":
        """Training mode for all but the policy: statistics of an RL batch would wreck what the prior knows."""
        super().train(mode)
        self.policy.eval()
        return self

    # Acting

    @property
    def flat(self) -> bool:
        """Whether the action is primitive."""
        return self.skills is None or isinstance(self.skills, ActionPrior)

    @property
    def tanh_actions(self) -> bool:
        """Whether decoded actions go through tanh."""
        closed_loop = isinstance(self.skills, SkillModel) and self.skills.chunk == 1
        return closed_loop if self.options.tanh_actions is None else self.options.tanh_actions

    @property
    def target_divergence(self) -> float:
        """delta, in nats."""
        delta = self.options.target_divergence
        return float(self.action_dim) if delta is None else delta

    def skill_execution(self) -> SkillExecution:
        """Skills run through the frozen decoder; primitive actions run as they are."""
        return SkillExecution(
            low_level=self.skills.low_level(self._prior_renderer) if self.skills else None,
            horizon=self.skills.horizon if self.skills else 1,
            action_dim=self.action_dim,
            bound=self.options.bound,
            slope=self.options.slope,
            tanh_actions=self.tanh_actions,
            timeout_is_done=self.options.timeout_is_done,
            chunk=self.skills.chunk if self.skills else 1,
        )

    @torch.no_grad()
    def act(self, observation: TensorDict, state: TensorDict, explore: bool) -> tuple[Tensor, TensorDict, TensorDict]:
        """``u`` ``[N, d]`` of the policy: a sample if ``explore``, else the mean."""
        policy = Gaussian.from_output(self.policy(look(observation, self._policy_renderer)))
        u = policy.rsample() if explore else policy.mean
        return u, state, TensorDict({}, batch_size=observation.batch_size)

    @torch.no_grad()
    def act_random(
        self, observation: TensorDict, state: TensorDict, explore: bool
    ) -> tuple[Tensor, TensorDict, TensorDict]:
        """``u`` whose squashed value is uniform within the bound; if none, within [-2, 2] (actions: [-1, 1])."""
        uniform = 2 * torch.rand(len(observation), self.action_dim, device=self.device) - 1
        if self.options.bound is None:
            u = uniform if self.flat else SKILL_RANGE * uniform
        else:
            u = unsquash(self.options.bound * uniform, self.options.bound, self.options.slope)
        return u, state, TensorDict({}, batch_size=observation.batch_size)

    def explorers(self) -> Mapping[str, str]:
        """The prior, if the policy starts as one, and uniform actions of the same kind."""
        prior = "action prior" if self.flat else "skill prior"
        first = {"act": prior} if self.options.policy == "prior" else {}
        return {**first, "act_random": "random actions" if self.flat else "uniform skills"}

    def annotate(self, transitions: TensorDict) -> TensorDict:
        """Add mean and log std of the frozen prior at both states, if it regularises; drop scenes that nobody looks at.

        The policy alone looks at them again.
        """
        if self.standardiser is not None and self.transitions < self.options.warmup:
            self.standardiser.show(transitions["observation"])
        if self._frozen_prior is not None:
            whole = transitions if self._prior_renderer is None else transitions.to(self.device)
            add_prior(transitions, seen_at_both(whole, self._prior_renderer), self._frozen_prior)
        if self.renderer is not None and self._policy_renderer is None:
            return transitions.exclude(SCENE, ("next", SCENE))
        return transitions

    def step_policy(self) -> StepPolicy:
        """Policy and closed-loop decoder on states; a flat policy on states.

        Raises:
            InputError: if one of them sees images, or the decoder is open loop.
        """
        if isinstance(self.policy, ConvMLP) or (
            self.skills is not None and self.skills.low_level_sees and self.skills.settings.image_shape is not None
        ):
            raise InputError("this policy sees images, which the env draws; only policies of states are exported")
        if not isinstance(self.skills, SkillModel):
            return FlatStepPolicy(self.policy, self.options.bound, self.options.slope)
        decoder = self.skills.decoder
        if not isinstance(decoder, MLP):
            named = self.skills.settings.decoder
            raise InputError(
                f"this policy's decoder is {named}: it decides {self.skills.chunk} actions at once; "
                "only flat policies and those with method.skills.decoder=closed_loop are exported"
            )
        options, horizon = self.options, self.skills.horizon
        return SkillStepPolicy(self.policy, decoder, horizon, options.bound, self.tanh_actions, options.slope)

    # Plan

    def plan(self) -> Sequence[Instruction]:
        """Warm-up, then a transition of every world (several, if there is not an update for each) and their updates.

        A policy that starts from the prior warms up the buffer itself, one from scratch leaves that to random actions.
        """
        if self.env_frames >= self.options.frames:
            return []
        if self.transitions < self.options.warmup:
            policy = "act" if self.options.policy == "prior" else "act_random"
            return [Collect(self.options.warmup - self.transitions, policy)]
        worlds = self.context.worlds * self.context.world_size
        ratio = Fraction(self.options.updates_per_transition).limit_denominator(1000)
        collect, update = worlds * ratio.denominator, worlds * ratio.numerator
        return [Collect(collect), Update(update, self.options.batch_size)]

    def progress(self) -> tuple[int, int]:
        """(env frames done, env frames in all)."""
        return self.env_frames, self.options.frames

    def capacities(self) -> Mapping[str, int]:
        """One replay buffer."""
        return {"replay": self.options.capacity}

    # Learning

    def build_optimizers(self) -> Sequence[torch.optim.Optimizer]:
        """Adam of policy, critics and alpha; one over all equals one each."""
        networks, alpha_lr = [*self.policy.parameters(), *self.critics.parameters()], self.options.alpha_lr
        alpha = {"params": [self.log_alpha], "lr": alpha_lr}
        learners = [*networks, self.log_alpha] if alpha_lr is None else [{"params": networks}, alpha]
        self.optimizer = FusedAdam(learners, lr=self.options.lr)
        return [self.optimizer]

    def update(self, batch: TensorDict) -> Metrics:
        """One step of policy, critics, alpha and target critics on transitions ``[B]``.

        No parameter gets a gradient from more than one of the losses, so one backward pass of their sum is that of
        each.
        """
        observation, alpha = batch["observation"], self.log_alpha.detach().exp()
        u, divergence, next_u, next_divergence = self._propose(batch)
        target = self._target(batch["next"], next_u, next_divergence, alpha)
        recorded, proposed = self._values(observation, batch["action"], u)
        actor, metrics = actor_loss(proposed, divergence, alpha)
        critic, critic_metrics = critic_loss(recorded, target)
        multiplier, alpha_metrics = alpha_loss(self.log_alpha, divergence, self.target_divergence)
        self.step(self.optimizer, actor + critic + multiplier)
        follow(self.target_critics, self.critics, self.options.tau)
        return metrics | critic_metrics | alpha_metrics

    def _propose(self, batch: TensorDict) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The policy's ``u`` ``[B, d]`` and its divergence ``[B]`` at s, and both at s', in one pass.

        Those at s' are for the target, so nothing there has to be differentiated.
        """
        items, both = len(batch), seen_at_both(batch, self._policy_renderer)
        policy = Gaussian.from_output(self.policy(both, learning=items))
        u = policy.rsample()
        divergence = self._divergence(policy, u, batch)
        return u[:items], divergence[:items], u[items:], divergence[items:]

    def _values(self, observation: Tensor, action: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
        """Of the critics at recorded actions, to train them, and at the policy's, to train that, each ``[B, 2]``."""
        inputs = self._critic_inputs(torch.cat([observation, observation]), torch.cat([action, u]))
        values = torch.cat([critic(inputs, learning=len(observation)) for critic in self.critics], dim=-1)
        recorded, proposed = values.chunk(2)
        return recorded, proposed

    def _critic_inputs(self, observation: Tensor, u: Tensor) -> Tensor:
        state = observation if self.standardiser is None else self.standardiser(observation)
        return torch.cat([state, squash(u, self.options.bound, self.options.slope)], dim=-1)

    def _divergence(self, policy: Gaussian, u: Tensor, batch: TensorDict) -> Tensor:
        if self.options.regulariser == "entropy":
            return negative_entropy(policy, u, self.options.bound, self.options.slope)
        kl = analytic_kl if self.options.kl_estimator == "analytic" else sampled_kl
        return kl(policy, Gaussian(at_both(batch, "prior_mean"), at_both(batch, "prior_log_std")))

    @torch.no_grad()
    def _target(self, following: TensorDict, u: Tensor, divergence: Tensor, alpha: Tensor) -> Tensor:
        inputs = self._critic_inputs(following["observation"], u)
        value = torch.cat([critic(inputs) for critic in self.target_critics], dim=-1).amin(1)
        reward, terminated = following["reward"].squeeze(-1), following["terminated"].squeeze(-1)
        return td_target(
            self.options.reward_scale * reward, terminated, value, divergence, alpha, self.options.discount
        )

    # Handing on

    def artefact(self) -> Artefact:
        """The policy, and the skills it chooses among."""
        settings = {
            "policy": self.policy_settings,
            "skills": asdict(self.skills.settings) if isinstance(self.skills, SkillModel) else None,
            "bound": self.options.bound,
            "slope": self.options.slope,
            "tanh_actions": self.tanh_actions,
        }
        tensors = {f"policy.{name}": tensor for name, tensor in self.policy.state_dict().items()}
        if isinstance(self.skills, SkillModel):
            tensors |= {f"skills.{name}": tensor for name, tensor in self.skills.state_dict().items()}
        return Artefact("policy", settings, tensors)
