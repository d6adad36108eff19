"""Learning one target task, episode by episode, from what was meta-trained on others."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor, nn

from lightning_skills.artefacts import Artefact
from lightning_skills.data.task_replay import TaskReplay
from lightning_skills.errors import InputError
from lightning_skills.files import advised, reading
from lightning_skills.losses.skill_rl import multiplier_loss
from lightning_skills.nets.multiplier import Multiplier
from lightning_skills.optim import FusedAdam
from lightning_skills.phases.base import CollectEpisodes, Instruction, Metrics, PhaseContext, Update
from lightning_skills.phases.context_meta import ContextMetaModule
from lightning_skills.phases.options import SkillAgentSizes
from lightning_skills.phases.skill_agent import Learners, SkillActorCritic
from lightning_skills.ranks import averages


class TargetTaskModule(ContextMetaModule):
    """Target task learning as in SiMPL's code (Nam et al., ICLR 2022, sec. 4.4), for an agent that is the next base.

    Some episodes, each with another embedding from N(0, I), are there to infer the task's embedding from, and for
    nothing else; an agent without embeddings has none of them. The embedding is what is settled on given all of them,
    and constant from then on; several ranks, which share the episodes, take the mean over what each of them infers.
    Then follow rounds: an episode in each world of every rank and, from a buffer that began empty and once it holds a
    batch, as many updates as make ``reuse`` draws of each new transition.

    Args:
        context: Its ``options`` are :class:`TargetTaskOptions`, with ``conditioning_episodes`` where there are
            embeddings.
        agent: What the agent takes beside it.
    """

    kind = "adapted"
    networks = ("policy",)
    critics: nn.ModuleList
    critic_optimizer: torch.optim.Optimizer
    actor_optimizer: torch.optim.Optimizer
    embedding: Tensor
    latest: Tensor

    def __init__(self, context: PhaseContext, *agent: Any) -> None:
        super().__init__(context, *agent)
        self.register_buffer("embedding", torch.zeros(self.embedding_dim))
        self.register_buffer("latest", torch.zeros((), dtype=torch.int64))  # transitions of the last episodes

    # Acting

    def initial_state(self, worlds: int) -> TensorDict:
        """The task's embedding, ``[worlds, d]``."""
        return TensorDict({"embedding": self.embedding.cpu().repeat(worlds, 1)}, batch_size=[worlds])

    def begin(self, given: str, tasks: Tensor, memory: TaskReplay) -> TensorDict:
        """An embedding ``[n, d]`` from the "prior", or the task's."""
        return self.initial_state(len(tasks)) if given == "all" else super().begin(given, tasks, memory)

    @torch.no_grad()
    def collected(self, collect: CollectEpisodes, transitions: int, memory: TaskReplay) -> None:
        """Infer the embedding from the first episodes; count the transitions of later ones."""
        if collect.given == "prior":
            own = self.settled(self.posterior(memory.all(0, "context")[None]))
            self.embedding.copy_(averages([own[0]], self.context.world_size)[0])
        self.latest.fill_(transitions)

    # Plan

    def plan(self) -> Sequence[Instruction]:
        """Episodes to infer the task from; then rounds: an episode and, once there is a batch, updates."""
        options = self.options
        if self.digested < self.transitions >= options.batch_size:
            updates = max(1, int(options.reuse * int(self.latest) / options.batch_size))
            return [Update(updates, options.batch_size)]
        if self.env_frames >= options.frames:
            return []
        worlds = self.context.worlds * self.context.world_size
        episode = CollectEpisodes(self.train_tasks, "all", worlds, into=("replay",))
        if self.env_frames or not self.embedding_dim:
            return [episode]
        conditioning = options.conditioning_episodes
        return [CollectEpisodes(self.train_tasks, "prior", conditioning, into=("context",), counted=False), episode]

    # Learning

    def build_optimizers(self) -> Sequence[torch.optim.Optimizer]:
        """Adam of the critics, of the policy, and of alpha."""
        self.critic_optimizer = FusedAdam(self.critics.parameters(), lr=self.options.lr)
        self.actor_optimizer = FusedAdam(self.policy.parameters(), lr=self.options.lr)
        self.alpha_optimizer = self.optimizer_of_alpha()
        return [self.critic_optimizer, self.actor_optimizer, self.alpha_optimizer]

    @abstractmethod
    def optimizer_of_alpha(self) -> torch.optim.Optimizer:
        """Of the weight of the KL to the prior, or of the entropy."""

    # Handing on

    def artefact(self) -> Artefact:
        """The policy and the embedding it acts with."""
        own = super().artefact()
        return Artefact(own.kind, own.settings, {**own.tensors, "embedding": self.embedding})


class SkillTargetTaskModule(TargetTaskModule, SkillActorCritic):
    """Soft actor-critic that keeps to the skill prior, in a target task (SiMPL's code, its baselines included).

    Policy and critics go on from where they are when training starts.

    Args:
        context: Its ``options`` are :class:`SkillTargetTaskOptions`.
        initial_alpha: First weight of the KL to the prior.
        agent: What :class:`SkillActorCritic` takes beside the context.
    """

    def __init__(self, context: PhaseContext, initial_alpha: float, *agent: int) -> None:
        super().__init__(context, *agent)
        self.alpha = Multiplier(initial_alpha)

    def update(self, batch: TensorDict) -> Metrics:
        """One step on transitions ``[B]``."""
        embedding, alpha = self.embedding.expand(len(batch), -1), self.alpha()
        learners = Learners(self.policy, self.critics, self.target_critics)
        divergence, metrics = self.improve(learners, batch, embedding, alpha)
        self.step(self.alpha_optimizer, multiplier_loss(alpha, divergence, self.options.target_divergence))
        self._track()
        return metrics | {"alpha": alpha.detach().mean()}


class SpirlTargetTaskModule(SkillTargetTaskModule):
    """SPiRL as in SiMPL's code: no embedding, and everything begins anew.

    Unlike :class:`lightning_skills.phases.skill_rl.SkillRLModule` its policy is a correction of the skill prior, the KL
    in the critics' target is clipped, the policy steps after the critics, and updates follow whole episodes.

    Args:
        context: Its ``options`` are :class:`SpirlTargetTaskOptions`.
        sizes: Of policy and critics.
    """

    sizes_type = SkillAgentSizes

    def __init__(self, context: PhaseContext, sizes: SkillAgentSizes) -> None:
        super().__init__(context, context.options.initial_alpha, sizes.layers, sizes.width)
        self.sizes = sizes

    def optimizer_of_alpha(self) -> FusedAdam:
        """It grows and shrinks."""
        return FusedAdam(self.alpha.parameters(), lr=self.options.alpha_lr)


def take_over(network: nn.Module, meta: Artefact, name: str) -> None:
    """Load one of the networks that meta-training handed on.

    Raises:
        InputError: if it is of another size.
    """
    own = {key.removeprefix(f"{name}."): tensor for key, tensor in meta.tensors.items() if key.startswith(f"{name}.")}
    try:
        network.load_state_dict(own)
    except RuntimeError:
        raise InputError(f"the {name} of {meta.kind!r} was meta-trained on other states or skills than these") from None


def sizes_of(meta: Artefact, kind: type) -> Any:
    """The sizes of the networks that meta-training handed on, as this dataclass.

    Raises:
        InputError: if they do not say the same.
    """
    with advised("meta-train anew, if another version wrote it"), reading(meta.named):
        return kind(**{field.name: meta.settings[field.name] for field in fields(kind)})
