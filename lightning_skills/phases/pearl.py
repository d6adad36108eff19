"""PEARL: an agent that knows its task by an embedding, and how it is meta-trained off-policy."""

import copy
from collections.abc import Iterable, Sequence
from typing import cast

import numpy as np
import torch
from tensordict import TensorDict
from torch import Tensor, nn

from lightning_skills.data.skill_env import SkillExecution
from lightning_skills.data.task_replay import TaskReplay
from lightning_skills.errors import InputError
from lightning_skills.losses.pearl import critic_loss, critic_target, embedding_loss, policy_loss, value_loss
from lightning_skills.losses.skill_rl import multiplier_loss, negative_entropy
from lightning_skills.nets.gaussian import Gaussian, squash
from lightning_skills.nets.mlp import MLP, initialise_like_rlkit
from lightning_skills.nets.multiplier import Multiplier
from lightning_skills.nets.task_encoder import GaussianProductEncoder
from lightning_skills.optim import FusedAdam, follow
from lightning_skills.phases.base import CollectEpisodes, Instruction, Metrics, PhaseContext, UpdateTasks
from lightning_skills.phases.context_meta import ContextMetaModule
from lightning_skills.phases.options import PearlOptions, PearlSizes
from lightning_skills.ranks import share

LOG_STD_RANGE = (-20.0, 2.0)
BOUND = 1.0
"""Actions are the tanh of what the policy samples."""


class PearlAgent(ContextMetaModule):
    """An actor-critic of primitive actions that knows its task by an embedding (PEARL, Rakelly et al., ICML 2019).

    Args:
        context: As of :class:`ContextMetaModule`.
        sizes: Of the networks, and what critics learn from.
        context_size: As of :class:`ContextMetaModule`.

    Raises:
        InputError: if there is no such reward.
    """

    sizes_type = PearlSizes

    def __init__(self, context: PhaseContext, sizes: PearlSizes, context_size: int = 0) -> None:
        super().__init__(context, sizes.embedding_dim, context_size)
        self.sizes, env = sizes, context.env
        rewards = ("reward", *(name for name, shape in env.observation_shapes.items() if shape == (1,)))
        if sizes.train_reward not in rewards:
            raise InputError(f"train_reward is {sizes.train_reward!r}; this environment has {', '.join(rewards)}")
        following = [("next", "observation")] if sizes.next_state_in_context else []
        self.context_keys = ["observation", "action", ("next", "reward"), *following]
        seen = env.state_dim + env.action_dim + 1 + env.state_dim * sizes.next_state_in_context
        self.encoder = GaussianProductEncoder(seen, sizes.embedding_dim, sizes.encoder_layers, sizes.encoder_width)
        known = env.state_dim + sizes.embedding_dim
        self.policy = self._network(known, 2 * env.action_dim, last=1e-3)
        self.critics = nn.ModuleList(self._network(known + env.action_dim, 1, last=3e-3) for _ in range(2))

    def _network(self, inputs: int, outputs: int, last: float) -> MLP:
        mlp = MLP(inputs, outputs, self.sizes.layers - 1, self.sizes.width, slope=0.0)
        initialise_like_rlkit(mlp, last)
        return mlp

    def skill_execution(self) -> SkillExecution:
        """Actions are primitive, and time limits are not terminal."""
        return SkillExecution(None, 1, self.context.env.action_dim, BOUND)

    def begin(self, given: str, tasks: Tensor, memory: TaskReplay) -> TensorDict:
        """See :class:`ContextMetaModule`; nothing but zeros if it is blind."""
        return self.initial_state(len(tasks)) if self.sizes.task_blind else super().begin(given, tasks, memory)

    def posterior(self, context: TensorDict) -> Gaussian:
        """See :class:`ContextMetaModule`; the encoder sees actions as they are executed."""
        return super().posterior(context.copy().set("action", squash(context["action"], BOUND)))

    @torch.no_grad()
    def act(self, observation: TensorDict, state: TensorDict, explore: bool) -> tuple[Tensor, TensorDict, TensorDict]:
        """``u`` ``[N, A]``, whose tanh is the action: a sample if ``explore``, else the mean."""
        policy = self._policy(torch.cat([observation["observation"], state["embedding"].to(self.device)], dim=-1))
        u = policy.rsample() if explore else policy.mean
        return u, state, TensorDict({}, batch_size=observation.batch_size)

    # Learning, on states with embeddings ``[..., known]``

    def _policy(self, known: Tensor) -> Gaussian:
        return Gaussian.from_output(self.policy(known), LOG_STD_RANGE)

    def _sampled(self, known: Tensor) -> tuple[Gaussian, Tensor, Tensor]:
        """The policy, ``u`` of it ``[..., A]`` and the log density of tanh(u) ``[...]``."""
        policy = self._policy(known)
        u = policy.rsample()
        return policy, u, negative_entropy(policy, u, BOUND)

    def _values(
        self, known: Tensor, u: Tensor, learning: int | None = None, critics: nn.Module | None = None
    ) -> Tensor:
        """Of both critics, or of others in their place, ``[..., 2]``."""
        inputs = torch.cat([known, squash(u, BOUND)], dim=-1)
        own = cast(Iterable[MLP], critics or self.critics)
        return torch.cat([critic(inputs, learning=learning) for critic in own], dim=-1)


class PearlModule(PearlAgent):
    """Probabilistic embeddings for actor-critic RL (PEARL, Rakelly et al., ICML 2019, Alg. 1 and 2).

    Differs from the authors' code: the tasks of a round are distinct (there: drawn with replacement); value network and
    policy step together, after critics and encoder (there: one after the other, which is the same, as neither sees the
    other); and a new task is judged by its episodes, however short (there: by transitions, so by more episodes where
    they end early). The weight of the entropy may be learned, towards an entropy of -dim(A).

    Args:
        context: Its ``options`` are :class:`PearlOptions`.

    Raises:
        InputError: if the tasks of a batch cannot be shared evenly by the ranks.
    """

    kind = "pearl"
    networks = ("encoder", "policy", "critics", "value", "target_value", "alpha")
    options: PearlOptions
    key: Tensor

    def __init__(self, context: PhaseContext) -> None:
        options: PearlOptions = context.options
        super().__init__(context, options, options.context_size)
        share(options.meta_batch, context.world_size, "a group of {} tasks")
        self.value = self._network(context.env.state_dim + options.embedding_dim, 1, last=3e-3)
        self.target_value = copy.deepcopy(self.value)
        self.alpha = Multiplier(options.initial_alpha or 1.0)
        self.keep_frozen(self.target_value, *([] if self._learns_alpha else [self.alpha]))
        self.register_buffer("key", torch.randint(2**31, ()))  # which tasks collect in which round

    # Plan

    def plan(self) -> Sequence[Instruction]:
        """At first episodes of all tasks; then rounds: episodes of some tasks, then updates."""
        options = self.options
        if self.env_frames >= options.frames:
            return []
        rounds = self.updates // options.updates_per_round
        first = [] if rounds else [self._collect(self.train_tasks, "prior", options.initial_steps, True)]
        count = min(options.tasks_per_round, len(self.train_tasks))
        tasks = np.random.default_rng([int(self.key), rounds]).choice(self.train_tasks, count, replace=False).tolist()
        update = UpdateTasks(
            options.updates_per_round, (options.meta_batch,), (options.context_size,), options.batch_size
        )
        return [
            *first,
            self._collect(tasks, "prior", options.prior_steps, True, clear=("context",)),
            *self._with_posterior(tasks, options.posterior_steps, True),
            *self._with_posterior(tasks, options.extra_steps, False),
            update,
        ]

    def _with_posterior(self, tasks: Sequence[int], steps: int, context: bool) -> list[Instruction]:
        """The first episode still has an embedding from the prior: the code forgets the posterior before it."""
        rest = steps - self.context.env.horizon
        first = [self._collect(tasks, "prior", 1, context)] if steps else []
        return [*first, *([self._collect(tasks, "context", rest, context)] if rest > 0 else [])]

    def _collect(
        self, tasks: Sequence[int], given: str, steps: int, context: bool, clear: tuple[str, ...] = ()
    ) -> CollectEpisodes:
        into = ("context", "replay") if context else ("replay",)
        return CollectEpisodes(tuple(tasks), given, transitions=steps, into=into, clear=clear)

    def adaptation(self) -> Sequence[CollectEpisodes]:
        """Episodes with embeddings from the prior, then some, each with the posterior of all before it; by the mode."""
        options = self.options
        first = CollectEpisodes(
            self.test_tasks, "prior", options.exploration_episodes, explore=False, into=("context",)
        )
        later = CollectEpisodes(self.test_tasks, "all", explore=False, into=("context",))
        return [first, *[later] * options.adapted_episodes]

    # Learning

    def build_optimizers(self) -> Sequence[torch.optim.Optimizer]:
        """Adam of critics and encoder, of value network and policy, and of alpha if that is learned."""
        learners = [*self.critics.parameters(), *self.encoder.parameters()]
        self.critic_optimizer = FusedAdam(learners, lr=self.options.lr)
        self.actor_optimizer = FusedAdam([*self.value.parameters(), *self.policy.parameters()], lr=self.options.lr)
        if not self._learns_alpha:
            return [self.critic_optimizer, self.actor_optimizer]
        self.alpha_optimizer = FusedAdam(self.alpha.parameters(), lr=self.options.lr)
        return [self.critic_optimizer, self.actor_optimizer, self.alpha_optimizer]

    def update(self, batch: TensorDict) -> Metrics:
        """One step on ``context_0`` ``[T, N]`` and ``transitions`` ``[T, B]`` of T tasks."""
        options, transitions = self.options, batch["transitions"]
        posterior = self.posterior(batch["context_0"])
        embedding = (posterior.rsample() * (not options.task_blind))[:, None].expand(-1, options.batch_size, -1)
        state, following = transitions["observation"], transitions["next"]
        known = torch.cat([state, embedding], dim=-1)
        with torch.no_grad():
            next_value = self.target_value(torch.cat([following["observation"], embedding], dim=-1))
        target = critic_target(
            following[options.train_reward].squeeze(-1),
            following["terminated"].squeeze(-1),
            next_value.squeeze(-1),
            options.reward_scale,
            options.discount,
        )
        values = self._values(known, transitions["action"])
        critic, metrics = critic_loss(values, target)
        kl, more = embedding_loss(posterior, options.kl_weight, options.meta_batch)
        self.step(self.critic_optimizer, critic + kl)
        return metrics | more | self._improve(known.detach())

    def _improve(self, known: Tensor) -> Metrics:
        """Value network and policy by the critics as they are now; embeddings get no gradient from them."""
        alpha = self.alpha() if self._learns_alpha else torch.ones(())
        policy, u, log_prob = self._sampled(known)
        smallest = self._values(known, u, learning=0).amin(-1)
        value, metrics = value_loss(self.value(known).squeeze(-1), smallest, log_prob, alpha.detach())
        actor, more = policy_loss(policy, smallest, log_prob, alpha.detach(), self.options.output_penalty)
        self.step(self.actor_optimizer, value + actor)
        if self._learns_alpha:
            wanted = float(self.context.env.action_dim)
            self.step(self.alpha_optimizer, multiplier_loss(alpha, log_prob, wanted))
            more["alpha"] = alpha.detach().mean()
        follow(self.target_value, self.value, self.options.tau)
        return metrics | more

    @property
    def _learns_alpha(self) -> bool:
        return self.options.initial_alpha is not None
